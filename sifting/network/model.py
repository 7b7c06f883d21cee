"""From layer specs to a Keras model, and the values of its layers by name."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from sifting.architecture import CONVOLUTION, OUTPUT, LayerSpec
from sifting.base.random_streams import Stream, generator
from sifting.layers import MaskedConv2D, MaskedDense
from sifting.network.rounds import Mask, Moments, Parameters


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
) -> dict[int, Parameters]:
    """Initial values by layer; seed and architecture alone decide, so that all methods start from the same network.

    b = 0, gamma = 1, beta = 0.

    Args:
        deviation: of W. "layer": sqrt(2 / (n_in + n_out)) (Glorot & Bengio 2010; a convolution's n_in is K*K*c_in and
            its n_out the number of kernels); "common": the root mean square of these over all weights; or a number.
        distribution: of W, around 0: "normal", not truncated, or "uniform", of the same deviation.
    """
    weighted = {layer: spec for layer, spec in enumerate(specs) if spec.has_weights}
    sizes = [np.prod(spec.weight_shape) for spec in weighted.values()]
    common = np.sqrt(np.average([_glorot_variance(spec) for spec in weighted.values()], weights=sizes))
    values = {}
    for layer, spec in weighted.items():
        own = np.sqrt(_glorot_variance(spec), dtype=np.float32)
        named: dict[str | float, np.floating] = {"layer": own, "common": common}
        random = generator(seed, Stream.WEIGHTS, layer)
        if distribution == "normal":
            W = random.standard_normal(spec.weight_shape, dtype=np.float32)
        else:
            W = np.sqrt(np.float32(3)) * (2 * random.random(spec.weight_shape, dtype=np.float32) - 1)
        W *= np.float32(named.get(deviation, deviation))
        if spec.is_dense:
            n_in, n_out = spec.weight_shape
            zeros, ones = np.zeros(n_in, np.float32), np.ones(n_in, np.float32)
            values[layer] = Parameters(W, np.zeros(n_out, np.float32), ones, zeros)
        else:
            values[layer] = Parameters(W)
    return values


def _glorot_variance(spec: LayerSpec) -> float:
    return float(2 / (np.prod(spec.weight_shape[:-1]) + spec.weight_shape[-1]))


def initial_masks(specs: Sequence[LayerSpec], sparsity: float, seed: int) -> dict[int, Mask]:
    """Masks of round 0: each weight of a prunable layer is masked with probability `sparsity`, biases never."""
    masks = {}
    for layer, spec in ((layer, spec) for layer, spec in enumerate(specs) if spec.has_weights):
        probability = sparsity if spec.prunable else 0.0
        draws = generator(seed, Stream.MASKS, 0, layer).random(spec.weight_shape, dtype=np.float32)
        W = (draws >= probability).astype(np.float32)
        masks[layer] = Mask(W, np.ones(spec.nodes, np.float32)) if spec.is_dense else Mask(W)
    return masks


class NetworkState:
    """Reads and sets the values of a model by layer of the architecture; see rounds.Checkpoint for which have any."""

    def __init__(self, model: keras.Model, specs: Sequence[LayerSpec]):
        layers = {index: model.get_layer(layer_name(index)) for index, spec in enumerate(specs) if spec.has_weights}
        self._dense = {index: layer for index, layer in layers.items() if specs[index].is_dense}
        self._parameters = {
            index: (layer.W, layer.b, layer.gamma, layer.beta) if index in self._dense else (layer.W,)
            for index, layer in layers.items()
        }
        self._masks = {
            index: (layer.mask_W, layer.mask_b) if index in self._dense else (layer.mask_W,)
            for index, layer in layers.items()
        }

    @staticmethod
    def _assign(
        variables: Mapping[int, tuple[keras.Variable, ...]], values: Mapping[int, Parameters] | Mapping[int, Mask]
    ) -> None:
        for index, of_layer in variables.items():
            for variable, value in zip(of_layer, values[index], strict=False):  # of a convolution's, W alone
                variable.assign(value)

    def set_parameters(self, values: Mapping[int, Parameters]) -> None:
        self._assign(self._parameters, values)

    def set_masks(self, values: Mapping[int, Mask]) -> None:
        self._assign(self._masks, values)

    def parameters(self) -> dict[int, Parameters]:
        """Copies of the trainable values."""
        return {
            index: Parameters(*(variable.numpy() for variable in of_layer))
            for index, of_layer in self._parameters.items()
        }

    def moments(self) -> dict[int, Moments]:
        """Copies of the running moments."""
        return {
            index: Moments(layer.running_mean.numpy(), layer.running_variance.numpy())
            for index, layer in self._dense.items()
        }

    def set_moments(self, values: Mapping[int, Moments], started: bool) -> None:
        """Set the running moments. `started`: whether the next training batch is averaged into them, as after the
        first step, or replaces them."""
        for index, moments in values.items():
            self._dense[index].running_mean.assign(moments.mean)
            self._dense[index].running_variance.assign(moments.variance)
            self._dense[index].started.assign(float(started))

    def reset_moments(self) -> None:
        for layer in self._dense.values():
            layer.reset_moments()
