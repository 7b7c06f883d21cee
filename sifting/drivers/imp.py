"""Iterative magnitude pruning (Frankle & Carbin 2019; P&B section 3), layer by layer, with rewinding."""

from pathlib import Path

import numpy as np

from sifting.pruning.scopes import layerwise
from sifting.pruning.scores import magnitude
from sifting.rounds import Checkpoint, Mask, Round, connected_fraction
from sifting.run_directory import read_round_file
from sifting.session import Session


def run(session: Session) -> None:
    """Train, prune the smallest weights of each prunable layer, rewind; until max_iterations or stop_ratio.

    Every round trains all steps, from the values that round 0 had at weights_step. Its masks come from the
    magnitudes at prune_step of the round before.
    """
    experiment, method = session.experiment, session.experiment.method
    if experiment.network.restart:
        number, rewind_point, masks, ratios = restart(session)
    else:
        number, rewind_point, masks = 0, None, session.initial_masks()
        ratios = np.full(len(session.prunable(masks)), experiment.network.init_sparsity)
    while number < method.max_iterations and connected_fraction(masks, session.specs) > method.stop_ratio:
        result = session.train(number, masks, ratios, start=rewind_point or session.initial_parameters())
        rewind_point = rewind_point or result.checkpoints[0].parameters
        masks, ratios = prune(session, result, result.checkpoint_at(method.prune_step))
        number += 1


def prune(session: Session, result: Round, checkpoint: Checkpoint) -> tuple[tuple[Mask | None, ...], np.ndarray]:
    """Masks and nominal sparsities after one more pruning, by the magnitudes of `checkpoint`."""
    ratios = result.ratios + session.experiment.method.prune_ratio * (1 - result.ratios)
    next_ratio = iter(ratios)
    masks = tuple(
        layerwise(magnitude(parameters, mask), mask, next(next_ratio)) if spec.prunable else mask
        for spec, parameters, mask in zip(session.specs, checkpoint.parameters, result.masks, strict=True)
    )
    return masks, ratios


def restart(session: Session):
    """Where [Network] restart goes on: number, rewind point, masks and ratios of the first round to train."""
    network = session.experiment.network
    rewind_point = read_round_file(Path(network.rest_weights_file)).checkpoints[0].parameters
    previous = read_round_file(Path(network.rest_mask_file))
    return network.rest_it, rewind_point, *prune(session, previous, previous.checkpoints[network.restart_weights_step])
