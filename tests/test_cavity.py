"""Cavity scores grouped by fate (Fig. 5B and 5C): by hand on small masks, and against the definition."""

import dataclasses

import numpy as np
import pytest
from random_networks import direct_cavity, direct_inputs, network_inputs, random_images, shrinking_rounds

from postprocess.cavity import mean_by_round, pruning_round, rewind_cavity_table
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


def blocks(images) -> ImageBlocks:
    return ImageBlocks(images.images, images.mean, block=100)


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
    table = rewind_cavity_table(iter(rounds), blocks(images), normalise)
    rewind, masks = rounds[0].checkpoints[0], [result.masks[0].W for result in rounds]
    x = direct_inputs(rewind, {}, network_inputs(images.images, images.mean), 0, normalise)
    assert table.mean.shape == (4, 5)
    for start, mask in enumerate(masks):
        scores = {pruned: [] for pruned in range(5)}
        for j, i in zip(*np.nonzero(mask), strict=True):
            pruned = next((k for k in range(4) if masks[k][j, i] == 0), 4)
            scores[pruned].append(direct_cavity(x, rewind.parameters[0].W.astype(float) * mask, j, i))
        for pruned in range(5):
            assert table.scored[start, pruned] == len(scores[pruned])
            expected = np.mean(scores[pruned]) if scores[pruned] else np.nan
            assert table.mean[start, pruned] == pytest.approx(expected, rel=1e-5, nan_ok=True)
        np.testing.assert_array_equal(table.scaled[start], np.count_nonzero(mask) * table.mean[start])
    np.testing.assert_array_equal(np.isnan(table.mean), np.tri(4, 5, dtype=bool))  # nothing is left of k <= n
    np.testing.assert_array_equal(table.weights_left, table.scored.sum(axis=1))
    assert not table.left_out.any()


def test_weights_without_a_score_are_counted(rounds):
    """Input 0 is constant and node 4 sees nothing else from round 1 on; node 3 keeps one input in round 3."""
    images = random_images(SHAPE, CLASSES, count=300)
    images.images[:, 0], images.mean[0] = 85, 85 / 3
    for result in rounds[1:]:
        result.masks[0].W[1:, 4] = 0
    rounds[3].masks[0].W[:, 3] = 0
    rounds[3].masks[0].W[2, 3] = 1
    table = rewind_cavity_table(rounds, blocks(images))
    np.testing.assert_array_equal(table.left_out.sum(axis=1), [0, 1, 1, 2])
    np.testing.assert_array_equal(table.left_out[:, 4], [0, 1, 1, 2])
    np.testing.assert_array_equal((table.scored + table.left_out).sum(axis=1), table.weights_left)


def test_rounds_must_be_complete(rounds):
    source = blocks(random_images(SHAPE, CLASSES))
    for given, message in [
        (rounds[::2], "round 2 stands where round 1 belongs"),
        (rounds[1:], "round 1 stands where round 0 belongs"),
        ([], "no round"),
        ([rounds[0], dataclasses.replace(rounds[0], number=2)], "round 2 stands where round 1 belongs"),
    ]:
        with pytest.raises(DataError, match=message):
            rewind_cavity_table(given, source)
