"""Cavity scores grouped by fate (Fig. 5B and 5C): by hand on small masks, and against the definition."""

import dataclasses

import numpy as np
import pytest
from synthetic import made_round

from postprocess.cavity import cavity_table, mean_by_round, pruning_round, rewind_cavity_table
from sifting.architecture import build_specs, parse_arch
from sifting.errors import DataError
from sifting.rounds import Checkpoint, Mask, Moments, Parameters, Round
from sifting.statistics import ImageBlocks, LayerInputs, cavity_scores


def direct_kurtosis(values: np.ndarray) -> float:
    centred = values - values.mean()
    return np.mean(centred**4) / np.mean(centred**2) ** 2


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Inputs [300, 8], rewind weights [8, 5], masks of rounds 0 to 3; every node keeps weights."""
    rng = np.random.default_rng(0)
    keep = rng.random((8, 5))
    keep[:3] = 1
    masks = [(keep > 0.25 * number).astype(np.float32) for number in range(4)]
    return rng.gamma(1, size=(300, 8)), rng.normal(size=(8, 5)), masks


def test_pruning_round_by_hand():
    """Pruned from the start, in rounds 1, 2 and 3, and never: 0, 1, 2, 3, 4."""
    masks = np.array([[0, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]], np.float32)[:, None]
    rounds = pruning_round(list(masks))
    np.testing.assert_array_equal(rounds, [[0, 1, 2, 3, 4]])
    assert rounds.dtype == np.int64


def test_masks_that_grow_are_refused():
    masks = [np.ones((2, 2)), np.eye(2), np.array([[1, 1], [0, 0]])]
    with pytest.raises(DataError, match="the masks of round 2 have weights that were pruned before"):
        pruning_round(masks)


def test_mean_by_round_by_hand():
    """Pooled over the nodes, nan left out: round 1 (1 + 3 + 8) / 3, round 2 nothing, round 3 -2."""
    scores = np.array([[1.0, 3.0, np.nan], [-2.0, np.nan, 8.0]])
    rounds = np.array([[1, 1, 1], [3, 2, 1]])
    mean, count = mean_by_round(scores, rounds, 5)
    np.testing.assert_array_equal(mean, [np.nan, 4, np.nan, -2, np.nan])
    np.testing.assert_array_equal(count, [0, 3, 0, 1, 0])


def test_table_equals_the_definition(case):
    """Every start, every weight: Eq. 5 with the weights that are left there, averaged by the round of pruning."""
    x, W, masks = case
    table = cavity_table([x[:100], x[100:]], W, masks)
    assert table.mean.shape == (4, 5)
    for start, mask in enumerate(masks):
        scores = {pruned: [] for pruned in range(5)}
        for j, i in zip(*np.nonzero(mask), strict=True):
            without = W[:, i] * mask[:, i]
            whole = direct_kurtosis(x @ without)
            without[j] = 0
            score = (direct_kurtosis(x @ without) - whole) / whole * (1 if whole >= 3 else -1)
            scores[next((k for k in range(4) if masks[k][j, i] == 0), 4)].append(score)
        for pruned in range(5):
            assert table.scored[start, pruned] == len(scores[pruned])
            expected = np.mean(scores[pruned]) if scores[pruned] else np.nan
            assert table.mean[start, pruned] == pytest.approx(expected, rel=1e-6, nan_ok=True)
    np.testing.assert_array_equal(np.isnan(table.mean), np.tri(4, 5, dtype=bool))  # nothing is left of k <= n
    assert not table.left_out.any()


def test_scaled_by_the_weights_left(case):
    x, W, masks = case
    table = cavity_table([x], W, masks)
    np.testing.assert_array_equal(table.weights_left, [np.count_nonzero(mask) for mask in masks])
    np.testing.assert_array_equal(table.scored.sum(axis=1), table.weights_left)
    np.testing.assert_allclose(table.scaled[2, 3], np.count_nonzero(masks[2]) * table.mean[2, 3], rtol=1e-15)


def test_weights_without_a_score_are_counted(case):
    """Input 0 is constant and node 4 sees nothing else from round 1 on; node 3 keeps one input in round 3."""
    x, W, masks = case
    x[:, 0] = 1 / 3
    for number in (1, 2, 3):
        masks[number][1:, 4] = 0
    masks[3][:, 3] = 0
    masks[3][2, 3] = 1
    table = cavity_table([x], W, masks)
    np.testing.assert_array_equal(table.left_out.sum(axis=1), [0, 1, 1, 2])
    np.testing.assert_array_equal(table.left_out[:, 4], [0, 1, 1, 2])
    np.testing.assert_array_equal((table.scored + table.left_out).sum(axis=1), table.weights_left)


def test_the_most_non_gaussian_weight_has_the_lowest_score():
    """One Laplace input among Gaussian ones, pruned last: its score is negative from every start, the others' not."""
    x = np.random.default_rng(1).normal(size=(20_000, 4))
    x[:, 3] = np.random.default_rng(2).laplace(size=20_000)
    masks = [np.ones((4, 1)) for _ in range(3)]
    masks[1][0] = masks[2][:2] = 0
    table = cavity_table([x], np.ones((4, 1)), [*masks, np.array([[0.0], [0], [1], [0]])])
    assert np.all(table.mean[:3, 3] < 0)
    assert table.mean[0, 1] > 0 and table.mean[1, 2] > 0


