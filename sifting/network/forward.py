"""The network as plain values: what each layer makes of its input, in any float type, for TensorFlow to differentiate.

Scores and analyses use this; training uses the Keras model of network.py, whose validation mode gives the same numbers.
Between layers values are [n, features], channel-major: channels * height * width after a convolution or max-pool.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from sifting.architecture import CONVOLUTION, OUTPUT, output_shapes
from sifting.base.compute import on_gpu
from sifting.layers import affine, normalise
from sifting.network.rounds import Mask, MaskedNetwork, Moments, Parameters

Kind = TypeVar("Kind", bound=MaskedNetwork)


def as_tensors(network: Kind, dtype: Any) -> Kind:
    """The same values as tensors of one type: those that `apply_layer` uses, so that a tape can watch them."""

    def cast(values: Iterable[np.ndarray]) -> Iterator[tf.Tensor]:
        return (tf.cast(value, dtype) for value in values)

    parameters = {layer: Parameters(*cast(values)) for layer, values in network.parameters.items()}
    masks = {layer: Mask(*cast(values)) for layer, values in network.masks.items()}
    return replace(network, parameters=parameters, masks=masks)


def apply_layer(network: MaskedNetwork, layer: int, x: tf.Tensor, moments: Moments | None = None) -> tf.Tensor:
    """What one layer makes of its input, in the type of x.

    A dense layer: y = (gamma * z + beta) @ (W * mask_W) + b * mask_b with z = (x - mean) / sqrt(variance + 1e-10), or
    z = x without moments, then ReLU but for the output layer. A convolution: ReLU, VALID, no bias. Or a max-pool.

    Args:
        x: float [n, n_in], channel-major.
        moments: [n_in] each, of the input of a dense layer.

    Returns:
        [n, n_out], channel-major.
    """
    spec = network.specs[layer]

    def cast(*values: np.ndarray | tf.Tensor) -> Iterator[tf.Tensor]:
        return (tf.cast(value, x.dtype) for value in values)

    if spec.is_dense:
        z = x if moments is None else normalise(x, *cast(*moments))
        W, b, gamma, beta = cast(*network.parameters[layer])
        mask_W, mask_b = cast(*network.masks[layer])
        y = affine(z, gamma, beta, W * mask_W, b * mask_b)
        return y if spec.kind == OUTPUT else tf.nn.relu(y)
    input_shapes = [network.image_shape, *output_shapes(network.specs[:layer], network.image_shape)]
    images = tf.transpose(tf.reshape(x, (-1, *input_shapes[layer])), (0, 2, 3, 1))
    if spec.kind == CONVOLUTION:
        W, mask_W = cast(network.parameters[layer].W, network.masks[layer].W)
        images = tf.nn.relu(tf.nn.conv2d(images, W * mask_W, spec.shape[-1], "VALID"))
    else:
        images = tf.nn.max_pool2d(images, *spec.shape, "VALID")
    return tf.reshape(tf.transpose(images, (0, 3, 1, 2)), (-1, images.shape[1:].num_elements()))


def forward(
    network: MaskedNetwork,
    x: tf.Tensor,
    moments: Mapping[int, Moments] | Callable[[tf.Tensor], Moments] | None = None,
    observe: Callable[[int, tf.Tensor], None] | None = None,
) -> tf.Tensor:
    """Logits [n, classes], in the type of x.

    Args:
        x: float [n, channels * height * width], channel-major: (pixel - mean) / 255.
        moments: by layer, those that normalise its input, such as a checkpoint's; or what makes them of the input of a
            dense layer; None: nothing is normalised.
        observe: called with every layer and its input [n, n_in], first to last.
    """
    for layer, spec in enumerate(network.specs):
        if observe is not None:
            observe(layer, x)
        if callable(moments):
            own = moments(x) if spec.is_dense else None
        else:
            own = moments.get(layer) if moments else None
        x = apply_layer(network, layer, x, own)
    return x


@dataclass(frozen=True)
class ScoredNetwork(MaskedNetwork):
    """A network that TensorFlow differentiates. Scores ask no more of it than this class has; so those of other
    networks (keras_models.network) are computed by the same code."""

    def moments_by(self, x: Any, moments: str | None) -> dict[int, Moments]:
        """What normalises the input of each layer, float64, for "batch", "initial" or None; see gradients.snip."""
        dense = [(layer, spec.shape[0]) for layer, spec in enumerate(self.specs) if spec.is_dense]
        if moments == "batch":
            return moments_over(self, x)
        if moments == "initial":
            return {n: Moments(tf.zeros(inputs, tf.float64), tf.ones(inputs, tf.float64)) for n, inputs in dense}
        if moments is None:
            return {}
        raise ValueError(f"moments = {moments!r}: accepted: 'batch', 'initial' or None")

    def loss(
        self, x: Any, labels: Any, moments: Any = None, observe: Any = None, temperature: float = 1.0
    ) -> tf.Tensor:
        """-log softmax(logits / temperature)[label], summed over images, float64. Other arguments as of forward."""
        logits = forward(self, tf.cast(x, tf.float64), moments, observe) / temperature
        if on_gpu():  # where TensorFlow has no float64 kernel of the other; equal, but for the last bit of a gradient
            wanted = tf.one_hot(labels, logits.shape[1], dtype=logits.dtype)
            return tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
        return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

    def flow(self) -> tf.Tensor:
        """Sum of the logits for one input of ones, without normalisation; float64."""
        return tf.reduce_sum(forward(self, tf.ones((1, np.prod(self.image_shape)), tf.float64)))


def moments_over(network: MaskedNetwork, x: np.ndarray | tf.Tensor) -> dict[int, Moments]:
    """Mean and population variance of every dense layer's input over all images, each layer before it normalised
    with its own: what training would use if the images were one batch.

    Blocks are merged exactly (Chan et al. 1983), in one pass over the images a dense layer.

    Args:
        x: [n, channels * height * width], array or tensor; only a block of it is converted at a time.

    Returns:
        Moments, float64 [n_in] each, by layer, of the dense ones.
    """
    moments: dict[int, Moments] = {}
    for layer in (layer for layer, spec in enumerate(network.specs) if spec.is_dense):
        count = 0
        mean: tf.Tensor = 0.0
        squares: tf.Tensor = 0.0  # sum of (x - mean)^2
        for rows in network.blocks(len(x)):
            values = tf.cast(x[rows], tf.float64)
            for before in range(layer):
                values = apply_layer(network, before, values, moments.get(before))
            new = len(values)
            block = single_batch_moments(values)
            change = block.mean - mean
            squares += new * block.variance + change**2 * (count * new / (count + new))
            mean += change * (new / (count + new))
            count += new
        moments[layer] = Moments(mean, squares / count)
    return moments


def single_batch_moments(x: tf.Tensor) -> Moments:
    """Mean and population variance over axis 0 of [n, n_in].

    Unlike tf.nn.moments it keeps the mean of the variance differentiable, without which second derivatives are wrong.
    """
    mean = tf.reduce_mean(x, axis=0)
    return Moments(mean, tf.reduce_mean((x - mean) ** 2, axis=0))
