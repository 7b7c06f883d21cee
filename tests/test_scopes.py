"""Scopes and rules: pools by hand, then properties of random cases."""

import numpy as np
import pytest

from sifting.errors import ScoresNotFinite
from sifting.network.rounds import Mask
from sifting.pruning.scopes import SCOPES, exact_count, globally, layerwise, reference_threshold

RULES = {"exact": exact_count, "reference": reference_threshold}
rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def float32(values):
    return np.array(values, np.float32)


def layer_of(*values):
    """Scores or masks of W, or of W and b."""
    return Mask(*map(float32, values))


def layers(*values):
    return dict(enumerate(values))


def as_lists(masks):
    """W, or W and b, of each layer, without changing them."""
    return [mask.W.tolist() if mask.b.size == 0 else (mask.W.tolist(), mask.b.tolist()) for mask in masks.values()]


def of_one(scores, mask, sparsity, rule=exact_count):
    """New mask of a single layer."""
    return layerwise({0: scores}, {0: mask}, sparsity, rule)[0]


# --- the rules, by hand

# The layers' W and b, all kept but for the zeros of their masks, if there are any; sparsity, and what is kept then.
REFERENCE = [
    ([[1, -4]], [3, -2], 0.5, [[0, 1]], [1, 0]),  # pool 1 2 3 4: index int(0.5 * 4) = 2, so 3 and 4 stay
    ([[1, -4]], [3, -2], 0.3, [[0, 1]], [1, 1]),  # int(0.3 * 4) = 1
    ([[1, -4]], [3, -2], 0.2, [[1, 1]], [1, 1]),
    ([[1, -4]], [3, -2], 0.75, [[0, 1]], [0, 0]),
    ([[1, -4]], [3, -2], 0.0, [[1, 1]], [1, 1]),
    ([[1, -4]], [3, -2], 1.0, [[0, 1]], [0, 0]),
    ([[1], [2]], [10], 0.5, [[0], [1]], [1]),  # weights and biases share a pool: 1 2 10, index 1
    ([[5], [6]], [1], 0.5, [[1], [1]], [0]),
    ([[1, 1], [1, 1]], [0, 0], 0.34, [[1, 1], [1, 1]], [0, 0]),  # new biases are zero: index 2
    ([[1, -2]], [2, 2], 0.5, [[0, 1]], [1, 1]),  # ties stay
    ([[2, -2]], [2, 2], 0.9, [[1, 1]], [1, 1]),
    # Two of four are masked, index int(0.4 * 4) = 1 is a zero: >= 0 alone would bring them back.
    ([[7, -4]], [9, -2], 0.4, [[0, 1]], [0, 1], [[0, 1]], [0, 1]),
    ([[0, -4]], [9, -2], 0.1, [[1, 1]], [0, 1], [[1, 1]], [0, 1]),  # a weight that is zero but not masked stays
    ([[100, 1]], [100, 2], 0.75, [[0, 0]], [0, 1], [[0, 1]], [0, 1]),  # masked weights are zeros: 0 0 1 2
]
EXACT = [
    ([[1, -4]], [3, -2], 0.5, [[0, 1]], [1, 0]),
    ([[1, -4]], [3, -2], 0.74, [[0, 1]], [1, 0]),  # int(2.96) = 2
    ([[1, -4]], [3, -2], 0.75, [[0, 1]], [0, 0]),
    ([[1, -4]], [3, -2], 0.0, [[1, 1]], [1, 1]),
    ([[2, -2]], [2, 2], 0.5, [[0, 0]], [1, 1]),  # ties by index
    ([[2, 1]], [2, 1], 0.75, [[0, 0]], [1, 0]),
]


@pytest.mark.parametrize(
    ("rule", "case"),
    [(rule, case) for rule, cases in ((RULES["reference"], REFERENCE), (exact_count, EXACT)) for case in cases],
)
def test_magnitudes_by_hand(rule, case):
    W, b, sparsity, kept_W, kept_b, *masks = case
    W, b = np.abs(float32(W)), np.abs(float32(b))
    mask = layer_of(*masks) if masks else layer_of(np.ones_like(W), np.ones_like(b))
    new = of_one(Mask(W * mask.W, b * mask.b), mask, sparsity, rule)
    assert new.W.dtype == new.b.dtype == np.float32
    assert (new.W.tolist(), new.b.tolist()) == (kept_W, kept_b)


def test_a_kernel_without_biases():
    W = float32(np.arange(1, 9)).reshape(2, 2, 1, 2)
    new = of_one(Mask(W), Mask(np.ones_like(W)), 0.5, reference_threshold)
    assert new.b.size == 0
    np.testing.assert_array_equal(new.W, W >= 5)