# --- a run


@pytest.fixture
def run() -> tuple[list[Round], ImageBlocks]:
    """Rounds 0 to 2 of f5:x on 3*2*2 pixels, each with weights and moments of its own."""
    rng = np.random.default_rng(3)
    specs = build_specs(parse_arch("f5:x"), (True, False), (3, 2, 2), 4)
    keep, rounds = rng.random((12, 5)), []
    for number in range(3):
        values = rng.normal(size=(12, 5)), rng.normal(size=5), *rng.normal(size=(2, 12))
        parameters = Parameters(*(value.astype(np.float32) for value in values)), None
        moments = Moments(*rng.uniform(0.05, 0.5, (2, 12)).astype(np.float32)), None
        checkpoints = tuple(Checkpoint(step, parameters, moments) for step in (5, 20))
        masks = Mask((keep > 0.3 * number).astype(np.float32), np.ones(5, np.float32)), None
        rounds.append(dataclasses.replace(made_round(number, specs), masks=masks, checkpoints=checkpoints))
    return rounds, ImageBlocks(rng.integers(0, 256, (90, 12), dtype=np.uint8), np.full(12, 99, np.float32), block=40)


def test_run_takes_round_0s_weights_and_moments(run):
    rounds, source = run
    rewind = rounds[0].checkpoints[0]
    inputs = LayerInputs(source, rewind.parameters[0], rewind.moments[0])
    masks = [result.masks[0].W for result in rounds]
    table = rewind_cavity_table(iter(rounds), source)
    expected = cavity_table(inputs, rewind.parameters[0].W, masks)
    np.testing.assert_array_equal(table.mean, expected.mean)
    scores = cavity_scores(inputs, rewind.parameters[0].W, masks[1])
    chosen = (masks[1] == 1) & (masks[2] == 0)
    assert table.mean[1, 2] == pytest.approx(np.mean(scores[chosen]), rel=1e-12)
    assert table.mean[0, 1] != rewind_cavity_table(rounds, source, "none").mean[0, 1]


def test_rounds_must_be_complete(run):
    rounds, source = run
    with pytest.raises(DataError, match="round 2 stands where round 1 belongs"):
        rewind_cavity_table(rounds[::2], source)
    with pytest.raises(DataError, match="round 1 stands where round 0 belongs"):
        rewind_cavity_table(rounds[1:], source)
    with pytest.raises(DataError, match="no round"):
        rewind_cavity_table([], source)
