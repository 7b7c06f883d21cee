"""From layer specs to a Keras model, and the values of its layers by name."""

from collections.abc import Sequence

import keras
import numpy as np

from sifting.architecture import CONVOLUTION, OUTPUT, LayerSpec
from sifting.layers import MaskedConv2D, MaskedDense
from sifting.random_streams import Stream, generator
from sifting.rounds import Mask, Moments, Parameters, present


def layer_name(index: int) -> str:
    """That of layer `index` of the architecture in its model: layer_1, layer_2, ..., as users count them."""
    return f"layer_{index + 1}"


def build_model(
    specs: Sequence[LayerSpec], image_shape: tuple[int, int, int], decay: float = 0.99, centring: str = "reference"
) -> keras.Model:
    """The network as a keras.Sequential.

    Args:
        specs: from architecture.build_specs.
        image_shape: (channels, height, width).
        decay, centring: see MaskedDense.

    Returns:
        A model from float32 [batch, channels*height*width], channel-major, to logits [batch, classes]. Layer i of
        the architecture, i = 0, 1, ..., is `model.get_layer(layer_name(i))`.
    """
    channels, height, width = image_shape
    layers = [keras.Input((channels * height * width,), dtype="float32")]
    spatial = not specs[0].is_dense
    if spatial:
        layers += [keras.layers.Reshape(image_shape), keras.layers.Permute((2, 3, 1))]
    for index, spec in enumerate(specs):
        name = layer_name(index)
        if spec.is_dense and spatial:
            layers.append(keras.layers.Permute((3, 1, 2)))  # flat inputs are channel-major everywhere
            spatial = False
        if spec.is_dense:
            activation = None if spec.kind == OUTPUT else "relu"
            layers.append(MaskedDense(spec.nodes, activation, decay, centring, name=name))
        elif spec.kind == CONVOLUTION:
            size, _, _, filters, stride = spec.shape
            layers.append(MaskedConv2D(filters, size, stride, name=name))
        else:
            layers.append(keras.layers.MaxPooling2D(*spec.shape, name=name))
    return keras.Sequential(layers)


def initial_parameters(
    specs: Sequence[LayerSpec], seed: int, deviation: str | float = "layer", distribution: str = "normal"
) -> tuple[Parameters | None, ...]:
    """Initial values, a function of seed and architecture alone, so that all methods start from the same network.

    b = 0, gamma = 1, beta = 0.

    Args:
        deviation: of W. "layer": sqrt(2 / (n_in + n_out)) (Glorot & Bengio 2010; a convolution's n_in is K*K*c_in and
            its n_out the number of kernels); "common": the root mean square of these over all weights; or a number.
        distribution: of W, around 0: "normal", not truncated, or "uniform", of the same deviation.
    """
    weighted = [spec for spec in specs if spec.has_weights]
    sizes = [np.prod(spec.weight_shape) for spec in weighted]
    common = np.sqrt(np.average([_glorot_variance(spec) for spec in weighted], weights=sizes))
    values: list[Parameters | None] = []
    for index, spec in enumerate(specs):
        if not spec.has_weights:
            values.append(None)
            continue
        own = np.sqrt(_glorot_variance(spec), dtype=np.float32)
        named: dict[str | float, np.floating] = {"layer": own, "common": common}
        random = generator(seed, Stream.WEIGHTS, index)
        if distribution == "normal":
            W = random.standard_normal(spec.weight_shape, dtype=np.float32)
        else:
            W = np.sqrt(np.float32(3)) * (2 * random.random(spec.weight_shape, dtype=np.float32) - 1)
        W *= np.float32(named.get(deviation, deviation))
        if spec.is_dense:
            n_in, n_out = spec.weight_shape
            zeros, ones = np.zeros(n_in, np.float32), np.ones(n_in, np.float32)
            values.append(Parameters(W, np.zeros(n_out, np.float32), ones, zeros))
        else:
            values.append(Parameters(W))
    return tuple(values)


def _glorot_variance(spec: LayerSpec) -> float:
    return float(2 / (np.prod(spec.weight_shape[:-1]) + spec.weight_shape[-1]))


def initial_masks(specs: Sequence[LayerSpec], sparsity: float, seed: int) -> tuple[Mask | None, ...]:
    """Masks of round 0: each weight of a prunable layer is masked with probability `sparsity`, biases never."""
    masks: list[Mask | None] = []
    for index, spec in enumerate(specs):
        if not spec.has_weights:
            masks.append(None)
            continue
        probability = sparsity if spec.prunable else 0.0
        draws = generator(seed, Stream.MASKS, 0, index).random(spec.weight_shape, dtype=np.float32)
        W = (draws >= probability).astype(np.float32)
        masks.append(Mask(W, np.ones(spec.nodes, np.float32)) if spec.is_dense else Mask(W))
    return tuple(masks)


class NetworkState:
    """Reads and sets the values of a model's layers, one entry a layer of the architecture."""

    def __init__(self, model: keras.Model, specs: Sequence[LayerSpec]):
        self._layers = [model.get_layer(layer_name(index)) for index in range(len(specs))]
        self._specs = tuple(specs)

    def _variables(
        self, layer: keras.layers.Layer, spec: LayerSpec, kind: type
    ) -> tuple[keras.Variable | None, ...] | None:
        if not spec.has_weights:
            return None
        if kind is Parameters:
            return Parameters(layer.W, layer.b, layer.gamma, layer.beta) if spec.is_dense else Parameters(layer.W)
        return Mask(layer.mask_W, layer.mask_b) if spec.is_dense else Mask(layer.mask_W)

    def _assign(self, values: Sequence[Parameters | Mask | None], kind: type) -> None:
        for layer, spec, new in zip(self._layers, self._specs, values, strict=True):
            variables = self._variables(layer, spec, kind)
            if variables is not None:
                for variable, value in zip(variables, present(new), strict=True):
                    if variable is not None:
                        variable.assign(value)

    def set_parameters(self, values: Sequence[Parameters | None]) -> None:
        self._assign(values, Parameters)

    def set_masks(self, values: Sequence[Mask | None]) -> None:
        self._assign(values, Mask)

    def parameters(self) -> tuple[Parameters | None, ...]:
        """Copies of the trainable values."""
        result: list[Parameters | None] = []
        for layer, spec in zip(self._layers, self._specs, strict=True):
            variables = self._variables(layer, spec, Parameters)
            result.append(None if variables is None else Parameters(*(v.numpy() for v in variables if v is not None)))
        return tuple(result)

    def moments(self) -> tuple[Moments | None, ...]:
        """Copies of the running moments."""
        return tuple(
            Moments(layer.running_mean.numpy(), layer.running_variance.numpy()) if spec.is_dense else None
            for layer, spec in zip(self._layers, self._specs, strict=True)
        )

    def set_moments(self, values: Sequence[Moments | None], started: bool) -> None:
        """Set the running moments. `started`: whether the next training batch is averaged into them, as after the
        first step, or replaces them."""
        for layer, moments in zip(self._layers, values, strict=True):
            if moments is not None:
                layer.running_mean.assign(moments.mean)
                layer.running_variance.assign(moments.variance)
                layer.started.assign(float(started))

    def reset_moments(self) -> None:
        for layer, spec in zip(self._layers, self._specs, strict=True):
            if spec.is_dense:
                layer.reset_moments()
