"""PCA and ICA: against numpy, against sources that are known, and against scikit-learn's FastICA on the images."""

import dataclasses

import numpy as np
import pytest
from random_networks import direct_kurtosis, network_inputs, random_images
from sklearn.decomposition import FastICA

from postprocess import components
from postprocess.components import Components, image_components, independent_components, principal_components
from sifting.base.random_streams import Split
from sifting.datasets import edge_collage
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError


def independent(x: np.ndarray, count: int, seed: int = 0, max_iterations: int = 200) -> Components:
    return independent_components(*principal_components(x, count), seed, max_iterations)


def largest_is_positive(weights: np.ndarray) -> bool:
    flat = weights.reshape(len(weights), -1)
    return np.array_equal(np.max(flat, axis=1), np.max(np.abs(flat), axis=1))


@pytest.fixture
def mixture() -> tuple[np.ndarray, np.ndarray]:
    """Four independent sources, none of them Gaussian and each of another kurtosis, mixed into six numbers."""
    rng = np.random.default_rng(0)
    sources = np.stack([rng.laplace(size=4000), rng.uniform(-1, 1, 4000), rng.gamma(0.7, size=4000)], axis=1)
    sources = np.concatenate([sources, rng.choice([-1.0, 1.0], (4000, 1))], axis=1)
    sources = (sources - sources.mean(axis=0)) / sources.std(axis=0)
    return sources, rng.normal(size=(4, 6))


def test_principal_components_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    x = rng.gamma(1, size=(500, 7)) * np.arange(1, 8) @ rng.normal(size=(7, 7)) + 3
    found, _ = principal_components(x, 4)
    variances, vectors = np.linalg.eigh(np.cov(x.T))
    variances, vectors = variances[::-1], vectors[:, ::-1].T
    np.testing.assert_allclose(found.variance, variances[:4] / variances.sum(), rtol=1e-10)
    overlap = np.abs(found.weights @ vectors.T)
    np.testing.assert_allclose(overlap, np.eye(4, 7), atol=1e-8)
    np.testing.assert_allclose(found.kurtosis, direct_kurtosis(x @ found.weights.T), rtol=1e-10)
    assert largest_is_positive(found.weights)
    assert (found.iterations, found.converged) == (0, True)


def test_independent_components_are_the_sources(mixture):
    """W . (x - mean x) gives the sources back, of variance 1, up to order and sign; the least Gaussian ones first."""
    sources, mixing = mixture
    x = sources @ mixing + 5
    found = independent(x, 4)
    projections = (x - x.mean(axis=0)) @ found.weights.T
    overlap = projections.T @ sources / len(sources)
    order = np.argmax(np.abs(overlap), axis=1)
    assert order.tolist() == np.argsort(-np.abs(3 - direct_kurtosis(sources))).tolist()
    assert np.min(np.abs(overlap[range(4), order])) > 0.995
    np.testing.assert_allclose(projections.T @ projections / len(x), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(found.kurtosis, direct_kurtosis(projections), rtol=1e-9)
    assert np.all(np.diff(np.abs(3 - found.kurtosis)) < 0) and found.kurtosis.min() < 3 < found.kurtosis.max()
    assert largest_is_positive(found.weights)
    assert found.converged and 0 < found.iterations < 200


def test_variance_of_independent_components(mixture):
    """What a source explains: the squared length of its row of the mixing matrix, nearly; all of them everything."""
    sources, mixing = mixture
    found = independent(sources @ mixing, 4)
    lengths = np.sum(mixing**2, axis=1)
    expected = (lengths / lengths.sum())[np.argsort(-np.abs(3 - direct_kurtosis(sources)))]
    np.testing.assert_allclose(found.variance, expected, atol=0.02)
    assert found.variance.sum() == pytest.approx(1, rel=1e-12)
    x = np.random.default_rng(1).gamma(0.5, size=(800, 10))
    some = independent(x, 3)
    projections = (x - x.mean(axis=0)) @ some.weights.T
    patterns = projections.T @ x / len(x)  # regression of x on uncorrelated projections of variance 1
    np.testing.assert_allclose(some.variance, np.sum(patterns**2, axis=1) / x.var(axis=0).sum(), rtol=1e-9)


def test_the_same_as_fast_ica_on_the_images(mixture):
    """Which is what Redman et al. did; with another random start, up to order and sign. The noise makes it choose
    its directions: six numbers, four components."""
    sources, mixing = mixture
    x = sources @ (3 * mixing) + np.random.default_rng(2).normal(size=(4000, 6)) / 3
    ica = FastICA(4, whiten="unit-variance", random_state=7).fit(x)
    found = independent(x, 4, seed=1)
    assert found.converged
    overlap = np.abs(found.weights @ ica.components_.T)
    overlap /= np.linalg.norm(found.weights, axis=1)[:, None] * np.linalg.norm(ica.components_, axis=1)
    order = np.argmax(overlap, axis=1)
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_allclose(overlap[range(4), order], 1, atol=1e-4)
    lengths = np.linalg.norm(ica.components_, axis=1)[order]
    np.testing.assert_allclose(np.linalg.norm(found.weights, axis=1), lengths, rtol=1e-2)


def test_a_seed_determines_the_components():
    """Gaussian numbers have none that could be found: no convergence, and no warning, which would be an error here."""
    x = np.random.default_rng(0).gamma(0.5, size=(400, 8))
    first, again, other = (independent(x, 5, seed, 8) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.weights, again.weights)
    assert not np.array_equal(first.weights, other.weights)
    found = independent(np.random.default_rng(0).normal(size=(300, 8)), 8, max_iterations=2)
    assert (found.converged, found.iterations) == (False, 2)


def test_more_components_than_directions_are_refused():
    x = np.random.default_rng(0).normal(size=(40, 12))
    for count in (0, 13):
        with pytest.raises(DataError, match=f"{count} components of 40 images of 12 numbers; accepted: 1 to 12"):
            principal_components(x, count)
    flat = x[:, :3] @ np.random.default_rng(1).normal(size=(3, 12))
    assert principal_components(flat, 3)[0].variance.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="4 components of images that vary in 3 directions only"):
        principal_components(flat, 4)
    with pytest.raises(DataError, match="1 components of images that are all the same"):
        principal_components(np.full((40, 12), 1 / 3), 1)


