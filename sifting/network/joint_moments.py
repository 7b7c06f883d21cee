"""Moments of preactivations together with inputs, for kept weights alone."""

import concurrent.futures
import functools

import numpy as np
from numpy.typing import NDArray

from sifting.base.compiled import compiled
from sifting.base.cores import threads

IMAGES = 256  # at a time: those of 3072 inputs stay in the cache


@functools.partial(compiled, fastmath={"contract", "reassoc"})
def _add(
    sums: np.ndarray, x: np.ndarray, l: np.ndarray, inputs: np.ndarray, nodes: np.ndarray, first: int, last: int
) -> None:
    """Those of the weights first <= k < last. x: [n_in, images], l: [nodes, images]."""
    for k in range(first, last):
        of_input, of_node = x[inputs[k]], l[nodes[k]]
        lx = l2x2 = l3x = lx3 = 0.0
        for image in range(x.shape[1]):
            x1, l1 = of_input[image], of_node[image]
            product = l1 * x1
            lx += product
            l2x2 += product * product
            l3x += product * (l1 * l1)
            lx3 += product * (x1 * x1)
        sums[0, k] += lx
        sums[1, k] += l2x2
        sums[2, k] += l3x
        sums[3, k] += lx3


def add_joint_moments(sums: np.ndarray, x: np.ndarray, l: np.ndarray, inputs: np.ndarray, nodes: np.ndarray) -> None:
    """sums[:, k] += the sums over all images of l x, l^2 x^2, l^3 x, l x^3 of one weight.

    Each weight is one thread's, and its images are added in one order: the bits do not depend on the threads.

    Args:
        sums: float64 [4, weights].
        x: float64 [images, n_in]; l: float64 [images, nodes].
        inputs, nodes: int [weights], those that each weight connects; best sorted by node.
    """
    shares = np.linspace(0, len(inputs), threads() + 1).astype(int)
    with concurrent.futures.ThreadPoolExecutor(threads()) as pool:
        for start in range(0, len(x), IMAGES):
            blocks: list[NDArray[np.float64]] = [
                np.ascontiguousarray(values[start : start + IMAGES].T) for values in (x, l)
            ]
            list(pool.map(functools.partial(_add, sums, *blocks, inputs, nodes), shares[:-1], shares[1:]))
