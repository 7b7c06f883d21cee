"""The arch string, such as "f1024:f1024:x", and what it means for an image set: one LayerSpec a layer.

The kinds: `fN` dense + batch normalisation + ReLU with N nodes, `x` the output layer, `cK,F[,S]` convolution with
F kernels of K x K pixels and stride S, `pK,S` max-pool.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

DENSE, OUTPUT, CONVOLUTION, POOL = "f", "x", "c", "p"
LARGEST_SIZE = 10**6  # of a layer; a larger one is a slip of the pen
EPSILON = 1e-10  # of the reference's batch normalisation
GREY_LEVEL = np.float32(1 / 255)

_TOKENS = {
    DENSE: (re.compile(r"f([0-9]+)"), "fN with N >= 1 nodes"),
    OUTPUT: (re.compile(r"x()"), "x, the output layer, last and only once"),
    CONVOLUTION: (
        re.compile(r"c([0-9]+),([0-9]+)(?:,([0-9]+))?"),
        "cK,F or cK,F,S with kernel size K, F kernels, stride S >= 1",
    ),
    POOL: (re.compile(r"p([0-9]+),([0-9]+)"), "pK,S with window K and stride S >= 1"),
}
ACCEPTED = "layers joined by ':', the last one x: " + "; ".join(text for _, text in _TOKENS.values())


@dataclass(frozen=True)
class LayerToken:
    """One layer of an arch string, before the sizes of its inputs are known. `numbers`: those behind the letter."""

    kind: str
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return self.kind + ",".join(map(str, self.numbers))


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a network.

    Attributes:
        kind: "f", "x", "c" or "p".
        shape: (n_in, n_out) of a dense or output layer; (K, K, c_in, c_out, stride) of a convolution;
            (K, stride) of a max-pool. These are the numbers that the reference stores in its pickles.
        prunable: whether pruning may change the layer's masks.
    """

    kind: str
    shape: tuple[int, ...]
    prunable: bool

    @property
    def is_dense(self) -> bool:
        """Whether the layer has a bias, batch normalisation and running moments."""
        return self.kind in (DENSE, OUTPUT)

    @property
    def has_weights(self) -> bool:
        return self.kind != POOL

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """[n_in, n_out], or [K, K, c_in, c_out]; () for a layer without weights."""
        if self.is_dense:
            return self.shape
        return self.shape[:4] if self.kind == CONVOLUTION else ()

    @property
    def nodes(self) -> int:
        """Outputs of the layer: hidden units, classes or channels; 0 for a max-pool."""
        return self.weight_shape[-1] if self.has_weights else 0

    @property
    def parameters(self) -> int:
        """Trainable numbers: weights, and for dense layers n_out biases and n_in each of gamma and beta."""
        if not self.has_weights:
            return 0
        return math.prod(self.weight_shape) + (self.shape[1] + 2 * self.shape[0] if self.is_dense else 0)


def parse_arch(text: str) -> tuple[LayerToken, ...]:
    """Split an arch string into its layers.

    Raises:
        ValueError: a layer that is none of the four kinds, a size of zero, x missing, repeated or not last, or a
            convolution or max-pool behind a dense layer. The message says which layer.
    """
    tokens = []
    for part in text.split(":"):
        pattern, accepted = _TOKENS.get(part.strip()[:1], (None, ""))
        if pattern is None:
            raise ValueError(f"unknown layer {part.strip()!r}")
        match = pattern.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"layer {part.strip()!r} is not {accepted}")
        numbers = tuple(int(number) for number in match.groups() if number)
        if 0 in numbers or any(number > LARGEST_SIZE for number in numbers):
            raise ValueError(f"layer '{part.strip()}' has a size that is not 1 ... {LARGEST_SIZE}")
        tokens.append(LayerToken(part.strip()[0], numbers))
    kinds = "".join(token.kind for token in tokens)
    if kinds.count(OUTPUT) != 1 or kinds[-1] != OUTPUT:
        raise ValueError("the output layer x must stand last, and only there")
    if re.search("[fx].*[cp]", kinds):
        raise ValueError("a convolution or max-pool cannot follow a dense layer")
    return tuple(tokens)


def network_inputs(pixels: Any, mean: Any) -> Any:
    """What the networks see: (pixel - mean) * float32(1/255). Arrays or tensors, all float32 [..., n_in]."""
    return (pixels - mean) * GREY_LEVEL


def positions(extent: int, window: int, stride: int) -> int:
    """How many places a kernel or pooling window has along `extent` pixels, without padding."""
    return (extent - window) // stride + 1


def output_shapes(specs: tuple[LayerSpec, ...], image_shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """What each layer gives for one image: (channels, height, width); of a dense one (nodes, 1, 1)."""
    shapes = [image_shape]
    for spec in specs:
        channels, height, width = shapes[-1]
        if spec.is_dense:
            shapes.append((spec.nodes, 1, 1))
        else:
            size, stride = spec.shape[0], spec.shape[-1]
            shapes.append((spec.nodes or channels, positions(height, size, stride), positions(width, size, stride)))
    return shapes[1:]


def layer_outputs(specs: tuple[LayerSpec, ...], image_shape: tuple[int, int, int]) -> list[int]:
    """Numbers that each layer gives for one image: nodes, or channels * height * width."""
    return [math.prod(shape) for shape in output_shapes(specs, image_shape)]


def build_specs(
    tokens: tuple[LayerToken, ...], prune: tuple[bool, ...], image_shape: tuple[int, int, int], classes: int
) -> tuple[LayerSpec, ...]:
    """Give every layer its input size.

    Args:
        tokens: from parse_arch.
        prune: per layer; a shorter tuple leaves the layers at the end unpruned, as the reference does. A max-pool
            has nothing to prune, whatever its flag.
        image_shape: (channels, height, width).
        classes: number of outputs.

    Raises:
        ValueError: a kernel or pooling window larger than its input.
    """
    channels, height, width = image_shape
    flat = None  # inputs of the next dense layer, once there was one
    specs = []
    for index, token in enumerate(tokens):
        prunable = index < len(prune) and prune[index]
        if token.kind in (DENSE, OUTPUT):
            n_in = channels * height * width if flat is None else flat
            flat = token.numbers[0] if token.kind == DENSE else classes
            specs.append(LayerSpec(token.kind, (n_in, flat), prunable))
            continue
        size = token.numbers[0]
        stride = token.numbers[-1] if token.kind == POOL or len(token.numbers) == 3 else 1
        if size > min(height, width):
            raise ValueError(f"layer '{token}' is larger than its input of {height} x {width} pixels")
        if token.kind == CONVOLUTION:
            specs.append(LayerSpec(CONVOLUTION, (size, size, channels, token.numbers[1], stride), prunable))
            channels = token.numbers[1]
        else:
            specs.append(LayerSpec(POOL, (size, stride), False))
        height, width = positions(height, size, stride), positions(width, size, stride)
    return tuple(specs)
