"""Moments, kurtosis and cavity scores: by hand on a few numbers, and against the definitions, one weight at a time."""

import numpy as np
import pytest
from random_networks import direct_cavity, direct_kurtosis

from sifting.network.rounds import Moments, Parameters
from sifting.network.statistics import (
    ImageBlocks,
    LayerInputs,
    cavity_scores,
    class_moments,
    input_moments,
    kurtosis,
    preactivation_moments,
)


def blocks(x: np.ndarray, size: int) -> list[np.ndarray]:
    return [x[start : start + size] for start in range(0, len(x), size)]


def skewed_inputs(images: int = 400, inputs: int = 12, seed: int = 0) -> np.ndarray:
    """Correlated, skewed, with unequal means and widths: nothing vanishes by symmetry."""
    rng = np.random.default_rng(seed)
    mixed = rng.gamma(0.7, size=(images, inputs)) @ (np.eye(inputs) + 0.3 * rng.normal(size=(inputs, inputs)))
    return mixed * rng.uniform(0.2, 3, inputs) + rng.normal(size=inputs)


# --- inputs


@pytest.fixture
def layer() -> tuple[np.ndarray, np.ndarray, Parameters, Moments]:
    """Images, mean image, parameters and stored moments of a small first layer."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (23, 6), dtype=np.uint8)
    images[:, 4] = 37  # a pixel that never changes
    mean = images.mean(axis=0, dtype=np.float32)
    gamma, beta, b = rng.normal(size=6), rng.normal(size=6), rng.normal(size=3)
    parameters = Parameters(*(a.astype(np.float32) for a in (rng.normal(size=(6, 3)), b, gamma, beta)))
    variance = rng.uniform(0.01, 0.2, 6).astype(np.float32)
    variance[4] = 0
    return images, mean, parameters, Moments(rng.normal(size=6).astype(np.float32), variance)


def test_image_blocks_are_the_float32_products_of_training(layer):
    images, mean, *_ = layer
    expected = (images.astype(np.float32) - mean) * np.float32(1 / 255)
    got = list(ImageBlocks(images, mean, block=10))
    assert [len(x) for x in got] == [10, 10, 3]
    assert all(x.dtype == np.float32 for x in got)
    np.testing.assert_array_equal(np.concatenate(got), expected)
    x, moments = expected.astype(np.float64), input_moments(ImageBlocks(images, mean, block=4))
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(moments.variance, x.var(axis=0), rtol=1e-13, atol=1e-30)
    rows = np.array([20, 3, 3, 7])
    np.testing.assert_array_equal(np.concatenate(list(ImageBlocks(images, mean, rows, 3))), expected[rows])


def test_layer_inputs_by_hand():
    """x = 2, mean 1, variance 4, gamma 3, beta 5: 3 * (2 - 1) / 2 + 5; without moments 3 * 2 + 5."""
    one = np.ones(1, np.float32)
    parameters = Parameters(one[None], one, 3 * one, 5 * one)
    source = [np.full((1, 1), 2, np.float32)]
    normalised = next(iter(LayerInputs(source, parameters, Moments(one, 4 * one))))
    assert normalised.dtype == np.float64
    assert normalised == pytest.approx(6.5, rel=1e-10)
    assert next(iter(LayerInputs(source, parameters, None))) == 11


# --- moments and kurtosis


def test_four_numbers_by_hand():
    """lambda = 2 x + 1 of x = 0, 0, 0, 4: mean 3, deviations -2, -2, -2, 6; m2 12, m3 48, m4 336, kurtosis 7/3."""
    x = np.array([[0.0], [0.0], [0.0], [4.0]])
    moments = preactivation_moments([x[:3], x[3:]], np.array([[2.0]]), np.array([1.0]))
    assert [moments.count, *(getattr(moments, name)[0] for name in ("mean", "m2", "m3", "m4"))] == [4, 3, 12, 48, 336]
    assert moments.scale[0] == 2 * 2  # |W| sqrt(16 / 4)
    assert kurtosis(moments)[0] == pytest.approx(7 / 3, rel=1e-15)


@pytest.mark.parametrize("size", [1, 33, 400])
def test_class_moments_equal_those_of_each_class_alone(size):
    """Classes far apart, of unequal size, in mixed order; class 3 is empty. Pooled they are the moments of all."""
    rng = np.random.default_rng(4)
    labels = rng.choice([0, 1, 2, 4], p=[0.6, 0.25, 0.1, 0.05], size=400)
    x = skewed_inputs() + 1e3 * labels[:, None] * rng.normal(size=12)
    W, b = rng.normal(size=(12, 5)), rng.normal(size=5)
    moments = class_moments(blocks(x, size), W, labels, b)
    for label in range(5):
        values = (x @ W + b)[labels == label]
        assert moments.count[label] == len(values)
        if label == 3:
            assert not any(np.any(getattr(moments, name)[label]) for name in ("mean", "m2", "m3", "m4"))
            continue
        np.testing.assert_allclose(moments.mean[label], values.mean(axis=0), rtol=1e-9)
        for k, moment in ((2, moments.m2), (3, moments.m3), (4, moments.m4)):
            direct = np.mean((values - values.mean(axis=0)) ** k, axis=0)
            np.testing.assert_allclose(moment[label], direct, rtol=1e-9)
        np.testing.assert_allclose(kurtosis(moments)[label], direct_kurtosis(values), rtol=1e-9)
    pooled, whole, values = moments.pooled(), preactivation_moments(blocks(x, size), W, b), x @ W + b
    np.testing.assert_allclose(kurtosis(whole), direct_kurtosis(values), rtol=1e-11)
    for name, direct in (("mean", values.mean(axis=0)), ("m3", np.mean((values - values.mean(axis=0)) ** 3, axis=0))):
        np.testing.assert_allclose(getattr(whole, name), direct, rtol=1e-11)
    for name in ("count", "mean", "m2", "m3", "m4", "scale"):
        np.testing.assert_allclose(getattr(pooled, name), getattr(whole, name), rtol=1e-9)
    assert np.isnan(kurtosis(moments)[3]).all()


def test_offsets_do_not_harm():
    """Moments about a mean that is 1e6 standard deviations from zero, with 1e-9 relative."""
    x, W = skewed_inputs(), np.random.default_rng(5).normal(size=(12, 5))
    expected = kurtosis(preactivation_moments([x], W))
    np.testing.assert_allclose(kurtosis(preactivation_moments(blocks(x + 1e6, 50), W)), expected, rtol=1e-8)


def test_kurtosis_of_known_distributions():
    """Gaussian 3 (within 5 standard errors), uniform 9/5, Laplace 6, a fair coin 1."""
    rng, n = np.random.default_rng(6), 100_000
    x = np.stack([rng.normal(size=n), rng.uniform(size=n), rng.laplace(size=n), rng.integers(0, 2, n)], axis=1)
    got = kurtosis(preactivation_moments(blocks(x, 9000), np.eye(4)))
    assert got[0] == pytest.approx(3, abs=5 * np.sqrt(24 / n))
    assert got[1:] == pytest.approx([9 / 5, 6, 1], rel=0.05)


def test_kurtosis_of_few_gaussian_numbers():
    """3 (n - 1) / (n + 1) on average, as documented; 10 images in each of 10,000 classes."""
    x = np.random.default_rng(7).normal(size=(100_000, 1))
    samples = kurtosis(class_moments(blocks(x, 5000), np.eye(1), np.arange(len(x)) // 10))
    assert np.mean(samples) == pytest.approx(3 * 9 / 11, abs=5 * np.std(samples) / 100)


def test_zero_variance_is_seen_through_rounding():
    """No weights; weights of constant inputs, with an offset that does not add up exactly; weights that cancel."""
    x = skewed_inputs(images=5000)
    x[:, 3], x[:, 4], x[:, 5] = 0.1, 1e3 / 3, x[:, 6]
    W = np.zeros((12, 5))
    W[[3, 4], 1] = 0.7, -1.3
    W[[5, 6], 2] = 1 / 3, -1 / 3
    W[[4, 6], 3] = 1, 1e-6  # little, but not nothing
    W[:, 4] = 1
    got = kurtosis(preactivation_moments(blocks(x, 77), W))
    np.testing.assert_array_equal(np.isnan(got), [True, True, True, False, False])
    assert got[3] == pytest.approx(direct_kurtosis(x[:, 6]), rel=1e-4)

    x = skewed_inputs(images=10)
    x[3:6] = x[3]  # classes of one image, or of equal ones
    got = kurtosis(class_moments([x], np.ones((12, 2)), np.array([0, 0, 1, 2, 2, 2, 0, 0, 0, 0])))
    np.testing.assert_array_equal(np.isnan(got[:, 0]), [False, True, True])


def test_labels_that_do_not_fit_and_no_inputs():
    for count, message in ((9, "9 labels, but at least 10"), (11, "11 labels, but 10")):
        with pytest.raises(ValueError, match=message):
            class_moments(blocks(np.ones((10, 2)), 5), np.ones((2, 1)), np.arange(count))
    with pytest.raises(ValueError, match="no inputs"):
        preactivation_moments([], np.ones((2, 1)))


# --- cavity scores


@pytest.mark.parametrize("size", [1, 150, 400])
def test_cavity_scores_equal_the_loop_over_weights(size):
    """Both branches of Eq. 5: kurtosis above and below 3; for any blocks."""
    rng = np.random.default_rng(7)
    x = skewed_inputs()
    x[:, :4] = rng.integers(0, 2, (400, 4))  # coins: kurtosis 1
    W, mask = rng.normal(size=(12, 8)), rng.random((12, 8)) < 0.6
    W[4:, :3] *= 0.1
    whole = direct_kurtosis(x @ (W * mask))
    assert np.any(whole < 3) and np.any(whole > 3)
    scores = cavity_scores(blocks(x, size), W, mask)
    np.testing.assert_array_equal(np.isnan(scores), ~mask)
    for j, i in zip(*np.nonzero(mask), strict=True):
        assert scores[j, i] == pytest.approx(direct_cavity(x, W * mask, j, i), rel=1e-6, abs=1e-9)


def test_cavity_scores_do_not_depend_on_threads(monkeypatch):
    rng = np.random.default_rng(7)
    x, W, mask = rng.normal(size=(300, 12)), rng.normal(size=(12, 8)), rng.random((12, 8)) < 0.6
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("sifting.network.joint_moments.threads", lambda threads=threads: threads)
        found.append(cavity_scores([x], W, mask))
    np.testing.assert_array_equal(*found)


def test_cavity_score_by_hand():
    """lambda = x_1 + x_2 takes -2, 0, 0, 2 on four images: kurtosis (32/4) / (8/4)^2 = 2; x_1 alone is a coin with 1.

    Below 3 the score is (2 - 1) / 2: without x_2 the distribution is further from 3.
    """
    x = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    np.testing.assert_allclose(cavity_scores([x], np.ones((2, 1)), np.ones((2, 1))), 0.5, rtol=1e-12)


def test_kurtosis_of_exactly_three_takes_the_first_branch():
    """lambda = -1, 1, 0, 0, 0, 0 has (2/6) / (2/6)^2 = 3; without x_2 it is -1, 1, -1, 1, 0, 0 with (4/6) / (4/6)^2."""
    x = np.array([[-1, 0], [1, 0], [-1, 1], [1, -1], [0, 0], [0, 0]])
    assert kurtosis(preactivation_moments([x], np.ones((2, 1))))[0] == 3
    scores = cavity_scores([x], np.ones((2, 1)), np.ones((2, 1)))
    np.testing.assert_allclose(scores[:, 0], [0, (1.5 - 3) / 3], atol=1e-12)


@pytest.mark.parametrize("factor", [10, 30, 100, 300, 1e4, 1e6])
def test_weights_that_carry_nearly_everything(factor):
    """They leave 1 / factor of lambda. From 1e4 on, the expansion in moments has lost that; the scores have not."""
    x, rng = skewed_inputs(), np.random.default_rng(9)
    W = rng.normal(size=(12, 30))
    W[5] = factor * rng.choice([-1, 1], 30)
    scores = cavity_scores(blocks(x, 100), W, np.ones_like(W))
    for i in range(30):
        assert scores[5, i] == pytest.approx(direct_cavity(x, W, 5, i), rel=1e-6)


def test_weights_without_a_score():
    """nan: masked weights, nodes of zero variance, the last weight of a node that means anything; zero weights: 0."""
    x = skewed_inputs()
    x[:, 3] = 0.1
    W, mask = np.ones((12, 4)), np.zeros((12, 4))
    mask[3, 1] = 1  # a constant input only
    mask[[2, 3], 2] = 1  # without input 2 a constant remains
    mask[[2, 5, 6], 3] = 1
    W[5, 3] = 0
    scores = cavity_scores(blocks(x, 30), W, mask)
    assert np.isnan(scores[:, :2]).all()
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(scores[:, 2])), [3])
    assert scores[3, 2] == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(scores[:, 3])), [2, 5, 6])
    assert scores[5, 3] == 0
