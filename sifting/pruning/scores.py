"""Scores: pure functions from a layer's values to one number a weight; the lowest are pruned."""

import numpy as np

from sifting.rounds import Mask, Parameters


def magnitude(parameters: Parameters, mask: Mask) -> Mask:
    """|W| * mask_W and |b| * mask_b (Han et al. 2015; P&B section 3).

    Args:
        parameters, mask: of one layer, float32.

    Returns:
        float32 arrays of the same shapes.
    """
    return Mask(
        *(
            None if old is None else np.abs(value) * old
            for value, old in zip((parameters.W, parameters.b), mask, strict=True)
        )
    )
