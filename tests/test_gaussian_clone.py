"""Gaussian clones: the moments of the fit, nothing beyond them, and the labels of the original."""

import numpy as np
import pytest

from sifting.datasets import gaussian_clone
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError


def correlated(count, pixels, seed):
    """Skewed, correlated, far from Gaussian: float64 [count, pixels]."""
    rng = np.random.default_rng(seed)
    return rng.exponential(20, (count, pixels)) @ rng.normal(size=(pixels, pixels)) / np.sqrt(pixels) + 100


def image_set(train=600, val=200, classes=2, seed=0):
    """A set of 2x2 images whose classes differ in mean and covariance."""
    rng = np.random.default_rng(seed)
    labels, val_labels = rng.integers(0, classes, train), rng.integers(0, classes, val)

    def images(of_labels):
        each = [correlated(len(of_labels), 12, 10 + label) for label in range(classes)]
        return np.clip(np.choose(of_labels[:, None], each), 0, 255).astype(np.uint8)

    return ImageSet(
        images(labels),
        labels.astype(np.int32),
        images(val_labels),
        val_labels.astype(np.int32),
        np.zeros(12, dtype=np.float32),
        (3, 2, 2),
        classes,
        "test images",
    )


def write(original, folder, fitted=10**6, seed=0):
    folder.mkdir(exist_ok=True)
    gaussian_clone.write_clone(original, fitted, seed, folder)
    return np.load(folder / "images.npy"), np.load(folder / "val_images.npy")


# --- the fit -------------------------------------------------------------------------------------------------------


def test_fit_by_hand():
    """Two images (0, 2) and (4, 2): mean (2, 2), population variance 4 and 0."""
    mean, factor = gaussian_clone.fit(np.array([[0, 2], [4, 2]], dtype=np.uint8))
    assert mean.tolist() == [2, 2]
    np.testing.assert_allclose(factor.T @ factor, [[4, 0], [0, 0]], atol=1e-12)


@pytest.mark.parametrize(("count", "rows"), [(5, 5), (8, 8), (50, 8)])
def test_factor_gives_exactly_the_fitted_covariance_at_any_rank(count, rows):
    images = correlated(count, 8, seed=1)
    mean, factor = gaussian_clone.fit(images)
    assert factor.shape == (rows, 8)
    np.testing.assert_allclose(mean, images.mean(axis=0))
    np.testing.assert_allclose(factor.T @ factor, np.cov(images.T, bias=True), rtol=1e-9, atol=1e-9)


def test_samples_are_gaussian_with_the_fitted_moments():
    """Mean and covariance within sampling error; skewness and excess kurtosis of random projections near 0, though
    the images' own are far from it."""
    images = correlated(40, 6, seed=2)
    mean, factor = gaussian_clone.fit(images)
    count = 20000
    samples = gaussian_clone.sample(mean, factor, count, np.random.default_rng(0))
    covariance = np.cov(images.T, bias=True)
    largest = covariance.max()
    assert abs(samples.mean(axis=0) - mean).max() < 5 * np.sqrt(largest / count)
    assert abs(np.cov(samples.T) - covariance).max() < 5 * largest * np.sqrt(2 / count)
    projections = (samples - mean) @ np.random.default_rng(1).normal(size=(6, 20))
    projections /= projections.std(axis=0)
    assert abs(np.mean(projections**3, axis=0)).max() < 5 * np.sqrt(15 / count)
    assert abs(np.mean(projections**4, axis=0) - 3).max() < 5 * np.sqrt(96 / count)


def test_rounding_and_clipping():
    grey = np.array([-0.6, -0.4, 0.6, 99.5, 254.9, 255.4, 300.0])
    result = gaussian_clone.to_uint8(grey)
    assert result.tolist() == [0, 0, 1, 100, 255, 255, 255] and result.dtype == np.uint8


# --- the images ----------------------------------------------------------------------------------------------------


def test_each_class_and_channel_has_its_own_moments_in_training_and_validation(tmp_path):
    original = image_set(train=6000, val=4000)
    for images, labels in zip(write(original, tmp_path), (original.labels, original.val_labels), strict=True):
        for label in range(2):
            fitted = original.images[original.labels == label].astype(float)
            cloned = images[labels == label].astype(float)
            for pixels in np.split(np.arange(12), 3):
                covariance = np.cov(fitted[:, pixels].T)
                error = 6 * covariance.max() * np.sqrt(2 / len(cloned)) + 1 / 12
                assert abs(cloned[:, pixels].mean(axis=0) - fitted[:, pixels].mean(axis=0)).max() < 2
                assert abs(np.cov(cloned[:, pixels].T) - covariance).max() < error


def test_channels_are_independent_of_each_other(tmp_path):
    original = image_set(train=6000)
    images, _ = write(original, tmp_path)
    one_class = original.labels == 0
    between = np.corrcoef(images[one_class].T)[:4, 4:]
    assert abs(np.corrcoef(original.images[one_class].T)[:4, 4:]).max() > 0.3
    assert abs(between).max() < 5 / np.sqrt(one_class.sum())


def test_only_the_first_images_are_fitted(tmp_path):
    original = image_set()
    original.images[100:] = 7
    images, _ = write(original, tmp_path / "first", fitted=100)
    assert images.std(axis=0).min() > 2
    changed, _ = write(original, tmp_path / "all")
    assert not np.array_equal(images, changed)


def test_clone_is_a_function_of_its_seed(tmp_path):
    original = image_set()
    first, second = write(original, tmp_path / "first", seed=3), write(original, tmp_path / "second", seed=3)
    other = write(original, tmp_path / "other", seed=4)
    for split in (0, 1):
        np.testing.assert_array_equal(first[split], second[split])
        assert not np.array_equal(first[split], other[split])
    assert first[0].shape == original.images.shape and first[1].shape == original.val_images.shape
    assert not np.array_equal(first[0][:200], first[1])


def test_class_with_a_single_fitted_image_is_refused(tmp_path):
    original = image_set(classes=3)
    original.labels[:20] = [0] * 10 + [2] * 9 + [1]
    with pytest.raises(DataError, match="class 1 has 1 images among the first 20") as error:
        write(original, tmp_path, fitted=20)
    assert "\n" not in str(error.value)
