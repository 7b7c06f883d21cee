"""Magnitude scores and the layerwise scope: four weights by hand, then properties of random cases."""

import numpy as np
import pytest

from sifting.architecture import LayerSpec
from sifting.pruning.scopes import layerwise
from sifting.pruning.scores import magnitude
from sifting.rounds import Mask, Parameters, connected_fraction, density


def float32(values):
    return np.array(values, np.float32)


def prune(W, b, ratio, mask_W=None, mask_b=None):
    """New masks of a layer, as lists."""
    W, b = float32(W), float32(b)
    mask = Mask(*(np.ones_like(v) if m is None else float32(m) for v, m in ((W, mask_W), (b, mask_b))))
    new = layerwise(magnitude(Parameters(W, b), mask), mask, ratio)
    assert new.W.dtype == new.b.dtype == np.float32
    return new.W.tolist(), new.b.tolist()


# --- by hand


def test_magnitude_by_hand():
    scores = magnitude(
        Parameters(float32([[-3, 2], [0, 1]]), float32([-5, 4])), Mask(float32([[1, 0], [1, 1]]), float32([1, 0]))
    )
    assert scores.W.tolist() == [[3, 0], [0, 1]] and scores.b.tolist() == [5, 0]


def test_threshold_is_the_value_at_index_ratio_times_n_and_stays():
    # pool 1 2 3 4: index int(0.5 * 4) = 2, so 3 and 4 stay; int(0.3 * 4) = 1, so 2, 3 and 4.
    assert prune([[1, -4]], [3, -2], 0.5) == ([[0, 1]], [1, 0])
    assert prune([[1, -4]], [3, -2], 0.3) == ([[0, 1]], [1, 1])
    assert prune([[1, -4]], [3, -2], 0.2) == ([[1, 1]], [1, 1])  # int(0.8) = 0
    assert prune([[1, -4]], [3, -2], 0.75) == ([[0, 1]], [0, 0])


def test_weights_and_biases_share_one_pool():
    assert prune([[1], [2]], [10], 0.5) == ([[0], [1]], [1])  # pool 1 2 10, index 1
    assert prune([[5], [6]], [1], 0.5) == ([[1], [1]], [0])  # the bias goes first
    assert prune([[1, 1], [1, 1]], [0, 0], 0.34) == ([[1, 1], [1, 1]], [0, 0])  # new biases are zero: index 2


def test_ties_at_the_threshold_stay():
    assert prune([[1, -2]], [2, 2], 0.5) == ([[0, 1]], [1, 1])
    assert prune([[2, -2]], [2, 2], 0.9) == ([[1, 1]], [1, 1])


def test_a_threshold_of_zero_revives_nothing():
    # Two of four are masked already, index int(0.4 * 4) = 1 is a zero: >= 0 alone would bring them back.
    assert prune([[7, -4]], [9, -2], 0.4, [[0, 1]], [0, 1]) == ([[0, 1]], [0, 1])
    # A weight that is zero but not masked is kept by the same rule.
    assert prune([[0, -4]], [9, -2], 0.1, [[1, 1]], [0, 1]) == ([[1, 1]], [0, 1])


def test_old_masks_multiply_the_magnitudes():
    # The large masked weights count as zeros of the pool: 0 0 1 2, index 3.
    assert prune([[100, 1]], [100, 2], 0.75, [[0, 1]], [0, 1]) == ([[0, 0]], [0, 1])


@pytest.mark.parametrize(("ratio", "kept"), [(0.0, 4), (1.0, 1)])
def test_the_ends_of_the_range(ratio, kept):
    W, b = prune([[1, -4]], [3, -2], ratio)
    assert np.sum(W) + np.sum(b) == kept


def test_a_kernel_without_biases():
    W = float32(np.arange(1, 9)).reshape(2, 2, 1, 2)
    mask = Mask(np.ones_like(W))
    scores = magnitude(Parameters(-W), mask)
    new = layerwise(scores, mask, 0.5)
    assert scores.b is None and new.b is None
    np.testing.assert_array_equal(new.W, W >= 5)


