"""What one round of training leaves behind, by name instead of by position."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sifting.architecture import LayerSpec, layer_outputs
from sifting.base import html
from sifting.errors import DataError
from sifting.network.plates import Shape, image_plate, image_shape, input_images

BLOCK_IMAGES, BLOCK_NUMBERS = 500, 2**21  # what is held at once: images, and numbers that one layer makes of them
NOTHING = np.zeros(0, np.float32)  # what stands for the values that a convolution does not have


SHOWN_NODES = 20  # in a notebook


class Parameters(NamedTuple):
    """Trainable values of one layer, float32. A convolution has only W; its others are empty.

    W: [n_in, n_out] or [K, K, c_in, c_out]; b: [n_out]; gamma, beta: [n_in], of the input's normalisation.
    """

    W: np.ndarray
    b: np.ndarray = NOTHING
    gamma: np.ndarray = NOTHING
    beta: np.ndarray = NOTHING


class Mask(NamedTuple):
    """0 or 1 for each weight and bias of one layer, float32, shaped like W and b. A convolution's b is empty."""

    W: np.ndarray
    b: np.ndarray = NOTHING


class Moments(NamedTuple):
    """Running mean and (population) variance of the inputs of one dense layer, float32 [n_in] each."""

    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class MaskedNetwork:
    """Architecture and values of a network.

    Attributes:
        specs: from architecture.build_specs.
        image_shape: (channels, height, width).
        parameters, masks: by layer, of those with weights; arrays or tensors of any float type.
    """

    specs: tuple[LayerSpec, ...]
    image_shape: tuple[int, int, int]
    parameters: dict[int, Parameters]
    masks: dict[int, Mask]

    @property
    def prunable(self) -> list[int]:
        """The layers that are pruned."""
        return [layer for layer, spec in enumerate(self.specs) if spec.prunable]

    def blocks(self, count: int) -> Iterator[slice]:
        """Cut `count` images into runs of rows, few enough to hold what every layer makes of them: at most 500."""
        channels, height, width = self.image_shape
        largest = max(channels * height * width, *layer_outputs(self.specs, self.image_shape))
        return slices(count, max(1, min(BLOCK_IMAGES, BLOCK_NUMBERS // largest)))


def slices(count: int, rows: int) -> Iterator[slice]:
    """Cut `count` into runs of at most so many rows."""
    return (slice(start, min(start + rows, count)) for start in range(0, count, rows))


@dataclass(frozen=True)
class Checkpoint:
    """The network as it is before the update of step `step`, by layer of the architecture, 0, 1, ...

    Layers without weights have no parameters, those that are not dense no moments.
    """

    step: int
    parameters: dict[int, Parameters]
    moments: dict[int, Moments]


@dataclass(frozen=True)
class Round:
    """One train/prune cycle.

    Attributes:
        number: 0 for the dense round.
        specs: the architecture.
        sparsities: float64, one a prunable layer, of the masks as recorded: nominal where rounds prune a fraction of
            what is left layer by layer, else counted.
        masks: those used while training this round, by layer; a layer without weights has none.
        checkpoints: in the order of their steps; in round 0 the first one is the rewind point.
        training_errors: float32 [steps + 1], 1 - accuracy of each step's batch, before the update.
        validation_steps: the steps, multiples of validate_step, with a validation error.
        validation_errors: float32, one for each of them, with the weights before the step's update.
        recorded_shape: of the images, (channels, height, width); None where nothing says it, as in the TF1 code's runs.
    """

    number: int
    specs: tuple[LayerSpec, ...]
    sparsities: NDArray[np.float64]
    masks: dict[int, Mask]
    checkpoints: tuple[Checkpoint, ...]
    training_errors: NDArray[np.float32]
    validation_steps: tuple[int, ...]
    validation_errors: NDArray[np.float32]
    recorded_shape: Shape | None = None

    @property
    def image_shape(self) -> Shape | None:
        """Of the images that layer 1 looks at, if it is dense: the recorded one, or that of square images in colour or
        in grey; else None."""
        try:
            return image_shape(self.specs[0].shape[0], self.recorded_shape) if self.specs[0].is_dense else None
        except DataError:
            return None

    @property
    def best_validation_error(self) -> np.float32:
        return np.float32(np.min(self.validation_errors))

    def checkpoint_at(self, step: int | None) -> Checkpoint:
        """The checkpoint stored before the update of `step`; None: the last one. Raises DataError if there is none."""
        for checkpoint in reversed(self.checkpoints):
            if step in (None, checkpoint.step):
                return checkpoint
        accepted = ", ".join(str(checkpoint.step) for checkpoint in self.checkpoints) or "a round with stored weights"
        where = "" if step is None else f" at step {step}"
        raise DataError(f"round {self.number} stored no checkpoint{where}; accepted: {accepted}")

    def _repr_html_(self) -> str:
        """In a notebook: what is left of each layer, and the masks of the most connected nodes of layer 1."""
        counts = layer_counts(self.masks, self.specs)
        rows = [
            (c.layer + 1, f"{c.kept:,} of {c.total:,}", f"{100 * c.density:.2f} %", f"{c.connected:,} of {c.nodes:,}")
            for c in counts
        ]
        error = f", best validation error {self.best_validation_error:.4f}" if self.validation_errors.size else ""
        text = f"<p>round {self.number}: u = {100 * density(self.masks, self.specs):.2f} %{error}</p>"
        text += html.table(("layer", "weights", "u", "connected nodes"), rows)
        shape = self.image_shape
        if shape is None:
            return text
        mask = self.masks[0].W != 0
        most = np.argsort(-np.count_nonzero(mask, axis=0), kind="stable")[:SHOWN_NODES]
        plate = image_plate(input_images(mask[:, most], shape).astype(np.float32), columns=SHOWN_NODES // 2)
        return text + html.picture(plate, width=640)


@dataclass
class RoundInProgress:
    """A round while it is trained. Nothing of step `step` has been done.

    Attributes:
        number, specs, sparsities, masks: as of Round.
        training_errors: float32 [steps + 1]; those of the steps before `step` are known.
        checkpoints, validation_steps, validation_errors: so far, as of Round.
        step: the next one to train.
        seconds: that the round took before this process went on with it.
        state: values of network and optimizer by name that it goes on from; {} at its begin.
        sparse: the layers that train by their kept weights alone, see sparse.choice.
    """

    number: int
    specs: tuple[LayerSpec, ...]
    sparsities: NDArray[np.float64]
    masks: dict[int, Mask]
    training_errors: NDArray[np.float32]
    checkpoints: list[Checkpoint] = field(default_factory=list)
    validation_steps: list[int] = field(default_factory=list)
    validation_errors: list[np.float32] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    state: Mapping[str, np.ndarray] = field(default_factory=dict)
    sparse: tuple[int, ...] = ()

    @classmethod
    def of(cls, so_far: Round, steps: int, **more: Any) -> "RoundInProgress":
        """What goes on from `so_far`, in a round of so many steps; `more`: attributes that a Round does not have."""
        errors = np.zeros(max(steps + 1, len(so_far.training_errors)), np.float32)
        errors[: len(so_far.training_errors)] = so_far.training_errors
        lists: Iterator[Any] = map(list, (so_far.checkpoints, so_far.validation_steps, so_far.validation_errors))
        return cls(so_far.number, so_far.specs, so_far.sparsities, so_far.masks, errors, *lists, **more)

    def so_far(self) -> Round:
        """What there is of the round; all of it, once the last step is trained."""
        return Round(
            self.number,
            self.specs,
            self.sparsities,
            self.masks,
            tuple(self.checkpoints),
            self.training_errors[: self.step].copy(),
            tuple(self.validation_steps),
            np.array(self.validation_errors, np.float32),
        )


class LayerCount(NamedTuple):
    """What a mask keeps of one layer, biases not counted.

    layer: its place in the architecture; kept, total: weights; connected: nodes that keep at least one input weight,
    of `nodes`; prunable: see LayerSpec.
    """

    layer: int
    kept: int
    total: int
    connected: int
    nodes: int
    prunable: bool

    @property
    def density(self) -> float:
        """u of the layer."""
        return self.kept / self.total


def layer_counts(masks: Mapping[int, Mask], specs: tuple[LayerSpec, ...]) -> tuple[LayerCount, ...]:
    """One entry for each layer with weights."""
    return tuple(
        LayerCount(
            layer,
            int(np.count_nonzero(W)),
            W.size,
            int(np.count_nonzero(np.any(W != 0, axis=tuple(range(W.ndim - 1))))),
            spec.nodes,
            spec.prunable,
        )
        for layer, (W, _) in masks.items()
        for spec in [specs[layer]]
    )


def density(masks: Mapping[int, Mask], specs: tuple[LayerSpec, ...]) -> float:
    """u: the fraction of the weights of all prunable layers that the masks keep, counted (biases not)."""
    counts = [count for count in layer_counts(masks, specs) if count.prunable]
    return sum(count.kept for count in counts) / sum(count.total for count in counts)


def counted_sparsities(masks: Mapping[int, Mask], specs: tuple[LayerSpec, ...]) -> NDArray[np.float64]:
    """1 - u of each prunable layer, float64, counted (biases not)."""
    return np.array([1 - count.density for count in layer_counts(masks, specs) if count.prunable])


def connected_fraction(masks: Mapping[int, Mask], specs: tuple[LayerSpec, ...]) -> float:
    """The smallest fraction, over the prunable layers, of nodes that keep at least one input weight."""
    return min(count.connected / count.nodes for count in layer_counts(masks, specs) if count.prunable)
