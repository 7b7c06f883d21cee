"""Gaussian clones: the moments of the fit, nothing beyond them, and the labels of the original."""

import numpy as np
import pytest
from scipy import special
from synthetic import write_input

from sifting import datasets, inputs
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


def write(original, folder, fitted=10**6, seed=0, ridge=0.0):
    folder.mkdir(exist_ok=True)
    places = gaussian_clone.fitted_images(original.labels, original.classes, fitted)
    gaussian_clone.write_clone(original, places, ridge, seed, folder)
    return np.load(folder / "images.npy"), np.load(folder / "val_images.npy")


# --- the fit -------------------------------------------------------------------------------------------------------


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


def test_rank_of_a_fit_is_that_of_its_images_and_a_ridge_fills_the_rest():
    """Five images span four directions. With a ridge, the covariance is the fitted one plus the ridge on the diagonal,
    in the same directions as without."""
    images = correlated(5, 8, seed=1)
    mean, factor = gaussian_clone.fit(images)
    plain = gaussian_clone.sample(mean, factor, 20000, np.random.default_rng(0))
    ridged = gaussian_clone.sample(mean, factor, 20000, np.random.default_rng(0), ridge=9.0)
    assert np.linalg.matrix_rank(plain - mean) == 4 and np.linalg.matrix_rank(ridged - mean) == 8
    added = ridged - plain
    np.testing.assert_allclose(added.T @ added / len(added), 9 * np.eye(8), atol=9 * 6 * np.sqrt(2 / 20000))
    assert abs(added.T @ (plain - mean) / len(added)).max() < 5 * np.sqrt(9 * np.var(plain, axis=0).max() / 20000)


def test_rounding_and_clipping():
    grey = np.array([-0.6, -0.4, 0.6, 99.5, 254.9, 255.4, 300.0])
    result = gaussian_clone.to_uint8(grey)
    assert result.tolist() == [0, 0, 1, 100, 255, 255, 255] and result.dtype == np.uint8
    assert gaussian_clone.clipped(grey) == 2


def excess_kurtosis(values):
    """Of each column, about its mean."""
    centred = values - values.mean(axis=0)
    return np.mean(centred**4, axis=0) / np.mean(centred**2, axis=0) ** 2 - 3


def test_clipping_has_the_effect_that_the_documentation_states():
    """docs/data.md: mean 120, s.d. 65, near those of ImageNet's pixels. The clipped moments are integrals over a
    Gaussian, here sums over many quantiles of it."""
    grey = 120 + 65 * special.ndtri(np.linspace(0, 1, 200001)[1:-1])
    pixels = gaussian_clone.to_uint8(grey).astype(float)
    assert gaussian_clone.clipped(grey) / len(grey) == pytest.approx(0.050, abs=0.002)
    assert pixels.mean() == pytest.approx(120.4, abs=0.1)
    assert pixels.std() / 65 == pytest.approx(0.954, abs=0.002)
    assert excess_kurtosis(pixels[:, None])[0] == pytest.approx(-0.58, abs=0.02)
    narrow = 127.3 + 2 * (grey - 120) / 65  # rounding alone adds a twelfth to the variance
    pixels = gaussian_clone.to_uint8(narrow).astype(float)
    assert np.var(pixels) - np.var(narrow) == pytest.approx(1 / 12, abs=0.005)
    assert abs(excess_kurtosis(pixels[:, None])[0]) < 0.03


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


def test_fitted_images_by_hand():
    labels = np.array([1, 0, 1, 1, 0, 2, 0])

    def places(*arguments):
        return [found.tolist() for found in gaussian_clone.fitted_images(labels, 3, *arguments)]

    assert places(4) == [[1], [0, 2, 3], []]
    assert places(100) == [[1, 4, 6], [0, 2, 3], [5]]
    assert places(4, 2) == [[1, 4], [0, 2], [5]]


def read(folder, *changes):
    data = "collage_val_images=20", "clone=gaussian", *changes
    path = write_input(folder, "Network.val_size=20", *(f"Data.{change}" for change in data))
    return inputs.read_experiment([str(path)])


def test_keys_reach_the_clone(tmp_path):
    """Two images of each class: all samples of a class and channel lie on one line through their mean, up to rounding.
    The ridge puts them off it."""
    original = datasets.load(read(tmp_path).replace("Data", clone="none"), lambda line: None)
    off_line = {}
    for ridge in ("0", "400"):
        keys = "clone_images_per_class=2", f"clone_ridge={ridge}", "clone_images=3"
        clone = datasets.load(read(tmp_path, *keys), lambda line: None)
        one, other = original.images[original.labels == 4][:2, :1024].astype(float)
        deviations = clone.images[clone.labels == 4][:, :1024] - (one + other) / 2
        direction = (one - other) / np.linalg.norm(one - other)
        off_line[ridge] = np.var(deviations - np.outer(deviations @ direction, direction))
    assert "fitted to 20 images, at most 2 a class, clone_ridge 400.0, " in clone.source
    assert off_line["0"] < 1 and off_line["400"] == pytest.approx(400, rel=0.1)


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
    training, validation = (
        images[labels == 0][:50] for images, labels in zip(first, (original.labels, original.val_labels), strict=True)
    )
    assert training.shape == validation.shape and not np.array_equal(training, validation)


def test_class_with_a_single_fitted_image_is_refused(tmp_path):
    original = image_set(classes=3)
    original.labels[:20] = [0] * 10 + [2] * 9 + [1]
    with pytest.raises(DataError, match="class 1 has 1 images among the 20 to which") as error:
        write(original, tmp_path, fitted=20)
    assert "\n" not in str(error.value)


def test_too_few_images_are_refused_unless_they_are_counted_by_class(tmp_path):
    with pytest.raises(inputs.InputError, match=r"clone_images = '19': accepted: at least 2 images for each of the 10"):
        datasets.planned(read(tmp_path, "clone_images=19"))
    datasets.planned(read(tmp_path, "clone_images=19", "clone_images_per_class=2"))
    for entry in ("clone_images_per_class=1", "clone_ridge=-1"):
        with pytest.raises(inputs.InputError, match="accepted: a (whole )?number >= "):
            read(tmp_path, entry)