def test_large_images_have_the_components_of_their_covariance(monkeypatch):
    """Without forming it, and in float32: what small images have, to rounding; directions that are none are seen."""
    x = np.random.default_rng(0).gamma(0.5, size=(400, 20)) * 1.5 ** -np.arange(20) @ np.eye(20)[::-1]
    (expected, projections), flat = principal_components(x, 5), np.float32(x @ np.eye(20, 3) @ np.eye(3, 20))
    monkeypatch.setattr(components, "LARGE", 19)
    found, again = principal_components(np.float32(x), 5)
    for ours, theirs in ((found.weights, expected.weights), (again, projections), (found.variance, expected.variance)):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    with pytest.raises(DataError, match="4 components of images that vary in 3 directions only"):
        principal_components(flat + np.float32(3), 4)


def test_of_large_images_the_first_ones_count(monkeypatch):
    """As many as 64 components need."""
    monkeypatch.setattr(components, "LARGE", 47)
    monkeypatch.setattr(components, "COUNT", 2)
    image_set = random_images((3, 4, 4), 5, count=5, val_count=600)
    cut = dataclasses.replace(image_set, val_images=image_set.val_images[:500])
    for ours, theirs in zip(image_components(image_set), image_components(cut), strict=True):
        np.testing.assert_array_equal(ours.weights, theirs.weights)


def test_of_validation_images():
    """As images [component, c, y, x]; only validation images count."""
    image_set = random_images((3, 4, 4), 5, count=50, val_count=300)
    other = dataclasses.replace(image_set, images=image_set.images[::-1] // 2)
    found = image_components(image_set, 6)
    x = network_inputs(image_set.val_images, image_set.mean)
    expected = principal_components(x, 6)[0], independent(x, 6)
    for ours, again, theirs in zip(found, image_components(other, 6), expected, strict=True):
        assert ours.weights.shape == (6, 3, 4, 4)
        np.testing.assert_array_equal(ours.weights, again.weights)
        np.testing.assert_array_equal(ours.weights.reshape(6, 48), theirs.weights)
        np.testing.assert_array_equal(ours.variance, theirs.variance)


def local_share(components: Components) -> float:
    """Mean share of the squared weights that the best 4 x 4 window holds; 1/16 for equal weights on 16 x 16 pixels."""
    energy = np.sum(components.weights**2, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(energy, (4, 4), axis=(1, 2)).sum(axis=(3, 4))
    return float(np.mean(windows.max(axis=(1, 2)) / energy.sum(axis=(1, 2))))


def test_on_images_with_edges_ica_is_local_and_pca_is_not():
    """Redman et al., Fig. 2, on the embedded images, grey and with every second pixel left out."""
    blocks = [images for images, _ in edge_collage.blocks("orientation", 4000, 0, Split.VALIDATION)]
    planes = np.concatenate(blocks).reshape(-1, 3, 32, 32)[:, :, ::2, ::2]
    images = planes.mean(axis=1).astype(np.uint8).reshape(-1, 256)
    mean, labels = images.mean(axis=0, dtype=np.float32), np.zeros(len(images), np.int32)
    image_set = ImageSet(images[:0], labels[:0], images, labels, mean, (1, 16, 16), 10, "EdgeCollage32")
    principal, independent = image_components(image_set, 32)
    assert local_share(principal) < 0.5 and local_share(independent) > 0.9
    assert np.mean(np.abs(3 - independent.kurtosis)) > 2 * np.mean(np.abs(3 - principal.kurtosis))
