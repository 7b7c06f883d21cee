"""Kurtosis of Fig. 4B: against direct computation from images, weights, masks and moments; averages by hand."""

import dataclasses

import numpy as np
import pytest
from synthetic import made_round

from postprocess.kurtosis import (
    Kurtosis,
    first_of_each_class,
    layer_inputs,
    layer_kurtosis,
    participation_ratio,
    preactivation_kurtosis,
    rewind_kurtosis,
    rewind_point,
)
from sifting.architecture import build_specs, parse_arch
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError
from sifting.rounds import Checkpoint, Mask, Moments, Parameters, Round
from sifting.statistics import ImageBlocks

CLASSES, IMAGES = 4, 120


def direct_kurtosis(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=0)
    return np.mean(centred**4, axis=0) / np.mean(centred**2, axis=0) ** 2


@pytest.fixture
def image_set() -> ImageSet:
    """120 images of 3*2*2 pixels in 4 classes, the validation images none."""
    rng = np.random.default_rng(0)
    images = (256 * rng.beta(0.5, 2, (IMAGES, 12))).astype(np.uint8)
    labels = rng.integers(0, CLASSES, IMAGES).astype(np.int32)
    mean = images.mean(axis=0, dtype=np.float32)
    return ImageSet(images, labels, images[:0], labels[:0], mean, (3, 2, 2), CLASSES, "made up")


@pytest.fixture
def rounds() -> list[Round]:
    """Three rounds of f5:x with random weights and moments, each with its own, and shrinking masks."""
    rng = np.random.default_rng(1)
    specs = build_specs(parse_arch("f5:x"), (True, False), (3, 2, 2), CLASSES)
    keep, result = rng.random((12, 5)), []
    for number in range(3):
        parameters, moments = [], []
        for spec in specs:
            n_in, n_out = spec.shape
            values = rng.normal(size=(n_in, n_out)), rng.normal(size=n_out), *rng.normal(size=(2, n_in))
            parameters.append(Parameters(*(value.astype(np.float32) for value in values)))
            moments.append(Moments(*rng.uniform(0.05, 0.5, (2, n_in)).astype(np.float32)))
        checkpoints = tuple(Checkpoint(step, tuple(parameters), tuple(moments)) for step in (5, 20))
        masks = [Mask(np.ones(spec.shape, np.float32), np.ones(spec.nodes, np.float32)) for spec in specs]
        masks[0] = masks[0]._replace(W=(keep > 0.25 * number).astype(np.float32))
        result.append(dataclasses.replace(made_round(number, specs), masks=tuple(masks), checkpoints=checkpoints))
    return result


def preactivations(image_set: ImageSet, checkpoint: Checkpoint, W: np.ndarray, normalise: str) -> np.ndarray:
    """Eq. 3 in float64, all images at once, by the definition."""
    x = (image_set.images.astype(np.float32) - image_set.mean) * np.float32(1 / 255)
    x = x.astype(np.float64)
    parameters, stored = checkpoint.parameters[0], checkpoint.moments[0]
    mean, variance = {
        "stored": (stored.mean, stored.variance.astype(np.float64)),
        "batch": (x.mean(axis=0), x.var(axis=0)),
        "none": (0.0, 1.0 - 1e-10),
    }[normalise]
    z = (x - mean) / np.sqrt(variance + 1e-10)
    return (parameters.gamma * z + parameters.beta) @ W.astype(np.float64) + parameters.b


@pytest.mark.parametrize("normalise", ["stored", "batch", "none"])
def test_rounds_by_the_definition(image_set, rounds, normalise):
    """Weights, gamma, beta and moments of round 0's first checkpoint, masks of each round; every class by itself."""
    results = rewind_kurtosis(iter(rounds), image_set, None, normalise)
    assert len(results) == 3
    for result, got in zip(rounds, results, strict=True):
        rewind = rounds[0].checkpoints[0]
        W = rewind.parameters[0].W * result.masks[0].W
        values = preactivations(image_set, rewind, W, normalise)
        np.testing.assert_allclose(got.over_all, direct_kurtosis(values), rtol=1e-9)
        within = [direct_kurtosis(values[image_set.labels == label]) for label in range(CLASSES)]
        np.testing.assert_allclose(got.within_class, within, rtol=1e-9)
        np.testing.assert_array_equal(got.images, np.bincount(image_set.labels))
        assert got.mean == pytest.approx(np.mean(direct_kurtosis(values)), rel=1e-9)
        assert got.mean_within_class == pytest.approx(np.mean(within), rel=1e-9)
        assert got.left_out == got.left_out_within_class == 0


def test_normalisations_differ(image_set, rounds):
    means = [rewind_kurtosis(rounds[:1], image_set, None, n)[0].mean for n in ("stored", "batch", "none")]
    assert len(set(np.round(means, 6))) == 3