def test_masked_weights_count_as_the_lowest_whatever_their_scores():
    """Of four weights, the two masked ones have the highest scores and the lowest: int(0.75 * 4) - 2 = 1 more goes."""
    scores, mask = layer_of([[9, 2], [3, -9]]), layer_of([[0, 1], [1, 0]])
    assert of_one(scores, mask, 0.75).W.tolist() == [[0, 0], [1, 0]]
    assert of_one(scores, mask, 0.5).W.tolist() == [[0, 1], [1, 0]]
    assert of_one(scores, mask, 0.25).W.tolist() == [[0, 1], [1, 0]]  # more are masked already


def test_thousands_of_tied_zeros():
    """The rule for ties matters when scores have underflowed: exactly as many go as asked for, the first ones."""
    scores = np.zeros((100, 60), np.float32)
    scores[3, :50] = 1
    mask = np.ones_like(scores)
    mask[0, :10] = 0
    new = of_one(Mask(scores), Mask(mask), 0.9)
    assert np.sum(new.W == 0) == 5400
    kept = np.flatnonzero(new.W)
    assert set(range(180, 230)) <= set(kept)  # those with a score
    assert np.array_equal(kept[50:], np.arange(6000 - 550, 6000))  # the last of the others
    threshold = of_one(Mask(scores * mask), Mask(mask), 0.9, reference_threshold)
    np.testing.assert_array_equal(threshold.W, mask)  # a threshold of zero: all stay, and none is revived


# --- what makes a pool


SCORES = {0: layer_of([[5, 6], [7, 8]]), 2: layer_of([[1, 2], [3, 9]], [4, 0])}
MASKS = {
    0: layer_of([[1, 1], [1, 1]], [1, 0]),
    2: layer_of([[1, 1], [1, 1]], [1, 1]),
    3: layer_of([[1, 0], [1, 1]], [1, 1]),
}


def test_layers_and_biases_without_scores_are_left_alone():
    for scope in SCOPES.values():
        new = scope(SCORES, MASKS, 0.5)
        assert list(new) == [0, 2, 3] and new[3] is MASKS[3]
        np.testing.assert_array_equal(new[0].b, [1, 0])
        assert np.sum(new[0].W) + np.sum(new[2].W) < 8


def test_layerwise_every_layer_is_a_pool():
    """Of 4, and of 4 + 2 with the biases: half of each; or int(0.25 * 4) = 1 and int(0.9 * 6) = 5."""
    half = [([[0, 0], [1, 1]], [1, 0]), ([[0, 0], [1, 1]], [1, 0])]
    assert as_lists(layerwise(SCORES, MASKS, 0.5))[:2] == half
    uneven = [([[0, 1], [1, 1]], [1, 0]), ([[0, 0], [0, 1]], [0, 0])]
    for sparsities in ([0.25, 0.9], np.array([0.25, 0.9])):  # as drivers keep them
        assert as_lists(layerwise(SCORES, MASKS, sparsities))[:2] == uneven
    with pytest.raises(ValueError):
        layerwise(SCORES, MASKS, [0.5, 0.5, 0.5])


def test_globally_all_layers_are_one_pool():
    """0 1 2 3 4 5 6 7 8 9: the lower half lies in one layer, which keeps one weight."""
    assert as_lists(globally(SCORES, MASKS, 0.5))[:2] == [([[1, 1], [1, 1]], [1, 0]), ([[0, 0], [0, 1]], [0, 0])]


def test_a_layer_with_small_scores_can_be_emptied():
    scores = layers(layer_of(np.full((3, 3), 1e-9)), layer_of(np.arange(1, 10).reshape(3, 3)))
    masks = layers(*[layer_of(np.ones((3, 3)))] * 2)
    assert [np.sum(mask.W) for mask in globally(scores, masks, 0.5).values()] == [0, 9]
    assert [np.sum(mask.W) for mask in layerwise(scores, masks, 0.5).values()] == [5, 5]


def test_the_order_of_a_pool_is_that_of_layers_and_then_of_weights_and_biases():
    """Six scores of two layers, biases included; the three lowest are spread over both."""
    scores = layers(layer_of([[6, 1]], [3, 4]), layer_of([[2], [5]]))
    masks = layers(layer_of([[1, 1]], [1, 1]), layer_of([[1], [1]], [1]))
    assert as_lists(globally(scores, masks, 0.5)) == [([[1, 0]], [0, 1]), ([[0], [1]], [1])]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    scores = layers(layer_of([[1, 2]]), layer_of([[3, value]]))
    masks = layers(layer_of([[1, 1]]), layer_of([[1, 1]]))
    with pytest.raises(ScoresNotFinite, match="layers 1, 2 are not finite: 1 of 4"):
        globally(scores, masks, 0.5)
    with pytest.raises(ScoresNotFinite, match="layer 2 are not finite: 1 of 2"):
        layerwise(scores, masks, 0.5)
    masked = masks | {1: layer_of([[1, 0]])}  # a weight that is masked has no say
    assert as_lists(globally(scores, masked, 0.5)) == [[[0, 1]], [[1, 0]]]


