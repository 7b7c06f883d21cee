"""The method sections of an input file, one for each driver; exactly one of them stands in a file.

[IMP], [LayerByLayer] and [Cavity] prune a fraction of what is left, round by round. The others have levels: round i
trains at the i-th sparsity, pruned from one and the same network.
"""

import dataclasses
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sifting import extensions
from sifting.errors import InputError
from sifting.keys import (
    FRACTION,
    POSITIVE,
    PRUNE,
    RATIO,
    SPARSITIES,
    anything,
    boolean,
    choice,
    extension,
    integer,
    key,
    optional,
    text,
)

if TYPE_CHECKING:  # forward imports TensorFlow
    from sifting.forward import MaskedNetwork
    from sifting.rounds import Mask


@dataclass(frozen=True)
class Method(ABC):
    """What all method sections have."""

    prune: tuple[bool, ...] = key(
        None, PRUNE, "which layers are pruned, in the order of arch; missing flags at the end are F; default: all T"
    )

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def rewind_step(self) -> int:
        """The step of round 0 whose values every round starts from; 0: the initial ones."""
        return getattr(self, "weights_step", 0)

    @property
    def dense_round(self) -> bool:
        """Whether round 0, the dense training, is part of the run."""
        return getattr(self, "dense", True)

    def default_prune(self, layers: int) -> tuple[bool, ...]:
        return (True,) * layers

    def stored_steps(self, number: int, steps: int) -> set[int]:
        """The steps of a round before which its values are stored."""
        return {self.rewind_step, steps} if number == 0 else {steps}

    @abstractmethod
    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        """The nominal sparsity of every round, round 0 first; None where it depends on more than this section."""


_Kind = TypeVar("_Kind", bound=Method)


def of_kind(method: Method, kind: type[_Kind]) -> _Kind:
    """The same section, for those who know which one it is. Raises TypeError: it is another."""
    if not isinstance(method, kind):
        raise TypeError(f"[{method.name}] is no [{kind.__name__}]")
    return method


def accumulate(sparsity: float, prune_ratio: float) -> Iterator[float]:
    """s, s + p (1 - s), ...: without end."""
    return itertools.accumulate(itertools.repeat(prune_ratio), lambda s, p: s + p * (1 - s), initial=sparsity)


# --- round by round ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Iterative(Method):
    """Methods that prune what is left, round by round."""

    prune_ratio: float = key(0.3, RATIO, "fraction of the remaining weights pruned per round")
    weights_step: int = key(1000, integer(0), "rewind step; less than prune_step and steps", scaled="steps")
    stop_ratio: float = key(
        0.0,
        FRACTION,
        "stop once, in some prunable layer, the fraction of connected nodes is <= this",
        continues=anything,
    )
    max_iterations: int = key(1000, integer(1), "number of rounds, round 0 included", continues=anything)

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        return itertools.islice(accumulate(init_sparsity, self.prune_ratio), self.max_iterations)


@dataclass(frozen=True)
class IterativeMagnitude(Iterative):
    """Those that prune by the magnitudes of trained weights."""

    prune_step: int = key(
        None, integer(1), "step whose weights make the mask; at most steps; default: steps", scaled="steps"
    )

    def stored_steps(self, number: int, steps: int) -> set[int]:
        return super().stored_steps(number, steps) | {self.prune_step}


@dataclass(frozen=True)
class IMP(IterativeMagnitude):
    """Iterative magnitude pruning."""

    scope: str = key(
        "layerwise",
        choice("layerwise", "global"),
        "layerwise: weights and biases of each layer in a pool of their own; global: the weights of all prunable "
        "layers in one pool, biases are kept",
    )


@dataclass(frozen=True)
class LayerByLayer(IterativeMagnitude):
    """Iterative magnitude pruning of one layer after the other, from the input on (P&B, B.6)."""

    layers: int = key(None, integer(1), "how many of the prunable layers to prune; default: all")
    first_layer: int = key(
        1, integer(1), "prunable layer to begin with; more than 1: after a restart, the layers before it are frozen"
    )
    freeze: str = key(
        "mask_and_weights",
        choice("mask_and_weights", "mask"),
        "what stays of a layer that is done: also the weights, as trained, or the mask alone",
    )
    stop_ratio: float = key(  # fixed for a run, unlike that of other methods: it decides which layer a round prunes
        0.0, FRACTION, "go on to the next layer once the fraction of connected nodes of the one at work is <= this"
    )

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        return None


@dataclass(frozen=True)
class Cavity(Iterative):
    """Experimental: prune first-layer weights by their cavity score at the rewind point, iteratively."""

    images: int = key(
        10000, integer(2), "number of training images that the scores are computed on", scaled="images", least=2
    )

    def default_prune(self, layers: int) -> tuple[bool, ...]:
        return (True,) + (False,) * (layers - 1)


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

    def levels(self, init_sparsity: float) -> tuple[float, ...]:
        """Sparsities of the rounds 1, 2, ..."""
        if self.sparsity is not None:
            return self.sparsity
        return tuple(itertools.islice(accumulate(init_sparsity, self.prune_ratio), 1, self.rounds + 1))

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        return iter((init_sparsity, *self.levels(init_sparsity)))


