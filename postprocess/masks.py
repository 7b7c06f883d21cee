"""Masks as images, plain and weighted, and plates of them; effective masks and hierarchies.

Images are [height, width, channels], indexed [y, x, c], as matplotlib draws them; the flat index of an input is
(c * height + y) * width + x. `shape` is that of the images, (channels, height, width); None: see plates.image_shape.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from postprocess.connectivity import input_connections, output_connections, select_nodes
from sifting.errors import RunDirectoryError
from sifting.network.plates import Shape, image_shape
from sifting.network.plates import image_plate as image_plate
from sifting.network.plates import input_images as input_images
from sifting.network.rounds import Round

KINDS = ("own", "effective")


def dense_masks(result: Round) -> list[np.ndarray]:
    """W masks of all hidden layers, in order. Raises RunDirectoryError: one of them is not dense."""
    if not all(spec.is_dense for spec in result.specs):
        raise RunDirectoryError(f"round {result.number}: has a convolution; accepted: networks of dense layers")
    return [result.masks[layer].W for layer in range(len(result.specs) - 1)]


def mask_planes(mask: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    """One image a node: bool [nodes, channels, height, width], indexed [node, c, y, x].

    Args:
        mask: [inputs, nodes], any dtype; non-zero means connected.

    Raises:
        DataError: the inputs are not those of such images.
    """
    return np.moveaxis(input_images(np.asarray(mask) != 0, shape), -1, 1)


def effective_mask(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Which inputs reach each node of a deeper layer: mu_ij = theta(sum_k m1_ik m2_kj - 1/2), P&B section 4.

    Args:
        masks: W masks of layers 1 to L, [n_0, n_1], [n_1, n_2], ...; non-zero means connected.

    Returns:
        uint8 [n_0, n_L], 1 where at least one path of unpruned weights leads from the input to the node.
    """
    *_, last = _effective_masks(masks)
    return last


def layer_masks(masks: Sequence[np.ndarray], kind: str = "own") -> list[np.ndarray]:
    """The mask of every layer by which its nodes are judged.

    Args:
        masks: W masks of layers 1 to L, [n_0, n_1], [n_1, n_2], ...; non-zero means connected.
        kind: "own", the layer's own mask, as P&B section 3 defines C_in; or "effective", the inputs that reach it, as
            the reference's notebook does.

    Returns:
        For layer l uint8 [n_{l-1}, n_l] (own) or [n_0, n_l] (effective). Layer 1 has the same in both.

    Raises:
        ValueError: kind is neither of the two.
    """
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: accepted: {', '.join(KINDS)}")
    return [binary(mask) for mask in masks] if kind == "own" else list(_effective_masks(masks))


def effective_weights(weights: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
    """The masked weights from the inputs to the nodes of layer L: (W1 * m1) @ (W2 * m2) @ ... @ (WL * mL).

    Args:
        weights: W of layers 1 to L, [n_0, n_1], [n_1, n_2], ...
        masks: of the same shapes; non-zero means connected.

    Returns:
        float64 [n_0, n_L].
    """
    layers = [np.multiply(W, binary(mask), dtype=np.float64) for W, mask in zip(weights, masks, strict=True)]
    return reduce(np.matmul, layers)


def weighted_images(weights: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    """Masked weights as images (P&B Fig. 3b), each node scaled by its largest weight of either sign.

    So a pruned weight is grey in every node. P&B scale from minimum to maximum, which makes a node white or black all
    over where few weights are left, all of one sign.

    Args:
        weights: [inputs, nodes], of effective_weights; some of its columns give some nodes.

    Returns:
        float64 [nodes, height, width, channels] in [0, 1]; 0.5 for a weight of 0.

    Raises:
        DataError: the inputs are not those of such images.
    """
    largest = np.abs(weights).max(axis=0)
    return input_images(0.5 + weights / np.where(largest > 0, 2 * largest, 1), shape)


def pixel_map(mask: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    """C_out,0 as an image (P&B Fig. 10): how many nodes each pixel is connected to, divided by the maximum.

    Args:
        mask: [inputs, nodes]; non-zero means connected. The mask of layer 1, or an effective mask.

    Returns:
        float64 [height, width, channels] in [0, 1]; 0 for an empty mask.

    Raises:
        DataError: the inputs are not those of such images.
    """
    connections = output_connections(mask)
    image: NDArray[np.float64] = input_images(connections[:, None] / max(connections.max(), 1), shape)[0]
    return image


def centre_ratio(mask: np.ndarray) -> float:
    """Connections of an input in the central quarter of the image, over those of one outside (P&B Fig. 10).

    Args:
        mask: [inputs, nodes], of square images; non-zero means connected.
    """
    size = image_shape(len(mask))[-1]
    planes = output_connections(mask).reshape(-1, size, size)
    inside = np.zeros((size, size), bool)
    inside[size // 4 : -size // 4, size // 4 : -size // 4] = True
    return float(planes[:, inside].mean() / planes[:, ~inside].mean())


def mask_plate(mask: np.ndarray, count: int = 30, columns: int | None = None, shape: Shape | None = None) -> np.ndarray:
    """The masks of the most connected nodes (P&B Fig. 3a), tiled row by row.

    A connected pixel shines in the colours of its channels, a pruned one is black. Nodes with fewer than 2 connections
    are left out.

    Args:
        mask: [inputs, nodes]; non-zero means connected.
        count: at most so many nodes.
        columns: tiles a row; default: about as many as there are rows.

    Returns:
        float32 [height, width, 3] in [0, 1]; [0, 0, 3] if no node is left.

    Raises:
        DataError: the inputs are not those of such images.
    """
    nodes = select_nodes(input_connections(mask), count)
    return image_plate(input_images(binary(mask[:, nodes]), shape), columns)


def hierarchy(masks: Sequence[np.ndarray], node: int) -> list[np.ndarray]:
    """The nodes through which a node of a deeper layer looks at the inputs (P&B Fig. 15 and 16b).

    A node of layer l is listed if an unpruned weight leads from it to a listed node of layer l + 1, and at least one
    input reaches it. So the effective mask of `node` is the union of the layer-1 masks that are listed.

    Args:
        masks: W masks of layers 1 to L, [n_0, n_1], [n_1, n_2], ...; non-zero means connected.
        node: of layer L.

    Returns:
        For each layer, 1 to L, the indices of its nodes, int64, ascending; the last is [node]. Their masks are columns
        of layer_masks(masks, "effective").
    """
    reached = [mask.any(axis=0) for mask in _effective_masks(masks)]
    levels = [np.array([node])]
    for layer in range(len(masks) - 1, 0, -1):
        feeds = (np.asarray(masks[layer])[:, levels[0]] != 0).any(axis=1)
        levels.insert(0, np.flatnonzero(feeds & reached[layer - 1]))
    return levels


def binary(mask: np.ndarray) -> NDArray[np.uint8]:
    """1 where it is not zero, uint8 of the same shape."""
    ones: NDArray[np.uint8] = (np.asarray(mask) != 0).astype(np.uint8)
    return ones


def _effective_masks(masks: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Of layers 1 to L."""
    # float32 for a fast product; it counts at most n_l paths, far below 2^24, so that none is lost.
    return accumulate(
        map(binary, masks), lambda reached, mask: binary(reached.astype(np.float32) @ mask.astype(np.float32))
    )
