"""Magnitude pruning of one layer after the other, from the input on (P&B, B.6)."""

import numpy as np
from numpy.typing import NDArray

from sifting.drivers.start import begin
from sifting.methods import LayerByLayer, of_kind
from sifting.pruning.scopes import layerwise, reference_threshold
from sifting.pruning.scores import magnitude
from sifting.rounds import Checkpoint, Mask, Round, layer_counts
from sifting.session import Session


def run(session: Session) -> None:
    """IMP of one layer until its best validation accuracy is below the dense network's, then of the next one.

    Of each layer the last round that was not below counts. Its mask stays; with freeze = mask_and_weights the layer
    also keeps the values it had at the end of that round and is not trained any more. All other layers are rewound.
    """
    method, start = of_kind(session.experiment.method, LayerByLayer), begin(session)
    prunable = [layer for layer, spec in enumerate(session.specs) if spec.prunable]
    frozen: list[int] = []
    parameters = dict(start.rewind_point.parameters)
    good, trained, number = start.dense, start.trained, start.number
    for position, layer in enumerate(prunable[: method.layers], 1):
        while number < method.max_iterations and position >= method.first_layer:
            masks, ratios = prune(session, good, trained, layer)
            if connected(session, masks, layer) <= method.stop_ratio:
                break
            if not session.finished(number):
                session.report(f"pruning layer {layer + 1}")
            result = session.train(number, masks, ratios, dict(parameters), frozen)
            number += 1
            if result.best_validation_error > start.dense_error:
                break
            good, trained = result, result.checkpoint_at(method.prune_step)
        if method.freeze == "mask_and_weights":
            frozen.append(layer)
            parameters[layer] = good.checkpoints[-1].parameters[layer]


def prune(
    session: Session, result: Round, trained: Checkpoint, layer: int
) -> tuple[dict[int, Mask], NDArray[np.float64]]:
    """Masks and nominal sparsities after prune_ratio of what is left of one layer went, by IMP's rule."""
    index = [number for number, spec in enumerate(session.specs) if spec.prunable].index(layer)
    ratios = result.ratios.copy()
    ratios[index] += of_kind(session.experiment.method, LayerByLayer).prune_ratio * (1 - ratios[index])
    scores = {layer: magnitude(session.network(trained.parameters, result.masks))[layer]}
    return layerwise(scores, result.masks, ratios[index], reference_threshold), ratios


def connected(session: Session, masks: dict[int, Mask], layer: int) -> float:
    """The fraction of a layer's nodes that keep at least one input weight."""
    counts = {count.layer: count for count in layer_counts(masks, session.specs)}
    return counts[layer].connected / counts[layer].nodes
