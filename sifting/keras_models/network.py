"""A Keras model as a network of layers, as scores and scopes take it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sifting.architecture import LayerSpec
from sifting.errors import InputError
from sifting.layers import MaskedConv2D, MaskedDense
from sifting.network.forward import ScoredNetwork
from sifting.network.rounds import NOTHING, Mask, Moments, Parameters, slices

# The weights that are pruned, and the biases, by their names in each layer.
_OWN = {MaskedDense: ("W", "b"), MaskedConv2D: ("W", ""), keras.layers.Embedding: ("embeddings", "")}
_KERNELS = ("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D")
NAMES = {**{getattr(keras.layers, name): ("kernel", "bias") for name in _KERNELS}, **_OWN}
ACCEPTED = ", ".join(kind.__name__ for kind in NAMES)

_ACTIVATIONS = (keras.layers.ReLU, keras.layers.Softmax, keras.layers.ELU, keras.layers.LeakyReLU)

# What makes other variables without effect: those of batch normalisation, and biases.
_NEUTRAL = dict.fromkeys(("bias", "b", "beta", "moving_mean", "running_mean"), 0.0) | dict.fromkeys(
    ("gamma", "moving_variance", "running_variance"), 1.0
)


class Weighted(NamedTuple):
    """A layer with weights to prune, and its variables; `bias` may be None."""

    layer: keras.layers.Layer
    kernel: keras.Variable
    bias: keras.Variable | None


def find_layers(model: keras.Model, names: Sequence[str] | None = None) -> list[Weighted]:
    """The trainable layers of a built model that can be pruned, nested ones included, in the order of its variables.

    Args:
        names: of some layers, or of models that hold them; None: all.

    Raises:
        InputError: there are none, or no layer has the name.
    """
    names = [names] if isinstance(names, str) else names
    place = {id(variable): index for index, variable in enumerate(model.trainable_variables)}
    found = {}
    for layer in model._flatten_layers():
        for kernel, bias in (pair for kind, pair in NAMES.items() if isinstance(layer, kind)):
            variable = getattr(layer, kernel)
            if id(variable) in place:
                found[place[id(variable)]] = Weighted(layer, variable, getattr(layer, bias, None) if bias else None)
    layers = [found[index] for index in sorted(found)]
    if names is None and layers:
        return layers
    # The paths of a functional model's variables do not name it, so its variables are asked for.
    held: dict[str, set[int]] = {name: set() for name in names or ()}
    for one in model._flatten_layers(include_self=False):
        if one.name in held:
            held[one.name].update(map(id, one.trainable_variables))
    named = [layer for layer in layers if any(id(layer.kernel) in ids for ids in held.values())]
    unknown = sorted(name for name, ids in held.items() if not any(id(layer.kernel) in ids for layer in layers))
    if unknown or not named:
        accepted = ", ".join(layer.layer.name for layer in layers) or f"a model with trainable layers {ACCEPTED}"
        given = f"layers = {unknown or list(names)}" if names is not None else f"model = {model.name!r}"
        raise InputError(f"{given}: no such layers that can be pruned; accepted: {accepted}")
    return named


def path_of(model: keras.Model, variable: keras.Variable) -> str:
    """Such as "dense/kernel". Keras puts the model's own name in front in some models, and not when they are loaded."""
    path: str = variable.path
    return path.removeprefix(f"{model.name}/")


@dataclass(frozen=True)
class KerasLayer(LayerSpec):
    """One layer with weights. `kind`: its class; `shape`: that of its weights, outputs last; `name`: their path."""

    name: str = ""

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self.shape


