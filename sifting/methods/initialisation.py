"""Pruning at initialisation, or at the rewind point of a restart: SNIP, SynFlow, GraSP, random masks, and your own.

Every level is pruned from the same untrained network and trained from its values.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sifting.architecture import LayerSpec
from sifting.base.extensions import described
from sifting.errors import InputError
from sifting.experiment.experiment import Experiment, Session
from sifting.experiment.keys import POSITIVE, choice, integer, key, optional, path
from sifting.methods.base import Levels, begin, dense_key, scope_key
from sifting.network.rounds import NOTHING, Mask, MaskedNetwork, Round, layer_counts
from sifting.pruning.scopes import SCOPES
from sifting.pruning.scores import Scores, uniform
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs

if TYPE_CHECKING:
    from sifting.network.forward import ScoredNetwork


class ByScores(Levels):
    """Those that compute scores of the untrained network and then cut."""

    scored_for_every_level: ClassVar = False

    def run(self, session: Session) -> None:
        """Score the network once, or for every level; the level removes the lowest scores."""
        start, scores = begin(session), Scores()
        network = session.network(start.rewind_point.parameters, start.dense.masks)
        for number, sparsity in self.levels_to_train(session, start):
            if not scores or self.scored_for_every_level:
                scores = self.scores(session, network, number)
            masks = SCOPES[self.scope](scores, network.masks, sparsity)
            self.train(session, number, masks, network.parameters)

    @abstractmethod
    def scores(self, session: Session, network: "ScoredNetwork", number: int) -> Scores:
        """Of the untrained network, for level `number`."""


@dataclass(frozen=True)
class Scored(ByScores):
    """Pruning at initialisation by a score of your own: a section is a subclass with `score`, see docs/extending.md."""

    scope: str = scope_key("global")
    dense: bool = dense_key()
    images: int = key(10000, integer(2), "number of training images for the score", scaled="images", least=2)

    @abstractmethod
    def score(self, network: "ScoredNetwork", x: NDArray[np.float32], labels: NDArray[np.int32]) -> Scores:
        """One number for each weight of the network where pruning begins; the lowest are pruned, see pruning.scores.

        Args:
            x: [images, channels * height * width], (pixel - mean) / 255; labels: [images].
        """

    def scores(self, session: Session, network: "ScoredNetwork", number: int) -> Scores:
        session.report(f"{self.name} scores")
        return checked_scores(self.name, self.score(network, *session.sample(self.images)), network)


def checked_scores(name: str, scores: object, network: MaskedNetwork) -> Scores:
    """What `score` of the class `name` gave. Raises InputError: it is not what Scored asks for."""

    def refusal(given: str, accepted: str) -> InputError:
        return InputError(f"[{name}] score gives {given}; accepted: {accepted}")

    if not isinstance(scores, dict) or not scores or not set(scores) <= set(network.prunable):
        given = f"scores for {list(scores)}" if isinstance(scores, dict) else described(scores)
        raise refusal(given, f"a dict from layer to Mask, for some of {network.prunable}, which [{name}] prune names")
    for layer, entry in scores.items():
        if not isinstance(entry, Mask):
            raise refusal(f"{described(entry)} for layer {layer}", "a Mask of scores")
        for part, values, mask in zip(Mask._fields, entry, network.masks[layer], strict=True):
            if values is NOTHING and part == "b":
                continue  # biases do not compete
            if not (isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.shape == mask.shape):
                given = f"{part} = {described(values)} for layer {layer}"
                raise refusal(given, f"an array of numbers {list(mask.shape)}")
    return scores


@dataclass(frozen=True)
class SNIP(Scored):
    """Connection sensitivity at initialisation (Lee et al. 2019)."""

    images: int = key(10000, integer(2), "number of training images in the one batch", scaled="images", least=2)
    moments: str = key(
        "batch",
        choice("batch", "initial"),
        "what normalises the layers' inputs: the batch's own moments, or the initial running ones, (0, 1)",
    )

    def score(self, network: "ScoredNetwork", x: NDArray[np.float32], labels: NDArray[np.int32]) -> Scores:
        """The scores of one batch give the masks of all levels (P&B 5.1)."""
        from sifting.pruning.gradients import snip  # TensorFlow takes seconds, which a refusal need not wait

        return snip(network, x, labels, self.moments)


@dataclass(frozen=True)
class GraSP(ByScores):
    """Preservation of the gradient flow at initialisation (Wang et al. 2020)."""

    scope: str = scope_key("global")
    dense: bool = dense_key()
    images: int = key(
        10000, integer(2), "number of training images, taken in batches of batch_size", scaled="images", least=2
    )
    moments: str = key("batch", choice("batch", "initial"), "as for [SNIP]; batch: of each batch of batch_size")
    temperature: float = key(200.0, POSITIVE, "divides the logits")

    def scores(self, session: Session, network: "ScoredNetwork", number: int) -> Scores:
        from sifting.pruning.gradients import grasp

        session.report(f"{self.name} scores")
        batch_size = session.experiment.network.batch_size
        return grasp(network, *session.sample(self.images), batch_size, self.temperature, self.moments)


@dataclass(frozen=True)
class SynFlow(Levels):
    """Synaptic flow at initialisation, without data (Tanaka et al. 2020)."""

    scope: str = scope_key("global")
    dense: bool = dense_key()
    iterations: int = key(100, integer(1), "steps of the exponential schedule to each level")

    def run(self, session: Session) -> None:
        """Every level is reached in many steps, with new scores in each (Tanaka et al. 2020; P&B 5.1)."""
        from sifting.pruning.gradients import iterated_synflow

        start = begin(session)
        network = session.network(start.rewind_point.parameters, start.dense.masks)
        for number, sparsity in self.levels_to_train(session, start):
            session.report(f"SynFlow in {self.iterations} iterations")
            masks = iterated_synflow(network, sparsity, self.iterations, SCOPES[self.scope])
            self.train(session, number, masks, network.parameters)


@dataclass(frozen=True)
class Random(ByScores):
    """Random masks, every level drawn independently; biases are kept."""

    like: str = key(
        None,
        optional(path("a run directory")),
        "run whose densities, layer by layer and round by round, are the levels",
        run=True,
    )
    scope: str = scope_key("layerwise")
    dense: bool = dense_key()
    weights_step: int = key(0, integer(0), "rewind step; less than steps; 0: the initial values", scaled="steps")
    scored_for_every_level: ClassVar = True

    def scores(self, session: Session, network: "ScoredNetwork", number: int) -> Scores:
        return uniform(network, session.experiment.network.seed, number)

    def levels_of(self, session: Session) -> Mapping[int, Any]:
        """`like` gives each layer the density of another run's."""
        if self.like is None:
            return super().levels_of(session)
        return levels_of_run(find_runs([self.like])[0], session.specs)

    def likely_rounds(self, inputs: Sequence[int]) -> int:
        return super().likely_rounds(inputs) if self.like is None else len(find_runs([self.like])[0].rounds())

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        return None if self.like is not None else super().sparsities(init_sparsity)

    def ways(self) -> dict[str, tuple[str, ...]]:
        return {**super().ways(), "like": ("like",)}

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        if self.like is not None and self.scope == "global":
            raise experiment.error(self.name, "scope", "layerwise with like, which gives each layer its density")

    def check_other_run(self, experiment: Experiment, name: str, numbers: list[int], stored: Round) -> None:
        if numbers == [0]:
            raise experiment.error(self.name, name, "a run with rounds besides round 0")


def levels_of_run(run: RunDirectory, specs: tuple[LayerSpec, ...]) -> dict[int, list[Fraction]]:
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