def _dense() -> Any:
    return key(True, boolean(), "train the dense network, too, as round 0")


def _scope(default: str) -> Any:
    return key(
        default, choice("global", "layerwise"), "global: one pool of all prunable layers; layerwise: one for each"
    )


@dataclass(frozen=True)
class OneShot(Levels):
    """Magnitude pruning in one step: every level is pruned from the same dense training."""

    weights_step: int = key(1000, integer(0), "rewind step; less than prune_step and steps", scaled="steps")
    prune_step: int = key(
        None, integer(1), "step whose weights make the masks; at most steps; default: steps", scaled="steps"
    )
    scope: str = key("layerwise", choice("layerwise", "global"), "as for [IMP]")
    dense_run: str = key(
        None,
        optional(text("a run directory")),
        "run, such as one of [IMP], whose round 0 is the dense training; default: none",
    )

    def stored_steps(self, number: int, steps: int) -> set[int]:
        return super().stored_steps(number, steps) | ({self.prune_step} if number == 0 else set())


@dataclass(frozen=True)
class Scored(Levels):
    """Pruning at initialisation by a score of your own: a section is a subclass with `score`, see docs/extending.md."""

    scope: str = _scope("global")
    dense: bool = _dense()
    images: int = key(10000, integer(2), "number of training images for the score", scaled="images", least=2)

    @abstractmethod
    def score(self, network: "MaskedNetwork", x: NDArray[np.float32], labels: NDArray[np.int32]) -> "dict[int, Mask]":
        """One number for each weight of the network where pruning begins; the lowest are pruned, see pruning.scores.

        Args:
            x: [images, channels * height * width], (pixel - mean) / 255; labels: [images].
        """


@dataclass(frozen=True)
class SNIP(Levels):
    """Connection sensitivity at initialisation (Lee et al. 2019)."""

    scope: str = _scope("global")
    dense: bool = _dense()
    images: int = key(10000, integer(2), "number of training images in the one batch", scaled="images", least=2)
    moments: str = key(
        "batch",
        choice("batch", "initial"),
        "what normalises the layers' inputs: the batch's own moments, or the initial running ones, (0, 1)",
    )


@dataclass(frozen=True)
class SynFlow(Levels):
    """Synaptic flow at initialisation, without data (Tanaka et al. 2020)."""

    scope: str = _scope("global")
    dense: bool = _dense()
    iterations: int = key(100, integer(1), "steps of the exponential schedule to each level")


@dataclass(frozen=True)
class GraSP(Levels):
    """Preservation of the gradient flow at initialisation (Wang et al. 2020)."""

    scope: str = _scope("global")
    dense: bool = _dense()
    images: int = key(
        10000, integer(2), "number of training images, taken in batches of batch_size", scaled="images", least=2
    )
    moments: str = key("batch", choice("batch", "initial"), "as for [SNIP]; batch: of each batch of batch_size")
    temperature: float = key(200.0, POSITIVE, "divides the logits")


@dataclass(frozen=True)
class Random(Levels):
    """Random masks, every level drawn independently; biases are kept."""

    like: str = key(
        None,
        optional(text("a run directory")),
        "run whose densities, layer by layer and round by round, are the levels",
    )
    scope: str = _scope("layerwise")
    dense: bool = _dense()
    weights_step: int = key(0, integer(0), "rewind step; less than steps; 0: the initial values", scaled="steps")

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        return None if self.like is not None else super().sparsities(init_sparsity)


METHODS: dict[str, type[Method]] = {
    method.__name__: method for method in (IMP, OneShot, SNIP, SynFlow, Random, LayerByLayer, GraSP, Cavity)
}
OTHER_RUNS = ("dense_run", "like")  # keys that name a run directory


def check_sections() -> None:
    """Refuse what an extension put into METHODS if no section can be made of it. Raises InputError."""
    for name, section in METHODS.items():
        if problem := _why_no_section(name, section):
            raise InputError(f"{extensions.NAME}.py: METHODS[{name!r}] {problem}")


def _why_no_section(name: str, section: type[Method]) -> str:
    """Empty if it is one."""
    if not (isinstance(section, type) and issubclass(section, Method)):
        return f"is {section!r}; accepted: a class that derives from sifting.methods.Scored"
    if section.__name__ != name:
        return f"is the class {section.__name__}; accepted: METHODS[{section.__name__!r}], the name of the class"
    if missing := ", ".join(sorted(section.__abstractmethods__)):
        return f"has no {missing}; accepted: a class that defines it as a method"
    fields = [entry for entry, value in vars(section).items() if isinstance(value, dataclasses.Field)]
    keys = [*inspect.get_annotations(section), *fields]
    if keys and "__dataclass_fields__" not in vars(section):
        return f"has the key {keys[0]}, but is no dataclass; accepted: @dataclass(frozen=True) above class {name}"
    for entry in dataclasses.fields(section):
        if "kind" not in entry.metadata:
            return f"does not say what {entry.name} accepts; accepted: a key(default, kind, help) of sifting.keys"
    return ""
