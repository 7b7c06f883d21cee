"""Scores: pure functions from a network to one number a weight; the lowest are pruned (scopes.py).

Each returns, by prunable layer, a Mask holding the scores of W, and of b where biases compete. What is masked already
scores 0 (but in `uniform`); scopes never bring it back. Those that differentiate are in gradients.py.
"""

import numpy as np

from sifting.base.random_streams import Stream, generator
from sifting.network.rounds import NOTHING, Mask, MaskedNetwork, Moments, Parameters
from sifting.network.statistics import LayerInputs, cavity_scores

Scores = dict[int, Mask]


def magnitude(network: MaskedNetwork, biases: bool = True) -> Scores:
    """|W| * mask_W and, with `biases`, |b| * mask_b (Han et al. 2015; P&B section 3), in the type of the values."""

    def score(parameters: Parameters, mask: Mask) -> Mask:
        return Mask(np.abs(parameters.W) * mask.W, np.abs(parameters.b) * mask.b if biases else NOTHING)

    return {layer: score(network.parameters[layer], network.masks[layer]) for layer in network.prunable}


def uniform(network: MaskedNetwork, seed: int, number: int) -> Scores:
    """Uniform in [0, 1), float64, weights only: random pruning.

    Args:
        seed, number: which draw; number >= 1, since 0 is that of the initial masks.

    Raises:
        ValueError: number < 1.
    """
    if number < 1:
        raise ValueError(f"number = {number}: accepted: 1 or more; draw 0 makes the initial masks")
    return {
        layer: Mask(generator(seed, Stream.MASKS, number, layer).random(network.specs[layer].weight_shape))
        for layer in network.prunable
    }


def cavity(network: MaskedNetwork, x: np.ndarray, moments: Moments | None) -> Scores:
    """Minus the cavity score of each first-layer weight (Redman et al. 2024, Eq. 5), float64, so that those go first
    whose removal makes their node's preactivation less Gaussian.

    Where no score is defined (a node whose preactivation does not vary) it is 0.

    Args:
        network: its first layer must be dense and the only prunable one.
        x: float32 [n, n_in], network inputs.
        moments: of the first layer's inputs, such as those stored at the rewind point; None: (0, 1).
    """
    parameters, mask = network.parameters[0], network.masks[0]
    scores = cavity_scores(
        LayerInputs([x[rows] for rows in network.blocks(len(x))], parameters, moments), parameters.W, mask.W
    )
    return {0: Mask(-np.nan_to_num(scores))}
