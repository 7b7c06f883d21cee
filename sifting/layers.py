"""MaskedDense and MaskedConv2D: the reference's blocks as Keras layers. Masks are non-trainable weights."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from sifting.architecture import EPSILON, network_inputs, positions
from sifting.base import compute  # noqa: F401  settles the device for whoever computes

Shape = tuple[Any, ...]  # as Keras passes it: integers, but for the batch, which is None


def affine(z: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, W: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """y = (gamma * z + beta) @ W + b, [batch, n_out].

    Args:
        z: [batch, n_in], normalised inputs.
        gamma, beta: [n_in]; W: [n_in, n_out] and b: [n_out], both masked.
    """
    return tf.matmul(gamma * z + beta, W) + b


def batch_moments(x: tf.Tensor, count: tf.Tensor, compiled: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and population variance over the batch.

    The reference's rounding of the mean is kept to the last bit, because a constant feature turns it into signal
    (see `normalise`). Its CPU kernel adds the images in four interleaved partial sums. TensorFlow still does; XLA
    adds in another order and multiplies by 1/count, so there the order is spelled out and the division is by a
    number that the compiler cannot know. Under XLA the mean has the kernel's bits up to 128 images, beyond which XLA
    splits the partial sums, and but for the last features where their number is no multiple of 16; the variance
    agrees to rounding only.

    Args:
        x: float32 [batch, n_in].
        count: float32 scalar, the batch size.
        compiled: whether the caller is traced for XLA.

    Returns:
        float32 [n_in] each.
    """

    def average(values: tf.Tensor) -> tf.Tensor:
        if not compiled:
            return tf.reduce_mean(values, axis=0)
        whole = values.shape[0] // 4 * 4
        lanes = tf.reduce_sum(tf.reshape(values[:whole], (-1, 4, values.shape[1])), axis=0)
        total = lanes[0] + lanes[1] + lanes[2] + lanes[3]
        for row in range(whole, values.shape[0]):
            total += values[row]
        return total / count

    mean = average(x)
    return mean, average(tf.math.squared_difference(x, tf.stop_gradient(mean)))