# --- properties


@pytest.mark.parametrize("seed", range(20))
def test_masks_only_shrink_to_the_right_count(seed):
    """Without ties exactly int(ratio * n) of n are masked after each round; nothing comes back; nothing is changed."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))
    mask = Mask(np.ones(shape, np.float32), np.ones(shape[1], np.float32))
    ratio, n = 0.0, shape[0] * shape[1] + shape[1]
    for _ in range(6):
        parameters = Parameters(*(rng.normal(size=m.shape).astype(np.float32) for m in mask))
        held = [value.copy() for value in (*parameters[:2], *mask)]
        ratio += rng.uniform(0.05, 0.6) * (1 - ratio)
        new = layerwise(magnitude(parameters, mask), mask, ratio)
        for value, copy in zip((*parameters[:2], *mask), held, strict=True):
            np.testing.assert_array_equal(value, copy)
        for now, before in zip(new, mask, strict=True):
            assert set(np.unique(now)) <= {0, 1} and np.all(now <= before)
        assert sum(np.sum(m == 0) for m in new) == int(ratio * n)
        pool = np.concatenate([np.abs(p)[b == 1] for p, b in zip(parameters[:2], mask, strict=True)])
        kept = np.concatenate([np.abs(p)[m == 1] for p, m in zip(parameters[:2], new, strict=True)])
        assert kept.size == 0 or kept.min() == np.sort(pool)[-kept.size]  # the largest ones
        mask = new


@pytest.mark.parametrize("seed", range(10))
def test_with_ties_no_more_is_pruned_than_asked_for(seed):
    rng = np.random.default_rng(seed)
    W, b = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((9, 7), (7,)))
    mask = Mask(rng.integers(0, 2, (9, 7)).astype(np.float32), np.ones(7, np.float32))
    ratio = rng.uniform(0, 1)
    scores = magnitude(Parameters(W, b), mask)
    new = layerwise(scores, mask, ratio)
    before = sum(np.sum(m == 0) for m in mask)
    assert sum(np.sum(m == 0) for m in new) <= max(int(ratio * 70), before)
    for now, old in zip(new, mask, strict=True):
        assert np.all(now <= old)
    lowest_kept = min(np.min(s[m == 1], initial=np.inf) for s, m in zip(scores, new, strict=True))
    highest_pruned = max(
        np.max(s[(m == 0) & (o == 1)], initial=-np.inf) for s, m, o in zip(scores, new, mask, strict=True)
    )
    assert highest_pruned < lowest_kept  # a tie is never broken


# --- counts


SPECS = (LayerSpec("f", (3, 2), True), LayerSpec("f", (2, 4), True), LayerSpec("x", (4, 2), False))


def test_density_counts_the_weights_of_prunable_layers():
    masks = (
        Mask(float32([[1, 0], [0, 0], [1, 0]]), np.zeros(2)),
        Mask(float32([[1, 1, 0, 0], [1, 0, 0, 0]]), np.ones(4)),
        Mask(np.zeros((4, 2)), np.ones(2)),
    )
    assert density(masks, SPECS) == (2 + 3) / (6 + 8)
    # Node 1 of layer 0 has no input (its bias does not count): 1/2; nodes 0 and 1 of layer 1 have one: 2/4.
    assert connected_fraction(masks, SPECS) == 0.5
    masks = (masks[0], Mask(float32([[0, 0, 0, 0], [1, 0, 0, 0]]), np.ones(4)), masks[2])
    assert connected_fraction(masks, SPECS) == 0.25


def test_a_channel_is_connected_by_any_entry_of_its_kernel():
    W = np.zeros((2, 2, 3, 4), np.float32)
    W[1, 0, 2, 3] = W[0, 0, 0, 1] = 1
    specs = (LayerSpec("c", (2, 2, 3, 4, 1), True), LayerSpec("p", (2, 2), False), SPECS[2])
    masks = (Mask(W), None, Mask(np.zeros((4, 2)), np.ones(2)))
    assert connected_fraction(masks, specs) == 0.5
    assert density(masks, specs) == 2 / 48
