"""How many connections the nodes keep: C_in, its histogram, and what random pruning would give."""

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy


def input_connections(mask: np.ndarray) -> np.ndarray:
    """C_in of each node, int64 [nodes]: C_in,j = sum_i m_ij, P&B section 3.

    Args:
        mask: [inputs, nodes], any dtype; non-zero means connected. The layer's own mask, or for a deeper layer the
            effective mask (postprocess.masks.effective_mask).
    """
    return np.count_nonzero(mask, axis=0)


def most_connected(connections: np.ndarray) -> np.ndarray:
    """Indices of the nodes, int64 [nodes], in the order of their connections, the most connected first.

    Nodes with equally many connections stay in the order of their indices.
    """
    return np.argsort(-np.asarray(connections), kind="stable")


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
    kept = np.arange(edges[0], edges[-1])
    possible = np.minimum(kept, inputs)  # the last bin may end above n_0
    log_choose = gammaln(inputs + 1) - gammaln(possible + 1) - gammaln(inputs - possible + 1)
    probability = np.exp(log_choose + xlogy(possible, density) + xlog1py(inputs - possible, -density))
    return nodes * np.add.reduceat(np.where(kept <= inputs, probability, 0.0), edges[:-1] - edges[0])