# --- properties


@rules
@pytest.mark.parametrize("seed", range(10))
def test_masks_only_shrink_to_the_right_count(seed, rule):
    """Without ties exactly int(sparsity * n) of n are masked after each round; nothing comes back or is changed."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))
    mask = Mask(np.ones(shape, np.float32), np.ones(shape[1], np.float32))
    sparsity, n = 0.0, shape[0] * shape[1] + shape[1]
    for _ in range(6):
        scores = Mask(*(rng.uniform(0.1, 1, m.shape) * m for m in mask))
        held = [value.copy() for value in (*scores, *mask)]
        sparsity += rng.uniform(0.05, 0.6) * (1 - sparsity)
        new = of_one(scores, mask, sparsity, rule)
        for value, copy in zip((*scores, *mask), held, strict=True):
            np.testing.assert_array_equal(value, copy)
        for now, before in zip(new, mask, strict=True):
            assert set(np.unique(now)) <= {0, 1} and np.all(now <= before)
        assert sum(np.sum(m == 0) for m in new) == int(sparsity * n)
        pool = np.concatenate([s[m == 1] for s, m in zip(scores, mask, strict=True)])
        kept = np.concatenate([s[m == 1] for s, m in zip(scores, new, strict=True)])
        assert kept.size == 0 or kept.min() == np.sort(pool)[-kept.size]  # the largest ones
        mask = new


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("seed", range(10))
def test_exact_counts_whatever_ties_and_masks_there_are(seed, scope):
    rng = np.random.default_rng(seed)
    shapes = [(9, 7), (7, 5), (3, 3, 2, 4)]
    masks = layers(*(Mask(rng.integers(0, 2, shape).astype(np.float32)) for shape in shapes))
    scores = layers(*(Mask(rng.integers(-2, 3, shape).astype(float)) for shape in shapes))
    sparsity = rng.uniform(0, 1)
    new = scope(scores, masks, sparsity)
    for pool in [range(3)] if scope is globally else [[0], [1], [2]]:
        before, after = (sum(int(np.sum(m[layer].W == 0)) for layer in pool) for m in (masks, new))
        assert after == max(int(sparsity * sum(masks[layer].W.size for layer in pool)), before)
    for layer, now in new.items():
        assert np.all(now.W <= masks[layer].W) and now.W.dtype == np.float32 and now.W.shape == shapes[layer]


def test_the_two_rules_agree_without_ties_and_part_with_them():
    rng = np.random.default_rng(0)
    mask = Mask(np.ones((20, 10), np.float32))
    for sparsity in (0.0, 0.1, 0.333, 0.5, 0.99):
        scores = Mask(rng.permutation(200).reshape(20, 10).astype(float))
        exact, threshold = (of_one(scores, mask, sparsity, rule) for rule in RULES.values())
        np.testing.assert_array_equal(exact.W, threshold.W)
    ties = Mask(np.ones((20, 10)))
    assert [np.sum(of_one(ties, mask, 0.5, rule).W) for rule in RULES.values()] == [100, 200]


@pytest.mark.parametrize("seed", range(10))
def test_with_ties_the_reference_prunes_no_more_than_asked_for(seed):
    rng = np.random.default_rng(seed)
    mask = Mask(rng.integers(0, 2, (9, 7)).astype(np.float32), np.ones(7, np.float32))
    scores = Mask(*(rng.integers(0, 4, m.shape) * m for m in mask))
    sparsity = rng.uniform(0, 1)
    new = of_one(scores, mask, sparsity, reference_threshold)
    before = sum(np.sum(m == 0) for m in mask)
    assert sum(np.sum(m == 0) for m in new) <= max(int(sparsity * 70), before)
    parts = list(zip(scores, new, mask, strict=True))
    assert all(np.all(now <= old) for _, now, old in parts)
    lowest_kept = min(np.min(s[m == 1], initial=np.inf) for s, m, _ in parts)
    highest_pruned = max(np.max(s[(m == 0) & (o == 1)], initial=-np.inf) for s, m, o in parts)
    assert highest_pruned < lowest_kept  # a tie is never broken
