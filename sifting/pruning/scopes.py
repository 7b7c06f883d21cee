"""Scopes: pure functions from scores and old masks to new masks."""

import numpy as np

from sifting.rounds import Mask


def layerwise(scores: Mask, mask: Mask, ratio: float) -> Mask:
    """Prune one layer to a nominal sparsity, weights and biases in one pool; the reference's rule.

    The threshold is the value at index int(ratio*n) of the n sorted scores, masked ones included; what is >= it
    stays. Ties at the threshold therefore all stay, and a threshold of zero revives nothing.

    Args:
        scores: of one layer, >= 0, zero where the old mask is.
        mask: the layer's old mask.
        ratio: nominal sparsity to reach, in [0, 1].

    Returns:
        The new mask, float32; nowhere larger than the old one.
    """
    pool = np.sort(np.concatenate([values.ravel() for values in scores if values is not None]))
    threshold = pool[min(int(ratio * pool.size), pool.size - 1)]
    return Mask(
        *(
            None if old is None else ((values >= threshold) & (old != 0)).astype(np.float32)
            for values, old in zip(scores, mask, strict=True)
        )
    )
