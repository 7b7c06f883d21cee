"""C_in, its histogram and the binomial that random pruning would give."""

import numpy as np
import pytest
from scipy.stats import binom

from postprocess.connectivity import (
    binomial_excess,
    binomial_histogram,
    connection_bins,
    connection_histogram,
    input_connections,
    layer_connections,
    most_connected,
    output_connections,
    select_nodes,
)
from postprocess.masks import layer_masks


def test_three_nodes_by_hand():
    """Columns are nodes, and any value but zero is a connection."""
    mask = np.array([[1, 0, 0], [-0.5, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(input_connections(mask), [3, 0, 1])
    np.testing.assert_array_equal(output_connections(mask), [1, 2, 1])
    np.testing.assert_array_equal(most_connected(input_connections(mask)), [0, 2, 1])
    np.testing.assert_array_equal(most_connected([2, 5, 5, 0, 5]), [1, 2, 4, 0, 3])  # ties stay in order


def test_own_and_effective_connections():
    """Pixels 0, 1, 2 -> nodes a, b -> nodes c, d; a sees pixels 0 and 1, b sees 1; c has both, d has none."""
    masks = [np.array([[1, 0], [1, 1], [0, 0]]), np.array([[1, 0], [1, 0]])]
    first, own = layer_connections(layer_masks(masks, "own"))
    first_again, effective = layer_connections(layer_masks(masks, "effective"))
    for layer in (first, first_again):
        np.testing.assert_array_equal(layer.incoming, [2, 1])
        np.testing.assert_array_equal(layer.outgoing, [1, 2, 0])  # C_out,0
    np.testing.assert_array_equal(own.incoming, [2, 0])
    np.testing.assert_array_equal(own.outgoing, [1, 1])  # C_out of a and b
    np.testing.assert_array_equal(effective.incoming, [2, 0])
    np.testing.assert_array_equal(effective.outgoing, [1, 1, 0])  # C_out,0 through the effective mask


def test_selected_nodes():
    """Nodes 2 and 3 have too few; ties stand in order."""
    for count, nodes in ((3, [1, 4, 0]), (9, [1, 4, 0, 5])):
        np.testing.assert_array_equal(select_nodes([4, 7, 1, 0, 7, 2], count), nodes)


def test_bins_hold_their_ends():
    """C_in 0 and 1 are in none; 2-4, 5-7, then 8 to the largest. They start at the least connected node; bins without
    nodes, here 12-14 to 21-23, are joined to the next."""

    def found(connections, width, bins):
        return [(b.first, b.last, b.nodes.tolist()) for b in connection_bins(connections, width=width, bins=bins)]

    assert found([1, 2, 4, 5, 7, 8, 30, 0], 3, 3) == [(2, 4, [1, 2]), (5, 7, [3, 4]), (8, 30, [5, 6])]
    assert found([9, 12, 10], 2, 2) == [(9, 10, [0, 2]), (11, 12, [1])]
    assert found([9, 25], 3, 9) == [(9, 11, [0]), (12, 25, [1])]


@pytest.mark.parametrize("last", [8, 9])
def test_histogram_holds_the_most_connected(last):
    """Bins 2-3, 4-5, 6-7, 8-9: the largest C_in is counted, whether it is even or odd."""
    edges, nodes = connection_histogram(np.array([3, 4, 5, 5, last]))
    np.testing.assert_array_equal(edges, [2, 4, 6, 8, 10])
    np.testing.assert_array_equal(nodes, [1, 3, 0, 1])


def test_binomial_equals_scipy_and_adds_up_to_the_nodes():
    """Also at the ends of its range: 0 <= C_in <= n_0, the last bin half beyond it; and for a dense layer."""
    edges = np.arange(60, 121, 2)
    expected = 1024 * np.diff(binom.cdf(edges - 1, 3072, 0.028))
    np.testing.assert_allclose(binomial_histogram(edges, 3072, 0.028, 1024), expected, rtol=1e-9)
    assert binomial_histogram(np.arange(0, 103, 2), 100, 0.4, 7).sum() == pytest.approx(7)
    np.testing.assert_allclose(binomial_histogram(np.array([98, 100, 102]), 100, 1.0, 7), [0, 7])


def test_excess_by_hand():
    """Three nodes of 1, 1 and 7 of 9 inputs: mean 3, variance 8, n_0 u (1 - u) = 2; no node lies above 3 + 3 sqrt 2."""
    excess = binomial_excess([1, 1, 7], 9)
    assert excess.variance_ratio == pytest.approx(4)
    assert excess.tail == pytest.approx(-(9 * 2 + 1) / 3**9)  # P(C > 7) = P(8) + P(9), u = 1/3


def test_excess_of_random_and_uneven_masks():
    """Half a per cent of the nodes far above the others is an excess of half a per cent."""
    rng = np.random.default_rng(8)
    connections = rng.binomial(3072, 0.01, 2000)
    random = binomial_excess(connections, 3072)
    assert random.variance_ratio == pytest.approx(1, abs=0.1)
    assert random.tail == pytest.approx(0, abs=0.003)
    connections[:10] = 400
    uneven = binomial_excess(connections, 3072)
    assert uneven.variance_ratio > 10
    assert uneven.tail == pytest.approx(0.005, abs=0.003)


@pytest.mark.parametrize("kept", [0, 5])
def test_excess_of_empty_and_full_masks(kept):
    excess = binomial_excess(np.full(4, kept), 5)
    assert np.isnan(excess.variance_ratio)
    assert excess.tail == 0
