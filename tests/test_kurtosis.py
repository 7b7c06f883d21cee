"""Kurtosis of Fig. 4B: against direct computation from images, weights, masks and moments; averages by hand."""

import numpy as np
import pytest
from random_networks import (
    direct_kurtosis,
    direct_preactivations,
    network_inputs,
    random_images,
    shrinking_rounds,
)

from postprocess.kurtosis import (
    Kurtosis,
    first_of_each_class,
    image_kurtosis,
    inverse_participation_ratio,
)
from sifting.errors import DataError
from sifting.network.rounds import Mask, Round
from sifting.network.statistics import class_moments

SHAPE, CLASSES = (3, 4, 4), 4


@pytest.fixture(scope="module")
def rounds() -> list[Round]:
    return shrinking_rounds("f7:f6:x", SHAPE, CLASSES, 3)


@pytest.fixture(scope="module")
def images():
    return random_images(SHAPE, CLASSES)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("normalise", ["stored", "batch", "none"])
def test_kurtosis_of_any_layer_by_the_definition(rounds, images, layer, normalise):
    """Both checkpoints, all training images and those of each class."""
    x, result = network_inputs(images.images, images.mean), rounds[1]
    for checkpoint in result.checkpoints:
        found = image_kurtosis(result, images, layer, checkpoint.step, None, None, normalise)
        values = direct_preactivations(checkpoint, result.masks, x, layer, normalise)
        np.testing.assert_allclose(found.over_all, direct_kurtosis(values), rtol=1e-6)
        within = [direct_kurtosis(values[images.labels == label]) for label in range(CLASSES)]
        np.testing.assert_allclose(found.within_class, within, rtol=1e-6)
        np.testing.assert_array_equal(found.images, np.bincount(images.labels))
        assert found.mean == pytest.approx(np.mean(direct_kurtosis(values)), rel=1e-6)
        assert found.mean_within_class == pytest.approx(np.mean(within), rel=1e-6)
        assert found.left_out == found.left_out_within_class == 0


@pytest.mark.parametrize(("layer", "normalise"), [(0, "stored"), (0, "none"), (1, "batch")])
def test_rewind_weights_under_the_masks_of_every_round(rounds, images, layer, normalise):
    """Weights, gamma, beta and moments of round 0's first checkpoint; the first 10 images of each class, no others."""
    rewind = rounds[0].checkpoints[0]
    found = [image_kurtosis(rounds[0], images, layer, rewind.step, one.masks, 10, normalise) for one in rounds]
    rows = np.sort(np.concatenate([np.flatnonzero(images.labels == label)[:10] for label in range(CLASSES)]))
    x = network_inputs(images.images[rows], images.mean)
    for result, got in zip(rounds, found, strict=True):
        values = direct_preactivations(rewind, result.masks, x, layer, normalise)
        np.testing.assert_allclose(got.over_all, direct_kurtosis(values), rtol=1e-6)
        assert got.images.tolist() == [10] * CLASSES
    assert abs(found[0].mean - found[2].mean) > 0.01


def test_first_of_each_class_by_hand():
    labels = np.array([2, 0, 2, 2, 0, 5, 0])
    np.testing.assert_array_equal(first_of_each_class(labels, 2), [0, 1, 2, 4, 5])
    np.testing.assert_array_equal(first_of_each_class(labels, 1), [0, 1, 5])
    np.testing.assert_array_equal(first_of_each_class(labels, None), range(7))


def test_nodes_of_zero_variance_are_left_out_and_counted():
    """Node 1 has no weights, node 2 sees a pixel that is constant within class 0 only; class 3 has no images."""
    rng = np.random.default_rng(3)
    x, labels = rng.normal(size=(60, 3)), np.repeat([0, 1, 2, 4], 15)
    x[labels == 0, 2] = 1 / 3
    got = Kurtosis.of(class_moments([x[:20], x[20:]], np.diag([1.0, 0, 1]), labels))
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
    np.testing.assert_allclose(inverse_participation_ratio(W), [1, 1 / 4, 17 / 25, np.nan], rtol=1e-15)
    np.testing.assert_allclose(inverse_participation_ratio(1e-100 * W), [1, 1 / 4, 17 / 25, np.nan], rtol=1e-12)
    gaussian = np.random.default_rng(4).normal(size=(100_000, 1))
    assert inverse_participation_ratio(gaussian)[0] == pytest.approx(3 / 100_000, rel=0.05)


def test_stored_moments_are_refused_behind_other_masks(rounds, images):
    """Other masks before the layer change its inputs, other masks of the layer itself or behind it do not."""
    result = rounds[1]

    def with_mask(layer, W=None, b=None):
        mask = result.masks[layer]
        return result.masks | {layer: Mask(mask.W if W is None else W, mask.b if b is None else b)}

    refusal = "the moments that round 1 stored for layer {} are those of its own masks, not of these; accepted: normal"
    own = image_kurtosis(result, images, 2)
    for layer in (1, 2):
        before = with_mask(layer - 1, W=rounds[2].masks[layer - 1].W)
        for masks in (before, with_mask(layer - 1, b=1 - result.masks[layer - 1].b)):
            with pytest.raises(DataError, match=refusal.format(layer + 1)):
                image_kurtosis(result, images, layer, masks=masks)
        for normalise in ("batch", "none"):
            image_kurtosis(result, images, layer, masks=before, normalise=normalise)
        image_kurtosis(result, images, layer, masks=with_mask(layer, W=rounds[2].masks[layer].W))
    image_kurtosis(result, images, 0, masks=with_mask(0, W=rounds[2].masks[0].W))
    copies = {layer: Mask(mask.W.copy(), mask.b.copy()) for layer, mask in result.masks.items()}
    np.testing.assert_array_equal(own.over_all, image_kurtosis(result, images, 2, masks=copies).over_all)
