"""Oneshot magnitude pruning (Frankle & Carbin 2019; P&B 5.1; Redman 3.2): one dense training, one cut a level."""

from dataclasses import dataclass, replace
from typing import ClassVar

from sifting.architecture import LayerSpec
from sifting.experiment.experiment import Experiment, Session
from sifting.experiment.keys import choice, integer, key, optional, path
from sifting.methods.base import Levels, PrunedAt, begin
from sifting.network.rounds import Round, counted_sparsities
from sifting.pruning.scopes import by_magnitude
from sifting.runs.find import find_runs


@dataclass(frozen=True)
class OneShot(PrunedAt, Levels):
    """Magnitude pruning in one step: every level is pruned from the same dense training."""

    adopts_from: ClassVar[str] = "dense_run"

    weights_step: int = key(1000, integer(0), "rewind step; less than prune_step and steps", scaled="steps")
    prune_step: int = key(
        None, integer(1), "step whose weights make the masks; at most steps; default: steps", scaled="steps"
    )
    scope: str = key("layerwise", choice("layerwise", "global"), "as for [IMP]")
    dense_run: str = key(
        None,
        optional(path("a run directory")),
        "run, such as one of [IMP], whose round 0 is the dense training; default: none",
        run=True,
    )

    def run(self, session: Session) -> None:
        """Every level is pruned from the same trained weights, rewound to weights_step of round 0 and trained again.

        Pools and ties as for IMP, so that the first level of both methods has the same masks.
        """
        if self.dense_run is not None and not session.finished(0):
            session.report(f"round 0 is that of {self.dense_run}")
            session.adopt(of_architecture(find_runs([self.dense_run])[0].read_round(0), session.specs))
        start = begin(session)
        network = session.network(start.trained.parameters, start.dense.masks)
        for number, sparsity in self.levels_to_train(session, start):
            masks = by_magnitude(network, sparsity, self.scope)
            self.train(session, number, masks, start.rewind_point.parameters)

    def stored_steps(self, number: int, steps: int) -> set[int]:
        return super().stored_steps(number, steps) | ({self.prune_step} if number == 0 else set())

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        if experiment.network.restart and self.dense_run is not None:
            raise experiment.error(self.name, "dense_run", "not with restart, which says itself where to begin")

    def round_of_other_run(self, name: str, numbers: list[int]) -> int:
        return 0

    def check_other_run(self, experiment: Experiment, name: str, numbers: list[int], stored: Round) -> None:
        steps = [checkpoint.step for checkpoint in stored.checkpoints]
        needed = sorted(self.stored_steps(0, experiment.network.steps))
        if not (steps and steps[0] == self.weights_step and set(needed) <= set(steps)):
            accepted = f"a run whose round 0 stored its weights at steps {needed}; this one has {steps}"
            raise experiment.error(self.name, name, accepted)


def of_architecture(dense: Round, specs: tuple[LayerSpec, ...]) -> Round:
    """A dense round with these layers prunable; unchanged where they are already."""
    if dense.specs == specs:
        return dense
    return replace(dense, specs=specs, sparsities=counted_sparsities(dense.masks, specs))
