"""Magnitude pruning of one layer after the other, from the input on (P&B, B.6)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifting.experiment.experiment import Experiment, Session
from sifting.experiment.keys import FRACTION, choice, integer, key
from sifting.methods.base import IterativeMagnitude, begin, further
from sifting.network.rounds import Checkpoint, Mask, Round, density, layer_counts
from sifting.pruning.scopes import layerwise, reference_threshold
from sifting.pruning.scores import magnitude


@dataclass(frozen=True)
class LayerByLayer(IterativeMagnitude):
    """Iterative magnitude pruning of one layer after the other, from the input on (P&B, B.6)."""

    layers: int = key(None, integer(1), "how many of the prunable layers to prune; default: all")
    first_layer: int = key(
        1, integer(1), "prunable layer to begin with; more than 1: after a restart, the layers before it are frozen"
    )
    freeze: str = key(
        "mask_and_weights",
        choice("mask_and_weights", "mask"),
        "what stays of a layer that is done: also the weights, as trained, or the mask alone",
    )
    stop_ratio: float = key(  # fixed for a run, unlike that of other methods: it decides which layer a round prunes
        0.0, FRACTION, "go on to the next layer once the fraction of connected nodes of the one at work is <= this"
    )

    def run(self, session: Session) -> None:
        """IMP of one layer until its best validation accuracy is below the dense network's, then of the next one.

        Of each layer the last round that was not below counts. Its mask stays; with freeze = mask_and_weights the
        layer also keeps the values it had at the end of that round and is not trained any more. All other layers are
        rewound.
        """
        start = begin(session)
        frozen: list[int] = []
        parameters = dict(start.rewind_point.parameters)
        good, trained, number = start.dense, start.trained, start.number
        for position, layer in enumerate(session.experiment.prunable[: self.layers], 1):
            while number < self.max_iterations and position >= self.first_layer:
                masks, nominal = self.pruned(session, good, trained, layer)
                if connected(session, masks, layer) <= self.stop_ratio:
                    break
                if not session.finished(number):
                    session.report(f"pruning layer {layer + 1}")
                result = session.train(number, masks, nominal, dict(parameters), frozen)
                number += 1
                if self.sparse_enough(density(result.masks, session.specs)):
                    return
                if result.best_validation_error > start.dense_error:
                    break
                good, trained = result, result.checkpoint_at(self.prune_step)
            if self.freezes_weights:
                frozen.append(layer)
                parameters[layer] = good.checkpoints[-1].parameters[layer]

    def pruned(
        self, session: Session, result: Round, trained: Checkpoint, layer: int
    ) -> tuple[dict[int, Mask], NDArray[np.float64]]:
        """Masks and nominal sparsities after prune_ratio of what is left of one layer went, by IMP's rule."""
        index = session.experiment.prunable.index(layer)
        nominal = result.sparsities.copy()
        nominal[index] = further(nominal[index], self.prune_ratio)
        scores = {layer: magnitude(session.network(trained.parameters, result.masks))[layer]}
        return layerwise(scores, result.masks, nominal[index], reference_threshold), nominal

    @property
    def freezes_weights(self) -> bool:
        return self.freeze == "mask_and_weights"

    def sparsities(self, init_sparsity: float) -> Iterator[float] | None:
        return None

    def likely_rounds(self, inputs: Sequence[int]) -> int:
        return min(self.max_iterations, 1 + sum(map(self.until_stop, inputs)))

    def defaults(self, experiment: Experiment) -> dict[str, Any]:
        values = super().defaults(experiment)
        if self.layers is None:
            values["layers"] = max(1, len(experiment.replace(self.name, **values).prunable))
        return values

    def check(self, experiment: Experiment) -> None:
        super().check(experiment)
        prunable = len(experiment.prunable)
        if self.layers > prunable:
            raise experiment.error(self.name, "layers", f"at most {prunable}, the number of prunable layers")
        if self.first_layer > self.layers:
            raise experiment.error(self.name, "first_layer", f"at most [{self.name}] layers = {self.layers}")
        if self.first_layer > 1 and not experiment.network.restart:
            raise experiment.error(self.name, "first_layer", "1, but after [Network] restart")


def connected(session: Session, masks: dict[int, Mask], layer: int) -> float:
    """The fraction of a layer's nodes that keep at least one input weight."""
    counts = {count.layer: count for count in layer_counts(masks, session.specs)}
    return counts[layer].connected / counts[layer].nodes
