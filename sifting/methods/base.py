"""What methods share: the two kinds, round by round and level by level, and where pruning begins."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sifting.architecture import LayerSpec
from sifting.experiment.experiment import Experiment, Method, Session
from sifting.experiment.keys import (
    FRACTION,
    RATIO,
    SPARSITIES,
    anything,
    boolean,
    choice,
    extension,
    integer,
    key,
    optional,
)
from sifting.network.rounds import Checkpoint, Mask, Parameters, Round, connected_fraction, counted_sparsities, density
from sifting.pruning.scopes import Sparsity
from sifting.runs.reference import read_round_file

_Sparsity = TypeVar("_Sparsity", float, NDArray[np.float64])


def further(sparsity: _Sparsity, prune_ratio: float) -> _Sparsity:
    """The sparsity, a number or one for each layer, after prune_ratio of the remaining weights went."""
    return sparsity + prune_ratio * (1 - sparsity)


class PrunedAt(Method):
    """Methods with a key prune_step: its weights make the masks."""

    prune_step: int

    def trained_step(self, steps: int) -> int:
        return self.prune_step

    def trained_step_in_words(self, steps: int) -> str:
        return f"{self.prune_step} (prune_step, by default steps)"

    def check(self, experiment: Experiment) -> None:
        if self.prune_step > experiment.network.steps:
            raise experiment.error(self.name, "prune_step", f"at most [Network] steps = {experiment.network.steps}")
        super().check(experiment)

    def defaults(self, experiment: Experiment) -> dict[str, Any]:
        step = experiment.network.steps if self.prune_step is None else self.prune_step
        return {**super().defaults(experiment), "prune_step": step}


# --- where pruning begins ------------------------------------------------------------------------------------------


class Start(NamedTuple):
    """The network that is pruned, and the values that every round starts from.

    Attributes:
        number: of the first pruned round.
        dense: the round whose masks and sparsities are pruned further; it has no checkpoints where nothing was trained.
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
    """Train round 0 (or find it stored), leave it out, or read the files of a restart."""
    method, network = session.experiment.method, session.experiment.network
    if network.restart:
        first, pruned = (read_round_file(Path(path)) for path in (network.rest_weights_file, network.rest_mask_file))
        trained = pruned.checkpoints[network.restart_weights_step]
        return Start(network.rest_it, pruned, first.checkpoints[0], trained, float(first.best_validation_error))
    masks, parameters = session.initial_masks(), session.initial_parameters()
    nominal = np.full(len(session.experiment.prunable), network.init_sparsity)
    if not method.dense:
        empty = np.zeros(0, np.float32)
        untrained = Checkpoint(0, parameters, {})
        return Start(1, Round(0, session.specs, nominal, masks, (), empty, (), empty), untrained, untrained, np.nan)
    dense = session.train(0, masks, nominal, parameters)
    trained = dense.checkpoint_at(method.trained_step(network.steps))
    return Start(1, dense, dense.checkpoints[0], trained, float(dense.best_validation_error))


# --- round by round ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Iterative(Method):
    """Methods that prune what is left, round by round."""

    round_by_round: ClassVar[bool] = True

    prune_ratio: float = key(0.3, RATIO, "fraction of the remaining weights pruned per round")
    weights_step: int = key(1000, integer(0), "rewind step; less than prune_step and steps", scaled="steps")
    stop_ratio: float = key(
        0.0,
        FRACTION,
        "stop once, in some prunable layer, the fraction of connected nodes is <= this",
        continues=anything,
    )
    stop_density: float = key(
        0.0,
        FRACTION,
        "stop after the first round whose density u, of all prunable layers, is <= this, or less than 1 % above it",
        continues=anything,
    )
    max_iterations: int = key(1000, integer(1), "number of rounds, round 0 included", continues=anything)

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        sparsities = itertools.islice(nominal_sparsities(init_sparsity, self.prune_ratio), self.max_iterations)
        return self._until_stop_density(sparsities)

    def _until_stop_density(self, sparsities: Iterator[float]) -> Iterator[float]:
        for sparsity in sparsities:
            yield sparsity
            if self.sparse_enough(1 - sparsity):
                return

    def sparse_enough(self, u: float) -> bool:
        """Whether rounds end with this density. Those of a nominal density of stop_density do: counting whole weights,
        and biases in the same pool, leaves up to 1 / n_in more."""
        return u <= 1.01 * self.stop_density

    def ends(self, masks: Mapping[int, Mask], pruned: Mapping[int, Mask], specs: tuple[LayerSpec, ...]) -> bool:
        """Whether the round of `masks` is the last one, so that the next, of `pruned`, is not trained."""
        return self.sparse_enough(density(masks, specs)) or connected_fraction(pruned, specs) <= self.stop_ratio

    def likely_rounds(self, inputs: Sequence[int]) -> int:
        return min(self.max_iterations, 1 + min(map(self.until_stop, inputs)))

    def until_stop(self, n: int) -> int:
        """Rounds until u = (1 - prune_ratio)^rounds is stop_density, or leaves a node of n inputs one connection."""
        return math.ceil(math.log(max(1 / max(n, 2), self.stop_density)) / math.log(1 - self.prune_ratio))

    @property
    def last_round(self) -> str:
        or_density = f" or stop_density = {self.stop_density}" if self.stop_density else ""
        return f"until stop_ratio = {self.stop_ratio}{or_density}, at most {self.max_iterations} rounds"

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        if experiment.network.restart and experiment.network.rest_it >= self.max_iterations:
            accepted = f"less than [{self.name}] max_iterations = {self.max_iterations}"
            raise experiment.error("Network", "rest_it", accepted)


