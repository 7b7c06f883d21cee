"""Masks in training loops of your own: callbacks that do nothing but set weights to zero."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sifting.errors import InputError
from sifting.experiment.keys import FRACTION
from sifting.keras_models.masks import fitted_masks, masked_network
from sifting.keras_models.network import named_masks
from sifting.pruning.scopes import SCOPES, by_magnitude


class KeepMasks(keras.callbacks.Callback):
    """Sets masked weights to zero when training begins, after each batch, and in the end.

    Args:
        masks: as of hold_masks.
    """

    def __init__(self, masks: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__()
        self.masks = masks

    def on_train_begin(self, logs: Any = None) -> None:
        self._kept = fitted_masks(self.model, self.masks)
        self.apply()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.apply()

    def on_train_end(self, logs: Any = None) -> None:
        self.apply()

    def apply(self) -> None:
        for variable, mask in self._kept:
            values = tf.convert_to_tensor(variable)
            variable.assign(tf.where(mask, values, tf.zeros_like(values)))


class PruneAtEpochs(KeepMasks):
    """Prunes the smallest weights when some epochs end, and keeps what is pruned at zero after each batch.

    Args:
        schedule: epoch, 1, 2, ..., to the sparsity that its end prunes to, in [0, 1).
        scope: "global", one pool of the weights of all layers, or "layerwise", one for each.
        layers: names of layers, as of prune.

    Attributes:
        masks: by path of the variable, as of hold_masks.

    Raises:
        InputError: an argument that is not accepted.
    """

    def __init__(self, schedule: Mapping[int, float], scope: str = "global", layers: Sequence[str] | None = None):
        super().__init__()
        for epoch, sparsity in schedule.items():
            if not (isinstance(epoch, Integral) and epoch >= 1):
                raise InputError(f"schedule[{epoch!r}]: accepted: epochs, counted from 1")
            try:
                FRACTION.parse(str(sparsity))
            except ValueError:
                raise InputError(f"schedule[{epoch}] = {sparsity!r}: accepted: {FRACTION.accepts}") from None
        if scope not in SCOPES:
            raise InputError(f"scope = {scope!r}: accepted: {' or '.join(SCOPES)}")
        self.schedule, self.scope, self.layers = dict(schedule), scope, layers

    def on_train_begin(self, logs: Any = None) -> None:
        if self.masks is None:  # a kernel that begins with zeros is not pruned
            self._kept = []
        else:
            super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 in self.schedule:
            network = masked_network(self.model, self.layers)
            masks = by_magnitude(network, self.schedule[epoch + 1], self.scope)
            self.masks = named_masks(self.model, network.specs, masks)
            self.on_train_begin()
