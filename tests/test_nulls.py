"""Null models of masks keep what they say, and nothing else."""

import numpy as np
import pytest

from postprocess.connectivity import binomial_excess, input_connections, output_connections
from postprocess.locality import locality_index
from postprocess.nulls import rewired, shuffled, shuffled_in_cells


@pytest.fixture
def mask() -> np.ndarray:
    """16 x 16 pixels, 40 nodes that each see a patch of 4 x 4 in one colour or two; the first four see four patches."""
    rng = np.random.default_rng(0)
    W = np.zeros((3, 16, 16, 40), np.float32)
    for node in range(40):
        for _ in range(4 if node < 4 else 1):
            y, x = rng.integers(0, 13, 2)
            W[rng.integers(0, 3, 2), y : y + 4, x : x + 4, node] = rng.normal()
    return W.reshape(768, 40)


@pytest.mark.parametrize("null", [shuffled, rewired, shuffled_in_cells])
def test_a_null_is_a_mask_as_dense_drawn_anew(null, mask):
    one, same, other = (null(mask, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == mask.shape and one.dtype == np.uint8 and one.max() == 1
    assert np.count_nonzero(one) == np.count_nonzero(mask)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any() and (one != (mask != 0)).any()


def test_shuffling_makes_C_in_binomial(mask):
    found = binomial_excess(input_connections(shuffled(mask, np.random.default_rng(0))), 768).variance_ratio
    assert binomial_excess(input_connections(mask), 768).variance_ratio > 10 and found == pytest.approx(1, abs=0.5)


def test_rewiring_keeps_the_connections_of_nodes_and_inputs_but_no_patch(mask):
    found = rewired(mask, np.random.default_rng(0))
    np.testing.assert_array_equal(input_connections(found), input_connections(mask))
    np.testing.assert_array_equal(output_connections(found), output_connections(mask))
    # Not 1: inputs in the middle have more connections, in the null, too.
    assert locality_index(mask) > 3 * locality_index(found) > 3
    np.testing.assert_array_equal(rewired(mask[:, :1], np.random.default_rng(0)), mask[:, :1] != 0)


def test_cells_keep_their_connections(mask):
    """Of 8 x 8 pixels: four in each colour."""
    found = shuffled_in_cells(mask, np.random.default_rng(0))
    cells = [(m != 0).reshape(3, 2, 8, 2, 8, 40).sum(axis=(2, 4)) for m in (mask, found)]
    np.testing.assert_array_equal(*cells)