def test_capped_images_per_class(image_set, rounds):
    """The first 7 of each class, and no others: the same as an image set that has no more."""
    rows = np.sort(np.concatenate([np.flatnonzero(image_set.labels == label)[:7] for label in range(CLASSES)]))
    few = dataclasses.replace(image_set, images=image_set.images[rows], labels=image_set.labels[rows])
    got, expected = rewind_kurtosis(rounds, image_set, 7)[1], rewind_kurtosis(rounds, few, None)[1]
    np.testing.assert_array_equal(got.images, [7] * CLASSES)
    np.testing.assert_array_equal(got.within_class, expected.within_class)
    assert got.mean_within_class != rewind_kurtosis(rounds, image_set, 8)[1].mean_within_class


def test_first_of_each_class_by_hand():
    labels = np.array([2, 0, 2, 2, 0, 5, 0])
    np.testing.assert_array_equal(first_of_each_class(labels, 2), [0, 1, 2, 4, 5])
    np.testing.assert_array_equal(first_of_each_class(labels, 1), [0, 1, 5])
    np.testing.assert_array_equal(first_of_each_class(labels, None), range(7))


def test_a_deeper_layer_and_another_checkpoint(image_set, rounds):
    """The same as the first layer of a network whose images are the deeper layer's inputs."""
    rng = np.random.default_rng(2)
    source = [rng.exponential(size=(40, 5)).astype(np.float32) for _ in range(3)]
    checkpoint, masks = rounds[1].checkpoints[1], rounds[2].masks
    got = layer_kurtosis(checkpoint, masks, source, image_set.labels, layer=1, normalise="batch")
    x = np.concatenate(source).astype(np.float64)
    z = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-10)
    values = (checkpoint.parameters[1].gamma * z + checkpoint.parameters[1].beta) @ checkpoint.parameters[1].W
    np.testing.assert_allclose(got.over_all, direct_kurtosis(values), rtol=1e-9)


def test_nodes_of_zero_variance_are_left_out_and_counted(image_set):
    """Node 1 has no weights, node 2 sees a pixel that is constant within class 0 only; class 3 has no images."""
    rng = np.random.default_rng(3)
    x, labels = rng.normal(size=(60, 3)), np.repeat([0, 1, 2, 4], 15)
    x[labels == 0, 2] = 1 / 3
    got = preactivation_kurtosis([x[:20], x[20:]], np.diag([1.0, 0, 1]), labels)
    np.testing.assert_array_equal(np.isnan(got.over_all), [False, True, False])
    assert (got.left_out, got.left_out_within_class) == (1, 4 + 1)
    np.testing.assert_array_equal(got.images, [15, 15, 15, 0, 15])
    assert got.mean == pytest.approx(np.mean(direct_kurtosis(x[:, [0, 2]])), rel=1e-12)


def test_averages_by_hand():
    """Over nodes first, then over classes: (mean(2, 4) + mean(6)) / 2 = 4.5, not (2 + 4 + 6) / 3."""
    nan = np.nan
    result = Kurtosis(np.array([3, nan, 5]), np.array([[2, 4, nan], [6, nan, nan], [nan] * 3]), np.array([9, 9, 0]))
    assert (result.mean, result.mean_within_class) == (4, 4.5)
    assert (result.left_out, result.left_out_within_class) == (1, 3)
    nothing = Kurtosis(np.array([nan]), np.array([[nan]]), np.array([9]))
    assert np.isnan(nothing.mean) and np.isnan(nothing.mean_within_class)


def test_participation_ratio_by_hand():
    """One weight 1, four equal ones 1/4, (1, 2): 17 / 25; no weights nan; also for weights whose squares underflow."""
    W = np.array([[0, 1, 1, 0], [0, 1, -2, 0], [-3, -1, 0, 0], [0, 1, 0, 0]], np.float64)
    np.testing.assert_allclose(participation_ratio(W), [1, 1 / 4, 17 / 25, np.nan], rtol=1e-15)
    np.testing.assert_allclose(participation_ratio(1e-100 * W), [1, 1 / 4, 17 / 25, np.nan], rtol=1e-12)
    gaussian = np.random.default_rng(4).normal(size=(100_000, 1))
    assert participation_ratio(gaussian)[0] == pytest.approx(3 / 100_000, rel=0.05)


def test_refusals(image_set, rounds):
    source = ImageBlocks(image_set.images, image_set.mean)
    checkpoint = rounds[0].checkpoints[0]
    with pytest.raises(ValueError, match="normalise = 'moments': accepted: stored, batch, none"):
        layer_inputs(checkpoint, source, normalise="moments")
    convolution = dataclasses.replace(checkpoint, parameters=(Parameters(np.ones((1, 1, 3, 5))),), moments=(None,))
    for normalise in ("stored", "batch", "none"):
        with pytest.raises(DataError, match="layer 1 has no normalised inputs"):
            layer_inputs(convolution, source, normalise=normalise)
    with pytest.raises(DataError, match="the first round given is round 1"):
        rewind_point(rounds[1])
    with pytest.raises(DataError, match="the first round given is round 1"):
        rewind_kurtosis(rounds[1:], image_set)
