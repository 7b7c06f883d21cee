"""Null models of a mask: what is left of a structure when the connections are dealt anew.

All take a mask [inputs, nodes], non-zero means connected, and give uint8 of the same shape and number of connections.
"""

import numpy as np
from numpy.typing import NDArray

from postprocess.masks import binary
from sifting.network.plates import image_shape

CELL = 8  # pixels along a side: the cells of the embedded images, a quarter of a 32 x 32 image
_TRADES = 5  # a node: after so many, masks are as good as independent of those before (Strona et al. 2014)


def shuffled(mask: np.ndarray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """All connections anywhere in the layer: random pruning to the same density."""
    return rng.permutation(binary(mask).ravel()).reshape(np.shape(mask))


def rewired(mask: np.ndarray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Every node keeps its C_in and every input its C_out; which inputs meet in one node is random.

    Two nodes at a time trade the inputs that only one of them has: the curveball algorithm of Strona et al. 2014, "A
    fast and unbiased procedure to randomize ecological binary matrices with fixed row and column totals".
    """
    nodes = binary(mask).T.copy()
    for _ in range(_TRADES * len(nodes) if len(nodes) > 1 else 0):
        one, other = rng.choice(len(nodes), 2, replace=False)
        traded = rng.permutation(np.flatnonzero(nodes[one] != nodes[other]))
        kept = traded[: nodes[one, traded].sum()]
        nodes[one, traded], nodes[other, traded] = 0, 1
        nodes[one, kept], nodes[other, kept] = 1, 0
    return nodes.T


def shuffled_in_cells(mask: np.ndarray, rng: np.random.Generator, cell: int = CELL) -> NDArray[np.uint8]:
    """Every node keeps the number of connections in each cell of the image and colour; where in it they are is random.

    Args:
        mask: [3*S*S, nodes].
        cell: pixels along a side of a cell; divides S.
    """
    cells = image_shape(len(mask))[-1] // cell
    grid = binary(mask).reshape(-1, cells, cell, cells, cell, np.shape(mask)[1]).swapaxes(2, 3)
    dealt: NDArray[np.uint8] = rng.permuted(grid.reshape(-1, cell * cell, grid.shape[-1]), axis=1)
    return binary(dealt.reshape(grid.shape).swapaxes(2, 3).reshape(np.shape(mask)))
