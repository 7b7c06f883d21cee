"""Masks as images: their planes, the effective masks of deeper layers, and plates of the most connected nodes."""

import math
from collections.abc import Sequence

import numpy as np

from postprocess.connectivity import input_connections, most_connected
from sifting.errors import DataError


def image_size(inputs: int, channels: int = 3) -> int:
    """S, where inputs = channels * S * S: the side in pixels of the square images that a layer looks at.

    Raises:
        DataError: there is no such whole number.
    """
    size = math.isqrt(inputs // channels)
    if size < 1 or channels * size * size != inputs:
        raise DataError(f"{inputs} inputs are not a square image of {channels} channels; accepted: {channels}*S*S")
    return size


def mask_planes(mask: np.ndarray, channels: int = 3) -> np.ndarray:
    """One image a node: bool [nodes, channels, S, S], indexed [node, c, y, x].

    Args:
        mask: [channels*S*S, nodes], any dtype; non-zero means connected. Flat index of an input: c*S*S + y*S + x.

    Raises:
        DataError: the inputs are not a square image of so many channels.
    """
    size = image_size(len(mask), channels)
    return (np.asarray(mask) != 0).T.reshape(-1, channels, size, size)


def effective_mask(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Which inputs reach each node of a deeper layer: mu_ij = theta(sum_k m1_ik m2_kj - 1/2), P&B section 4.

    Args:
        masks: W masks of layers 1 to L, [n_0, n_1], [n_1, n_2], ...; non-zero means connected.

    Returns:
        uint8 [n_0, n_L], 1 where at least one path of unpruned weights leads from the input to the node.
    """
    connected = np.asarray(masks[0]) != 0
    for mask in masks[1:]:
        # float32 for a fast product; it counts at most n_l paths, far below 2^24, so that none is lost.
        connected = connected.astype(np.float32) @ (np.asarray(mask) != 0).astype(np.float32) > 0
    return connected.astype(np.uint8)


def mask_plate(mask: np.ndarray, count: int = 30, columns: int | None = None, channels: int = 3) -> np.ndarray:
    """The masks of the most connected nodes, tiled row by row, as in Fig. 3a of P&B.

    A connected pixel shines in the colours of its channels, a pruned one is black; the gaps are white. Nodes with
    fewer than 2 connections are left out. Small images are enlarged, pixel by pixel, to about 32 x 32.

    Args:
        mask: [channels*S*S, nodes]; non-zero means connected.
        count: at most so many nodes, the most connected first.
        columns: tiles a row; default: about as many as there are rows.
        channels: 3 (red, green, blue) or 1 (grey).

    Returns:
        float32 [height, width, 3] in [0, 1]; [0, 0, 3] if no node is left.

    Raises:
        DataError: the inputs are not a square image of so many channels.
    """
    connections = input_connections(mask)
    nodes = [node for node in most_connected(connections)[:count] if connections[node] >= 2]
    if not nodes:
        return np.ones((0, 0, 3), np.float32)
    tiles = np.moveaxis(mask_planes(mask[:, nodes], channels), 1, -1)
    zoom = max(1, 32 // tiles.shape[1])  # so that the gaps look equally thin beside small images
    tiles = tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)
    size = tiles.shape[1]
    gap = max(1, size // 32)
    columns = min(columns or math.ceil(math.sqrt(len(nodes))), len(nodes))
    rows = math.ceil(len(nodes) / columns)
    step = size + gap
    plate = np.ones((rows * step - gap, columns * step - gap, 3), np.float32)
    for position, tile in enumerate(tiles):
        y, x = (index * step for index in divmod(position, columns))
        plate[y : y + size, x : x + size] = tile
    return plate
