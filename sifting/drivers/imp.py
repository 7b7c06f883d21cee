"""Iterative magnitude pruning (Frankle & Carbin 2019; P&B section 3, A.3), with rewinding."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sifting.drivers.start import begin
from sifting.methods import IMP, of_kind
from sifting.pruning.scopes import globally, layerwise, reference_threshold
from sifting.pruning.scores import magnitude
from sifting.rounds import Checkpoint, Mask, Round, connected_fraction, counted_sparsities, density
from sifting.session import Session

_Sparsity = TypeVar("_Sparsity", float, NDArray[np.float64])


def run(session: Session) -> None:
    """Train, prune the smallest weights, rewind; until max_iterations or stop_ratio.

    Every round trains all steps, from the values that round 0 had at weights_step. Its masks come from the
    magnitudes at prune_step of the round before.
    """
    method, restart = of_kind(session.experiment.method, IMP), session.experiment.network.restart
    if not restart and connected_fraction(session.initial_masks(), session.specs) <= method.stop_ratio:
        return
    start = begin(session)
    result, trained = start.dense, start.trained
    for number in range(start.number, method.max_iterations):
        masks, ratios = prune(session, result, trained)
        if connected_fraction(masks, session.specs) <= method.stop_ratio:
            break
        result = session.train(number, masks, ratios, start.rewind_point.parameters)
        trained = result.checkpoint_at(method.prune_step)


def prune(session: Session, result: Round, trained: Checkpoint) -> tuple[dict[int, Mask], NDArray[np.float64]]:
    """Masks and sparsities of the next round: prune_ratio of what is left goes, by the magnitudes of `trained`."""
    method = of_kind(session.experiment.method, IMP)
    network = session.network(trained.parameters, result.masks)
    if method.scope == "global":
        sparsity = 1 - density(result.masks, session.specs)
        masks = globally(magnitude(network, biases=False), result.masks, further(sparsity, method.prune_ratio))
        return masks, counted_sparsities(masks, session.specs)
    ratios = further(result.ratios, method.prune_ratio)
    return layerwise(magnitude(network), result.masks, ratios, reference_threshold), ratios


def further(sparsity: _Sparsity, prune_ratio: float) -> _Sparsity:
    """The sparsity, a number or one for each layer, after prune_ratio of the remaining weights went."""
    return sparsity + prune_ratio * (1 - sparsity)
