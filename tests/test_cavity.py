"""Cavity scores grouped by fate (Fig. 5B and 5C): by hand on small masks, and against the definition."""

import numpy as np
import pytest
from random_networks import direct_cavity, direct_inputs, network_inputs, random_images, shrinking_rounds

from postprocess.activations import layer_inputs
from postprocess.cavity import CavityRow, cavity_row, dealt_by_magnitude, mean_by_round, pruning_round
from sifting.errors import DataError
from sifting.network.rounds import Round
from sifting.network.statistics import ImageBlocks

SHAPE, CLASSES = (3, 2, 2), 4


@pytest.fixture
def rounds() -> list[Round]:
    """Rounds 0 to 3 of five nodes, each with weights and moments of its own; every node keeps weights."""
    rounds = shrinking_rounds("f5:x", SHAPE, CLASSES, 4)
    for result in rounds:
        result.masks[0].W[:3] = 1
    return rounds


def table(rounds, images, normalise="stored") -> CavityRow:
    """The row of every starting round, below each other."""
    rewind, masks = rounds[0].checkpoints[0], [result.masks[0].W for result in rounds]
    inputs = layer_inputs(rewind, ImageBlocks(images.images, images.mean, block=100), normalise=normalise)
    rows = [cavity_row(inputs, rewind.parameters[0].W, mask, pruning_round(masks), len(masks)) for mask in masks]
    return CavityRow(*map(np.array, zip(*rows, strict=True)))


def test_pruning_round_by_hand():
    """Pruned from the start, in rounds 1, 2 and 3, and never: 0, 1, 2, 3, 4."""
    masks = np.array([[0, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]], np.float32)[:, None]
    rounds = pruning_round(list(masks))
    np.testing.assert_array_equal(rounds, [[0, 1, 2, 3, 4]])
    assert rounds.dtype == np.int64
    with pytest.raises(DataError, match="the masks of round 2 have weights that were pruned before"):
        pruning_round([np.ones((2, 2)), np.eye(2), np.array([[1, 1], [0, 0]])])


def test_mean_by_round_by_hand():
    """Pooled over the nodes, nan left out: round 1 (1 + 3 + 8) / 3, round 2 nothing, round 3 -2."""
    scores = np.array([[1.0, 3.0, np.nan], [-2.0, np.nan, 8.0]])
    rounds = np.array([[1, 1, 1], [3, 2, 1]])
    mean, count = mean_by_round(scores, rounds, 5)
    np.testing.assert_array_equal(mean, [np.nan, 4, np.nan, -2, np.nan])
    np.testing.assert_array_equal(count, [0, 3, 0, 1, 0])


@pytest.mark.parametrize("normalise", ["stored", "none"])
def test_table_equals_the_definition(rounds, normalise):
    """Every start, every weight: Eq. 5 with round 0's first weights that are left there, by the round of pruning."""
    images = random_images(SHAPE, CLASSES, count=300)
    found = table(rounds, images, normalise)
    rewind, masks = rounds[0].checkpoints[0], [result.masks[0].W for result in rounds]
    x = direct_inputs(rewind, {}, network_inputs(images.images, images.mean), 0, normalise)
    assert found.mean.shape == (4, 5)
    for start, mask in enumerate(masks):
        scores = {pruned: [] for pruned in range(5)}
        for j, i in zip(*np.nonzero(mask), strict=True):
            pruned = next((k for k in range(4) if masks[k][j, i] == 0), 4)
            scores[pruned].append(direct_cavity(x, rewind.parameters[0].W.astype(float) * mask, j, i))
        for pruned in range(5):
            assert found.scored[start, pruned] == len(scores[pruned])
            expected = np.mean(scores[pruned]) if scores[pruned] else np.nan
            assert found.mean[start, pruned] == pytest.approx(expected, rel=1e-5, nan_ok=True)
    np.testing.assert_array_equal(np.isnan(found.mean), np.tri(4, 5, dtype=bool))  # nothing is left of k <= n
    np.testing.assert_array_equal(found.weights_left, found.scored.sum(axis=1))
    assert not found.left_out.any()


def test_weights_without_a_score_are_counted(rounds):
    """Input 0 is constant and node 4 sees nothing else from round 1 on; node 3 keeps one input in round 3."""
    images = random_images(SHAPE, CLASSES, count=300)
    images.images[:, 0], images.mean[0] = 85, 85 / 3
    for result in rounds[1:]:
        result.masks[0].W[1:, 4] = 0
    rounds[3].masks[0].W[:, 3] = 0
    rounds[3].masks[0].W[2, 3] = 1
    found = table(rounds, images)
    np.testing.assert_array_equal(found.left_out.sum(axis=1), [0, 1, 1, 2])
    np.testing.assert_array_equal(found.left_out[:, 4], [0, 1, 1, 2])
    np.testing.assert_array_equal((found.scored + found.left_out).sum(axis=1), found.weights_left)


def test_magnitude_deals_the_same_rounds_in_the_order_of_the_weights():
    """Rounds 1, 1, 2, 3 of the weights that are left go to |W| = 0.1, 0.2, 0.5 and 4; what is gone stays."""
    W, mask = np.array([[4.0, -0.1, 9.0], [0.5, 0.2, -7.0]]), np.array([[1, 1, 0], [1, 1, 0]])
    rounds = np.array([[1, 3, 0], [1, 2, 0]])
    np.testing.assert_array_equal(dealt_by_magnitude(W, mask, rounds), [[3, 1, 0], [2, 1, 0]])


def test_groups_by_magnitude_hold_as_many_weights(rounds):
    """Where all scores of the smallest weights are known, their mean is that of the first group."""
    images = random_images(SHAPE, CLASSES, count=300)
    found, mask = table(rounds, images), rounds[1].masks[0].W
    rewind = rounds[0].checkpoints[0]
    inputs = direct_inputs(rewind, {}, network_inputs(images.images, images.mean), 0, "stored")
    W = rewind.parameters[0].W.astype(float) * mask
    kept = np.argwhere(mask)
    smallest = kept[np.argsort(np.abs(W[mask != 0]))][: found.scored[1, 2]]
    scores = [direct_cavity(inputs, W, j, i) for j, i in smallest]
    assert found.magnitude_mean[1, 2] == pytest.approx(np.mean(scores), rel=1e-5)
