"""C_in, its histogram and the binomial that random pruning would give."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from postprocess.connectivity import (
    binomial_histogram,
    connection_histogram,
    input_connections,
    most_connected,
)
from postprocess.masks import effective_mask

DATA = Path(__file__).parent / "data"


def test_three_nodes_by_hand():
    """Columns are nodes, and any value but zero is a connection."""
    mask = np.array([[1, 0, 0], [-0.5, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(input_connections(mask), [3, 0, 1])
    np.testing.assert_array_equal(most_connected(input_connections(mask)), [0, 2, 1])


def test_ties_stay_in_order():
    np.testing.assert_array_equal(most_connected([2, 5, 5, 0, 5]), [1, 2, 4, 0, 3])


@pytest.mark.parametrize("number", [3, 5])
def test_equals_the_notebook(number):
    """Counts of layer 1 and of the effective mask of layer 2; the order of nodes up to ties."""
    run, recorded = np.load(DATA / "imp_fc_sgd.npz"), np.load(DATA / "postprocess.npz")
    masks = [run[f"r{number}_mask_l{layer}_W"] for layer in range(2)]
    connections = input_connections(masks[0])
    np.testing.assert_array_equal(connections, recorded[f"digits_r{number}_l1_connections"])
    effective = input_connections(effective_mask(masks))
    np.testing.assert_array_equal(effective, recorded[f"digits_r{number}_l2_connections"])
    top = recorded[f"digits_r{number}_top_nodes"]
    np.testing.assert_array_equal(connections[most_connected(connections)[: len(top)]], connections[top])


@pytest.mark.parametrize("last", [8, 9])
def test_histogram_holds_the_most_connected(last):
    """Bins 2-3, 4-5, 6-7, 8-9: the largest C_in is counted, whether it is even or odd."""
    edges, nodes = connection_histogram(np.array([3, 4, 5, 5, last]))
    np.testing.assert_array_equal(edges, [2, 4, 6, 8, 10])
    np.testing.assert_array_equal(nodes, [1, 3, 0, 1])


def test_histogram_of_equal_nodes():
    edges, nodes = connection_histogram(np.full(5, 3072))
    np.testing.assert_array_equal(edges, [3072, 3074])
    np.testing.assert_array_equal(nodes, [5])


def test_binomial_equals_scipy():
    edges = np.arange(60, 121, 2)
    expected = 1024 * np.diff(binom.cdf(edges - 1, 3072, 0.028))
    np.testing.assert_allclose(binomial_histogram(edges, 3072, 0.028, 1024), expected, rtol=1e-9)


def test_binomial_adds_up_to_the_nodes():
    """Also at the ends of its range: 0 <= C_in <= n_0, the last bin half beyond it; and for a dense layer."""
    assert binomial_histogram(np.arange(0, 103, 2), 100, 0.4, 7).sum() == pytest.approx(7)
    np.testing.assert_allclose(binomial_histogram(np.array([98, 100, 102]), 100, 1.0, 7), [0, 7])