def normalise(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
    """(x - mean) / sqrt(variance + 1e-10), float32 [batch, n_in].

    For a (nearly) constant feature the divisor is as small as 1e-5, so the rounding noise of x - mean grows by up
    to 1e5. That noise is part of the reference's trajectory.
    """
    return (x - mean) * tf.math.rsqrt(variance + EPSILON)


@keras.saving.register_keras_serializable(package="sifting")
class MaskedDense(keras.layers.Layer):
    """The reference's fully connected block: normalise the input, scale and shift it, masked affine map, activation.

    The input is flattened to [batch, n_in]. In training it is normalised with the batch's moments, which also feed
    the running moments: overwritten by the first batch after `reset_moments`, then
    running = decay * running + (1 - decay) * batch. Outside of training the running moments normalise.

    Args:
        units: nodes, >= 1.
        activation: a Keras activation, by default "relu"; None for the output layer.
        decay: of the running moments, 0 <= decay < 1.
        centring: "reference", or "exact": each feature is first shifted by its value in the batch's first image,
            so that a constant one becomes exactly zero.

    Attributes, for whoever writes the training loop:
        compiled: set it before tracing `call` in training mode for XLA, see `batch_moments`; that needs a batch
            of static size.
        input_is_data: set it where the gradient of the input is not needed, see `block`; it is then None.
        holds_masked_W: set it while W is zero wherever mask_W is: training then leaves out their product, not their
            place in the gradient.

    Weights:
        W [n_in, units], b [units], gamma and beta [n_in], trainable; mask_W, mask_b, running_mean [n_in],
        running_variance [n_in] and started (0 or 1), not trainable.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = "relu",
        decay: float = 0.99,
        centring: str = "reference",
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not (isinstance(units, int) and units >= 1):
            raise ValueError(f"units = {units!r}: accepted: an integer >= 1")
        if not 0 <= decay < 1:
            raise ValueError(f"decay = {decay!r}: accepted: 0 <= decay < 1")
        if centring not in ("reference", "exact"):
            raise ValueError(f"centring = {centring!r}: accepted: 'reference' or 'exact'")
        self.units = units
        self.activation = keras.activations.get(activation)
        self.decay = decay
        self.centring = centring
        self.compiled = False
        self.input_is_data = False
        self.holds_masked_W = False

    def build(self, input_shape: Shape) -> None:
        n_in = math.prod(input_shape[1:])
        shape = (n_in, self.units)
        normal = keras.initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal")  # 2 / (n_in + n_out)
        self.W = self.add_weight(name="W", shape=shape, initializer=normal)
        self.b = self.add_weight(name="b", shape=(self.units,), initializer="zeros")
        self.gamma = self.add_weight(name="gamma", shape=(n_in,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(n_in,), initializer="zeros")

        def state(name: str, shape: tuple[int, ...], initial: str) -> keras.Variable:
            return self.add_weight(name=name, shape=shape, initializer=initial, trainable=False)

        self.mask_W = state("mask_W", shape, "ones")
        self.mask_b = state("mask_b", (self.units,), "ones")
        self.running_mean = state("running_mean", (n_in,), "zeros")
        self.running_variance = state("running_variance", (n_in,), "ones")
        self.started = state("started", (), "zeros")
        self.built = True

    def reset_moments(self) -> None:
        """Running moments back to (0, 1), to be overwritten by the next batch."""
        self.running_mean.assign(tf.zeros_like(self.running_mean))
        self.running_variance.assign(tf.ones_like(self.running_variance))
        self.started.assign(0.0)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.reshape(inputs, (-1, self.W.shape[0]))
        shift = 0.0
        if training and self.centring == "exact":
            shift = tf.stop_gradient(x[0])
            x = x - shift
        if training:
            y, mean, variance = self.block(x)
            self._update_running(mean + shift, variance)
        else:
            z = normalise(x, *map(tf.convert_to_tensor, (self.running_mean, self.running_variance)))
            y = affine(z, self.gamma, self.beta, self.W * self.mask_W, self.b * self.mask_b)
        return self.activation(y)

    def block(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Normalised by the batch's own moments; with the gradient in closed form.

        With W and b masked, scale = 1 / sqrt(variance + 1e-10), z = (x - mean) * scale, a = gamma * z + beta and
        y = a @ W + b, for a gradient dY and with sums over the batch (Ioffe & Szegedy 2015, section 3):
            da = dY @ W',   dW = (a' @ dY) * mask_W,   dgamma = sum(da * z),   dbeta = sum(da),   db = sum(dY) * mask_b,
            dx = gamma * scale * (da - dbeta / batch - z * dgamma / batch).
        If the input is data, nobody needs dx, and da, a product of the size of the forward one, is saved:
            G = z' @ dY,   dW = (gamma * G + beta * sum(dY)) * mask_W,   dgamma = rowsum(G * W),   dbeta = W @ sum(dY).

        Args:
            x: float32 [batch, n_in].

        Returns:
            y [batch, units]; mean and variance [n_in] of x, through which no gradient leads.
        """
        count = tf.maximum(tf.convert_to_tensor(self.started), tf.cast(tf.shape(x)[0], x.dtype))

        @tf.custom_gradient
        def closed(
            x: tf.Tensor, *variables: tf.Tensor
        ) -> tuple[tuple[tf.Tensor, ...], Callable[..., tuple[tf.Tensor | None, ...]]]:
            gamma, beta, W, b, mask_W, mask_b = variables
            if not self.holds_masked_W:
                W = W * mask_W
            mean, variance = batch_moments(x, count, self.compiled)
            z = normalise(x, mean, variance)

            def gradient(dy: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
                sum_dy = tf.reduce_sum(dy, axis=0)
                if self.input_is_data:
                    G = tf.matmul(z, dy, transpose_a=True)
                    dW = gamma[:, None] * G + beta[:, None] * sum_dy
                    dgamma = tf.linalg.matvec(G * W, tf.ones_like(sum_dy))  # as a product: XLA's row sums are slow
                    dbeta = tf.linalg.matvec(W, sum_dy)
                    dx = None
                else:
                    da = tf.matmul(dy, W, transpose_b=True)
                    dW = tf.matmul(gamma * z + beta, dy, transpose_a=True)
                    dgamma, dbeta = tf.reduce_sum(da * z, axis=0), tf.reduce_sum(da, axis=0)
                    scale = tf.math.rsqrt(variance + EPSILON)
                    dx = gamma * scale * (da - dbeta / count - z * (dgamma / count))
                return dx, dgamma, dbeta, dW * mask_W, sum_dy * mask_b, None, None

            return (affine(z, gamma, beta, W, b * mask_b), mean, variance), gradient

        variables = (self.gamma, self.beta, self.W, self.b, self.mask_W, self.mask_b)
        y, mean, variance = closed(x, *map(tf.convert_to_tensor, variables))
        return y, mean, variance

    def _update_running(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        started = tf.cast(self.started, tf.bool)
        for running, batch in ((self.running_mean, mean), (self.running_variance, variance)):
            # 1 - decay in float64, then rounded, as the reference does.
            averaged = self.decay * running + (1.0 - self.decay) * batch
            running.assign(tf.where(started, averaged, batch))
        self.started.assign(1.0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "decay": self.decay,
            "centring": self.centring,
        }


@keras.saving.register_keras_serializable(package="sifting")
class MaskedConv2D(keras.layers.Layer):
    """The reference's convolution: masked kernel, no bias, no batch normalisation, VALID padding, ReLU.

    Input and output are [batch, height, width, channels].

    Args:
        filters: output channels, >= 1.
        kernel_size: K of a K x K kernel, >= 1.
        stride: >= 1.

    Weights:
        W [K, K, c_in, filters], trainable, initially normal with variance 2 / (K*K*c_in + filters); mask_W.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, filters: int, kernel_size: int, stride: int = 1, **kwargs: Any) -> None:
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        for name, value in (("filters", filters), ("kernel_size", kernel_size), ("stride", stride)):
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} = {value!r}: accepted: an integer >= 1")
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride

    def build(self, input_shape: Shape) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        deviation = (2 / (shape[0] * shape[1] * shape[2] + shape[3])) ** 0.5
        self.W = self.add_weight(name="W", shape=shape, initializer=keras.initializers.RandomNormal(0.0, deviation))
        self.mask_W = self.add_weight(name="mask_W", shape=shape, initializer="ones", trainable=False)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(tf.nn.conv2d(inputs, self.W * self.mask_W, self.stride, "VALID"))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        height, width = (positions(size, self.kernel_size, self.stride) for size in input_shape[1:3])
        return (input_shape[0], height, width, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
        }


@keras.saving.register_keras_serializable(package="sifting")
class PixelInput(keras.layers.Layer):
    """From pixels, [batch, n], of any number type, 0 to 255, to what the networks see, see architecture.network_inputs.

    Weights:
        mean [n], not trainable: the mean training image.
    """

    def build(self, input_shape: Shape) -> None:
        self.mean = self.add_weight(name="mean", shape=(input_shape[1],), initializer="zeros", trainable=False)
        self.built = True

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        return network_inputs(tf.cast(pixels, tf.float32), self.mean)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
