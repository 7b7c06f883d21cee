"""Masks of a Keras model's variables: held through every update, and saved and loaded with the model.

Two parts of Keras carry them. A constraint on each variable is what every optimizer applies after its updates, compiled
or not. And the model's optimizer has the masks among its variables, because it is the only thing that Keras saves and
restores with any model, subclassed ones included. It masks the gradients, too, so that momenta, norms of gradients and
moving averages are those of a network without the masked weights.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sifting.base import compute  # noqa: F401  settles the device for whoever computes
from sifting.errors import InputError
from sifting.keras_models.network import KerasNetwork, Weighted, find_layers, layer_specs, path_of, values_of
from sifting.network.rounds import NOTHING, Mask


class Held(keras.constraints.Constraint):
    """Zero where the mask is False, after the constraint that was there before."""

    def __init__(self, mask: keras.Variable, before: Any = None) -> None:
        self.mask, self.before = mask, before

    def __call__(self, values: Any) -> tf.Tensor:
        values = values if self.before is None else self.before(values)
        return self.at_kept(tf.convert_to_tensor(values))

    def at_kept(self, values: Any) -> Any:
        mask = tf.convert_to_tensor(self.mask)
        if isinstance(values, tf.IndexedSlices):  # the gradient of an Embedding: some rows
            rows = tf.gather(tf.cast(mask, values.dtype), values.indices)
            return tf.IndexedSlices(values.values * rows, values.indices, values.dense_shape)
        return tf.where(mask, values, tf.zeros_like(values))


def masks_of(layers: Sequence[Weighted]) -> dict[int, Mask]:
    """What layers are held at; ones where nothing holds them."""

    def mask(variable: keras.Variable | None) -> np.ndarray:
        if variable is None:
            return NOTHING
        held = isinstance(variable.constraint, Held)
        return np.asarray(variable.constraint.mask if held else np.ones(variable.shape), np.float32)

    return {index: Mask(mask(kernel), mask(bias)) for index, (_, kernel, bias) in enumerate(layers)}


def masked_network(model: keras.Model, names: Sequence[str] | None = None) -> KerasNetwork:
    """A built model as it is; `names` as of find_layers."""
    layers, specs = find_layers(model), layer_specs(model, find_layers(model, names))
    inputs: Any = getattr(model, "inputs", None) or ()
    shape = tuple(inputs[0].shape[1:]) if len(inputs) == 1 else ()
    return KerasNetwork(specs, shape, values_of(layers), masks_of(layers), model, tuple(layers))


class _Masking(keras.optimizers.Optimizer):
    """What is put in front of an optimizer's class, so that the optimizer stays the object that it was."""

    _held: tuple[int, ...]  # which of the trainable variables

    def hold(self, variables: Iterable[keras.Variable]) -> None:
        """Begin to hold these trainable variables, at masks of ones."""
        for variable in variables:
            index = self._get_variable_index(variable)
            if index not in self._held:
                mask = self.add_variable(variable.shape, "ones", "bool", name=f"mask_{index}")
                before = variable.constraint
                variable.constraint = Held(mask, before.before if isinstance(before, Held) else before)
                self._held = (*self._held, index)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        held, self._held = self._held, ()
        self.hold(variables[index] for index in held)

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        masked = [
            variable.constraint.at_kept(gradient)
            if gradient is not None and isinstance(getattr(variable, "constraint", None), Held)
            else gradient
            for gradient, variable in zip(grads, variables, strict=True)
        ]
        super().apply(masked, trainable_variables)

    def get_config(self) -> dict[str, Any]:
        own: Any = type(self).__mro__[2]
        optimizer = own.from_config(super().get_config())
        return {"optimizer": keras.optimizers.serialize(optimizer), "held": list(self._held)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> keras.optimizers.Optimizer:
        return _masking(keras.optimizers.deserialize(config["optimizer"], custom_objects), config["held"])


@functools.cache  # Keras keeps each of them for good
def _masking_class(own: Any) -> Any:
    """The optimizer's class with masks. All have one name, by which Keras finds `from_config`: it makes the right one.
    An error of Keras that knows no such class names the module to import."""
    made = type("MaskedOptimizer", (_Masking, own), {"__module__": "sifting.keras_models"})
    return keras.saving.register_keras_serializable("sifting", made.__name__)(made)


_masking_class(keras.optimizers.Optimizer)  # for whoever loads a model


def _masking(optimizer: keras.optimizers.Optimizer, held: Sequence[int] = ()) -> keras.optimizers.Optimizer:
    """The same object, with masks."""
    if not isinstance(optimizer, _Masking):
        own: Any = type(optimizer)
        optimizer._held = tuple(held)
        optimizer.__class__ = _masking_class(own)
    return optimizer


def hold_masks(model: keras.Model, masks: Mapping[str, np.ndarray] | None = None) -> None:
    """Set weights to zero and keep them there, in every update from now on, also of the model when it is loaded.

    Needed where masks come from elsewhere, and where a pruned model is compiled anew.

    Args:
        masks: variable's path to array, 0 or 1, as in Pruned.masks; of a model with other names the same shapes in the
            same order will do. None: whatever weight is zero stays zero.

    Raises:
        InputError: the model is not compiled; masks do not fit it.
    """
    if not model.compiled or model.optimizer is None:
        raise InputError(f"hold_masks: model = {model!r}: accepted: a keras.Model after model.compile(...)")
    values = fitted_masks(model, masks)
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    masking, held = _masking(optimizer), optimizer._held
    masking.hold(variable for variable, _ in values)
    if optimizer._held != held:
        model.train_function = None  # what was compiled before knows nothing of masks
    for variable, mask in values:
        variable.constraint.mask.assign(mask)
        variable.assign(np.where(mask, variable.numpy(), 0))


def fitted_masks(model: keras.Model, masks: Mapping[str, np.ndarray] | None) -> list[tuple[keras.Variable, np.ndarray]]:
    """(variable, bool mask) for each of the masks. Raises InputError: they do not fit."""
    variables = [one for _, *pair in find_layers(model) for one in pair if one is not None]
    if masks is None:
        return [(variable, variable.numpy() != 0) for variable in variables if variable.ndim > 1]
    named = {path_of(model, variable): variable for variable in variables}
    if not set(masks) <= set(named):  # a model of other names, such as one that was loaded
        named = dict(zip(masks, variables, strict=False))
    for name, mask in masks.items():
        if name not in named or named[name].shape != np.shape(mask):
            found = f"shape {tuple(named[name].shape)}" if name in named else "no such variable"
            raise InputError(
                f"masks[{name!r}] of shape {np.shape(mask)}: the model has {found}; "
                f"accepted: masks of {', '.join(path_of(model, variable) for variable in variables)}"
            )
    return [(named[name], np.asarray(mask) != 0) for name, mask in masks.items()]
