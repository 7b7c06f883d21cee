"""How many connections the nodes keep: C_in, C_out, histograms, and what random pruning would give.

Every function takes the mask of one layer, or the connections counted in it. For a deeper layer that is its own mask,
by which P&B define C_in, or its effective mask, which the reference's notebook uses: postprocess.masks.layer_masks.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc


class LayerConnections(NamedTuple):
    """C_in and C_out in the mask [inputs, nodes] of one layer.

    Attributes:
        incoming: C_in of its nodes, int64 [nodes].
        outgoing: C_out of its inputs, int64 [inputs]. In the layer's own mask these are the nodes of the layer before,
            in layer 1 and in an effective mask the pixels (C_out,0).
    """

    incoming: np.ndarray
    outgoing: np.ndarray


class ConnectionBin(NamedTuple):
    """Nodes with first <= C_in <= last. nodes: their indices, int64, ascending."""

    first: int
    last: int
    nodes: np.ndarray


class BinomialExcess(NamedTuple):
    """How far C_in is from Binomial(n_0, u), which random pruning gives.

    Attributes:
        variance_ratio: variance of C_in over the nodes / [n_0 u (1 - u)]; about 1 for random masks, larger where some
            nodes keep many connections and others few. nan for an empty or a full mask.
        tail: share of the nodes with C_in > n_0 u + 3 sqrt(n_0 u (1 - u)), minus the probability of that: the nodes
            that the "long positive tails" (P&B section 4) have in excess of the binomial.
    """

    variance_ratio: float
    tail: float


def input_connections(mask: np.ndarray) -> NDArray[np.intp]:
    """C_in of each node, int64 [nodes]: C_in,j = sum_i m_ij, P&B section 3.

    Args:
        mask: [inputs, nodes], any dtype; non-zero means connected.
    """
    connections: NDArray[np.intp] = np.count_nonzero(mask, axis=0)
    return connections


def output_connections(mask: np.ndarray) -> np.ndarray:
    """C_out of each input, int64 [inputs]: C_out,i = sum_j m_ij, P&B section 3.

    Args:
        mask: [inputs, nodes], any dtype; non-zero means connected. P&B's C_out of layer l stands in the mask of layer
            l + 1; C_out,0 of the pixels in the mask of layer 1, or the effective mask of a deeper one.
    """
    connections: NDArray[np.intp] = np.count_nonzero(mask, axis=1)
    return connections


def layer_connections(masks: Iterable[np.ndarray]) -> list[LayerConnections]:
    """C_in and C_out of every layer.

    Args:
        masks: of the layers 1, 2, ...: postprocess.masks.layer_masks gives the own or the effective ones.
    """
    return [LayerConnections(input_connections(mask), output_connections(mask)) for mask in masks]


def most_connected(connections: np.ndarray) -> np.ndarray:
    """Indices of the nodes, int64 [nodes], in the order of their connections, the most connected first.

    Nodes with equally many connections stay in the order of their indices.
    """
    return np.argsort(-np.asarray(connections), kind="stable")


def select_nodes(connections: np.ndarray, count: int = 30, least_connections: int = 2) -> np.ndarray:
    """Indices of at most `count` nodes, int64, to be shown: the most connected ones, those with too few left out."""
    enough = np.asarray(connections) >= least_connections
    return np.array([node for node in most_connected(connections) if enough[node]][:count], int)


def connection_bins(connections: np.ndarray, width: int, bins: int) -> list[ConnectionBin]:
    """Nodes by their connections, Fig. 11 of P&B: bins of equal width, the last one up to the largest C_in.

    The first bin starts at the smallest C_in, but at 2 at least: fewer make no pair. Both ends of a bin belong to it;
    the reference's notebook loses the nodes there. Bins without nodes are joined to the next one that has any.

    Args:
        connections: int [nodes].
        width: of a bin, in connections.
        bins: how many at most.
    """
    connections, first, found = np.asarray(connections), max(int(np.min(connections)), 2), []
    largest = int(np.max(connections))
    for place, start in enumerate(range(first, largest + 1, width)[:bins], 1):
        last = largest if place == bins else min(start + width - 1, largest)
        nodes = np.flatnonzero((first <= connections) & (connections <= last))
        if len(nodes):
            found.append(ConnectionBin(first, last, nodes))
            first = last + 1
    return found


def connection_histogram(connections: np.ndarray, bin_width: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Histogram of C_in, Fig. 1b of P&B.

    Edges are multiples of the bin width, and bin k holds edges[k] <= C_in < edges[k+1]. The last edge lies above the
    largest C_in, so that the most connected nodes are in it; the reference's notebook loses them.

    Args:
        connections: int [nodes].
        bin_width: in connections.

    Returns:
        edges, int64 [bins + 1], and the number of nodes in each bin, int64 [bins].
    """
    first, last = np.min(connections) // bin_width, np.max(connections) // bin_width
    edges = bin_width * np.arange(first, last + 2)
    counts = np.bincount(np.asarray(connections) // bin_width - first, minlength=last - first + 1)
    return edges, counts


def binomial_histogram(edges: np.ndarray, inputs: int, density: float, nodes: int) -> np.ndarray:
    """The histogram of random pruning, C_in ~ Binomial(n_0, u): the dashed line of Fig. 5b of P&B.

    Args:
        edges: int [bins + 1], of connection_histogram.
        inputs: n_0.
        density: u of the layer, 0 < u <= 1.
        nodes: of the layer.

    Returns:
        float64 [bins], expected numbers of nodes with edges[k] <= C_in < edges[k+1].
    """
    from scipy.stats import binom  # a second, which commands without a histogram do not wait for

    kept = np.arange(edges[0], edges[-1])  # the last bin may end above n_0, where the probability is 0
    return nodes * np.add.reduceat(binom.pmf(kept, inputs, density), edges[:-1] - edges[0])


def binomial_excess(connections: np.ndarray, inputs: int) -> BinomialExcess:
    """How much more unequal the nodes are than in a random mask of the same density.

    Args:
        connections: C_in, int [nodes].
        inputs: n_0.
    """
    connections = np.asarray(connections)
    mean = connections.mean()
    variance = mean * (1 - mean / inputs)
    threshold = min(np.floor(mean + 3 * np.sqrt(variance)), inputs)
    return BinomialExcess(
        float(connections.var() / variance) if variance else float("nan"),
        float(np.mean(connections > threshold) - bdtrc(threshold, inputs, mean / inputs)),
    )
