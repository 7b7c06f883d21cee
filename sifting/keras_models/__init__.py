"""Pruning of Keras models of your own: `prune`, and callbacks for loops of your own. See docs/your_model.md.

Importing this package lets keras.models.load_model load models that were pruned.
"""

from sifting.keras_models.callbacks import KeepMasks as KeepMasks
from sifting.keras_models.callbacks import PruneAtEpochs as PruneAtEpochs
from sifting.keras_models.masks import hold_masks as hold_masks
from sifting.keras_models.rounds import Pruned as Pruned
from sifting.keras_models.rounds import prune as prune
