"""The overlap of two masks: by hand, and against chance where there is nothing but chance."""

import numpy as np
import pytest

from postprocess.masks import mask_overlap
from sifting.errors import DataError


def test_two_nodes_by_hand():
    """Node 0: {0, 1} and {1, 2} of 4 inputs; node 1: {3} in both, whatever the values."""
    first = np.array([[1, 0], [1, 0], [0, 0], [0, 1]])
    second = np.array([[0, 0], [-3, 0], [1, 0], [0, 0.5]])
    overlap = mask_overlap(first, second)
    np.testing.assert_allclose(overlap.nodes, [1 / 3, 1])
    # Expected intersections: 2 * 2 / 4 of a union of 3, 1 * 1 / 4 of a union of 7/4; and 3 * 3 / 8 of the layer's.
    np.testing.assert_allclose(overlap.nodes_chance, [1 / 3, 1 / 7])
    assert overlap.layer == 2 / 4
    assert overlap.layer_chance == pytest.approx((9 / 8) / (6 - 9 / 8))


def test_equal_disjoint_and_empty_masks():
    mask = np.random.default_rng(0).random((100, 5)) < 0.3
    for other, expected in ((mask, 1), (~mask, 0)):
        overlap = mask_overlap(mask, other)
        assert overlap.layer == expected
        np.testing.assert_array_equal(overlap.nodes, expected)
    empty = np.zeros((2, 2))
    overlap = mask_overlap(np.array([[1, 0], [1, 0]]), empty)
    np.testing.assert_array_equal(overlap.nodes, [0, np.nan])
    assert overlap.layer == 0 and np.isnan(mask_overlap(empty, empty).layer)
    with pytest.raises(DataError, match=r"masks of shapes \(4, 2\) and \(4, 3\): accepted: equal shapes"):
        mask_overlap(np.ones((4, 2)), np.ones((4, 3)))


@pytest.mark.parametrize("densities", [(0.3, 0.3), (0.05, 0.4), (1.0, 0.2)])
def test_independent_masks_overlap_by_chance(densities):
    rng = np.random.default_rng(1)
    first, second = (rng.random((3072, 300)) < density for density in densities)
    overlap = mask_overlap(first, second)
    u_a, u_b = densities
    assert overlap.layer == pytest.approx(overlap.layer_chance, rel=0.02)
    assert overlap.layer_chance == pytest.approx(u_a * u_b / (u_a + u_b - u_a * u_b), rel=0.02)
    assert overlap.nodes.mean() == pytest.approx(overlap.nodes_chance.mean(), rel=0.02)


def test_nodes_of_their_own_densities():
    """The chance of a node knows how many connections it kept; that of the layer does not."""
    rng = np.random.default_rng(2)
    density = np.linspace(0.02, 0.9, 50)
    first, second = (rng.random((3072, 50)) < density for _ in range(2))
    overlap = mask_overlap(first, second)
    np.testing.assert_allclose(overlap.nodes, overlap.nodes_chance, atol=0.03)
    assert overlap.layer > 1.2 * overlap.layer_chance
