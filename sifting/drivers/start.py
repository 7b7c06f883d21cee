"""Where pruning begins: behind the dense training, at the initial network, or where a restart says."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sifting.architecture import LayerSpec
from sifting.methods import Levels, OneShot, Random, of_kind
from sifting.rounds import Checkpoint, Mask, Parameters, Round, counted_sparsities, layer_counts
from sifting.run_directory import RunDirectory, find_runs, read_round_file
from sifting.session import Session


class Start(NamedTuple):
    """The network that is pruned, and the values that every round starts from.

    Attributes:
        number: of the first pruned round.
        dense: the round whose masks and ratios are pruned further; it has no checkpoints where nothing was trained.
        rewind_point: the values (and moments) at weights_step of round 0, or the initial ones.
        trained: the checkpoint of `dense` that magnitudes are taken from.
        dense_error: best validation error of the dense training; nan if there was none.
    """

    number: int
    dense: Round
    rewind_point: Checkpoint
    trained: Checkpoint
    dense_error: float


def begin(session: Session) -> Start:
    """Train round 0 (or find it stored), take it from `dense_run`, leave it out, or read the files of a restart."""
    experiment, method = session.experiment, session.experiment.method
    network = experiment.network
    if network.restart:
        first, pruned = (read_round_file(Path(path)) for path in (network.rest_weights_file, network.rest_mask_file))
        trained = pruned.checkpoints[network.restart_weights_step]
        return Start(network.rest_it, pruned, first.checkpoints[0], trained, float(first.best_validation_error))
    masks, parameters = session.initial_masks(), session.initial_parameters()
    ratios = np.full(len(counted_sparsities(masks, session.specs)), network.init_sparsity)
    if not method.dense_round:
        empty = np.zeros(0, np.float32)
        untrained = Checkpoint(0, parameters, {})
        return Start(1, Round(0, session.specs, ratios, masks, (), empty, (), empty), untrained, untrained, np.nan)
    if isinstance(method, OneShot) and method.dense_run is not None and not session.finished(0):
        session.report(f"round 0 is that of {method.dense_run}")
        session.adopt(dense_round_of(find_runs([method.dense_run])[0], session.specs))
    dense = session.train(0, masks, ratios, parameters)
    trained = dense.checkpoint_at(getattr(method, "prune_step", network.steps))
    return Start(1, dense, dense.checkpoints[0], trained, float(dense.best_validation_error))


def dense_round_of(run: RunDirectory, specs: tuple[LayerSpec, ...]) -> Round:
    """Round 0 of a run of the same architecture; unchanged where the same layers are prunable."""
    dense = run.read_round(0)
    if dense.specs == specs:
        return dense
    return replace(dense, specs=specs, ratios=counted_sparsities(dense.masks, specs))


def levels_to_train(session: Session, start: Start) -> Iterator[tuple[int, Any]]:
    """(number, sparsity) of the rounds that are not stored yet; so a finished run computes no scores.

    `sparsity` is one number, or one for each prunable layer; inputs.py sees to it that the scope can take it.
    """
    method = session.experiment.method
    levels: Mapping[int, float | list[Fraction]]
    if isinstance(method, Random) and method.like is not None:
        levels = levels_of(find_runs([method.like])[0], session.specs)
    else:
        levels = dict(enumerate(of_kind(method, Levels).levels(session.experiment.network.init_sparsity), 1))
    for number, sparsity in levels.items():
        if number >= start.number and not session.finished(number):
            yield number, sparsity


def levels_of(run: RunDirectory, specs: tuple[LayerSpec, ...]) -> dict[int, list[Fraction]]:
    """Number of each round of a run but the first: the counted sparsity of each layer that is prunable in `specs`.

    Fractions, so that the same number of weights is pruned and not one less.
    """
    levels = {}
    for number in run.rounds():
        if number > 0:
            result = run.read_round(number)
            counts = layer_counts(result.masks, result.specs)
            levels[number] = [
                Fraction(count.total - count.kept, count.total) for count in counts if specs[count.layer].prunable
            ]
    return levels


def train_level(session: Session, number: int, masks: dict[int, Mask], parameters: dict[int, Parameters]) -> Round:
    """Train a level's round; its ratios are the counted sparsities."""
    return session.train(number, masks, counted_sparsities(masks, session.specs), parameters)