@dataclass(frozen=True)
class KerasNetwork(ScoredNetwork):
    """Values and masks of the layers with weights, beside the model that computes with them.

    Everything else of the model, such as batch normalisation, is as it stands in the model. It computes in its own
    precision.

    Attributes:
        image_shape: of one input, as Keras has it; () where Keras does not know, or there are several.
        model: built and compiled; it is not changed.
        example: gives inputs of one row.
        batch_size: how many images are computed at once.
        training: whether as in training: batch normalisation by the moments of each batch, dropout at work.
    """

    model: keras.Model
    layers: tuple[Weighted, ...]
    example: Callable[[], Any] = tuple
    batch_size: int = 1
    training: bool = False

    def blocks(self, count: int) -> Iterator[slice]:
        return slices(count, self.batch_size)

    def moments_by(self, x: Any, moments: str | None) -> dict[int, Moments]:
        return {}  # the model normalises by itself, see `training`

    def loss(self, x: Any, labels: Any, moments: Any = None, observe: Any = None, temperature: float = 1.0) -> Any:
        """The model's own loss; temperature divides what its last layer gives, before the activation."""
        values = self._values(temperature)
        outputs = self._outputs(x, values, self.model.non_trainable_variables, self.training)
        mean = self.model.compute_loss(x=x, y=labels, y_pred=outputs, training=self.training)
        return tf.cast(mean, tf.float64) * len(keras.tree.flatten(x)[0])

    def flow(self) -> Any:
        """With every activation left out, which ReLUs do not notice: the sum over all paths."""
        for layer in self.layers:
            if isinstance(layer.layer, keras.layers.Embedding):
                raise InputError(f"SynFlow of layer {layer.layer.name!r}: accepted: models without Embedding layers")

        def neutral(variable: keras.Variable) -> Any:
            if variable.name in _NEUTRAL:
                return tf.fill(variable.shape, tf.cast(_NEUTRAL[variable.name], variable.dtype))
            return tf.abs(tf.convert_to_tensor(variable)) if variable.trainable else variable

        model = self.model
        values = {id(variable): neutral(variable) for variable in model.trainable_variables} | self._values()
        state = [neutral(variable) for variable in model.non_trainable_variables]
        ones = keras.tree.map_structure(tf.ones_like, self.example())
        with _linear(model):
            outputs = self._outputs(ones, values, state, training=False)
        return tf.add_n([tf.reduce_sum(tf.cast(output, tf.float64)) for output in keras.tree.flatten(outputs)])

    def _values(self, temperature: float = 1.0) -> dict[int, Any]:
        """Masked weights and biases by the id of their variable."""
        values = {}
        for index, (_, kernel, bias) in enumerate(self.layers):
            scale = temperature if index == len(self.layers) - 1 else 1.0
            for variable, value, mask in zip((kernel, bias), self.parameters[index], self.masks[index], strict=False):
                if variable is not None:
                    values[id(variable)] = tf.cast(value * mask / scale, variable.dtype)
        return values

    def _outputs(self, x: Any, values: dict[int, Any], state: Sequence[Any], training: bool) -> Any:
        weights = [values.get(id(variable), variable) for variable in self.model.trainable_variables]
        return self.model.stateless_call(weights, state, x, training=training)[0]


@contextlib.contextmanager
def _linear(model: keras.Model) -> Iterator[None]:
    """No layer has an activation, or is one."""
    layers = model._flatten_layers()
    activations = [(layer, layer.activation) for layer in layers if hasattr(layer, "activation")]
    alone = [layer for layer in layers if isinstance(layer, _ACTIVATIONS)]
    try:
        for layer, _ in activations:
            layer.activation = keras.activations.linear
        for layer in alone:
            layer.call = lambda inputs: inputs
        yield
    finally:
        for layer, activation in activations:
            layer.activation = activation
        for layer in alone:
            del layer.call


def layer_specs(model: keras.Model, chosen: Sequence[Weighted]) -> tuple[KerasLayer, ...]:
    """Of all layers with weights; prunable are the chosen ones."""
    prunable = {id(layer.kernel) for layer in chosen}
    return tuple(
        KerasLayer(type(layer).__name__, tuple(kernel.shape), id(kernel) in prunable, path_of(model, kernel))
        for layer, kernel, _ in find_layers(model)
    )


def values_of(layers: Sequence[Weighted]) -> dict[int, Parameters]:
    """Weights and biases by layer, copied."""
    return {
        index: Parameters(kernel.numpy(), NOTHING if bias is None else bias.numpy())
        for index, (_, kernel, bias) in enumerate(layers)
    }


def named_masks(
    model: keras.Model, specs: Sequence[LayerSpec], masks: Mapping[int, Mask]
) -> dict[str, NDArray[np.bool_]]:
    """The masks of prunable layers by the path of their variables."""
    return {
        path_of(model, variable): mask != 0
        for index, (_, *variables) in enumerate(find_layers(model))
        if specs[index].prunable
        for variable, mask in zip(variables, masks[index], strict=True)
        if variable is not None
    }