def nominal_sparsities(sparsity: float, prune_ratio: float) -> Iterator[float]:
    """s, s + p (1 - s), ...: without end."""
    return itertools.accumulate(itertools.repeat(prune_ratio), further, initial=sparsity)


@dataclass(frozen=True)
class IterativeMagnitude(PrunedAt, Iterative):
    """Those that prune by the magnitudes of trained weights."""

    prune_step: int = key(
        None, integer(1), "step whose weights make the mask; at most steps; default: steps", scaled="steps"
    )

    def stored_steps(self, number: int, steps: int) -> set[int]:
        return super().stored_steps(number, steps) | {self.prune_step}


# --- level by level ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Levels(Method):
    """Methods whose round i trains at the i-th level, each pruned from the same network."""

    sparsity: tuple[float, ...] = key(
        None, optional(SPARSITIES), "the levels, increasing; or prune_ratio and rounds", continues=extension
    )
    prune_ratio: float = key(
        None, optional(RATIO), "levels as [IMP] has them: fraction of the remaining weights pruned a level"
    )
    rounds: int = key(None, optional(integer(1)), "number of these levels", continues=anything)

    def levels_to_train(self, session: Session, start: Start) -> Iterator[tuple[int, Any]]:
        """(number, sparsity) of the rounds that are not stored yet; so a finished run computes no scores.

        `sparsity`: to reach; one number, or one for each prunable layer, which only a layerwise scope can have.
        """
        for number, sparsity in self.levels_of(session).items():
            if number >= start.number and not session.finished(number):
                yield number, sparsity

    def levels(self, init_sparsity: float) -> tuple[float, ...]:
        """Sparsities of the rounds 1, 2, ..."""
        if self.sparsity is not None:
            return self.sparsity
        return tuple(itertools.islice(nominal_sparsities(init_sparsity, self.prune_ratio), 1, self.rounds + 1))

    def levels_of(self, session: Session) -> Mapping[int, Sparsity | list[Sparsity]]:
        """The sparsity to reach by number of the round; several: one for each prunable layer."""
        return dict(enumerate(self.levels(session.experiment.network.init_sparsity), 1))

    @staticmethod
    def train(session: Session, number: int, masks: dict[int, Mask], parameters: dict[int, Parameters]) -> None:
        """Train a level's round; its sparsities are the counted ones."""
        session.train(number, masks, counted_sparsities(masks, session.specs), parameters)

    def likely_rounds(self, inputs: Sequence[int]) -> int:
        return 1 + len(self.levels(0.0))

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        return iter((init_sparsity, *self.levels(init_sparsity)))

    def ways(self) -> dict[str, tuple[str, ...]]:
        """How the levels can be given, in words, and the keys that do it."""
        return {"sparsity": ("sparsity",), "prune_ratio and rounds": ("prune_ratio", "rounds")}

    def check(self, experiment: Experiment) -> None:
        """Also: the levels must be given in one way, lie above init_sparsity, and reach to where a restart begins."""
        super().check(experiment)
        network, name = experiment.network, self.name
        given = {entry for keys in self.ways().values() for entry in keys if getattr(self, entry) is not None}
        if not any(given == set(keys) for keys in self.ways().values()):
            shown = ", ".join(sorted(given)) or "none"
            raise experiment.error(
                name,
                next(iter(sorted(given)), "sparsity"),
                f"the levels given in exactly one way: {', or '.join(self.ways())}; given: {shown}",
            )
        if not self.dense and self.weights_step and not network.restart:
            raise experiment.error(name, "weights_step", "0 with dense = false: the rewind point belongs to round 0")
        if self.sparsities(network.init_sparsity) is None:
            return
        levels = self.levels(network.init_sparsity)
        if levels[0] <= network.init_sparsity:
            raise experiment.error(name, "sparsity", f"levels above [Network] init_sparsity = {network.init_sparsity}")
        if network.restart and network.rest_it > len(levels):
            raise experiment.error("Network", "rest_it", f"at most {len(levels)}, the number of levels")


def dense_key() -> Any:
    return key(True, boolean(), "train the dense network, too, as round 0")


def scope_key(default: str) -> Any:
    return key(
        default, choice("global", "layerwise"), "global: one pool of all prunable layers; layerwise: one for each"
    )
