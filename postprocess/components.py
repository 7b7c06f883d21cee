"""Principal and independent components of images (Redman et al. 2024, Fig. 2 and appendix A).

Appendix A names scikit-learn's PCA and FastICA, 64 components, and all 50,000 validation images of ImageNet32, no more.
Fewer images have fewer components here: among principal components that are the sample's noise, FastICA finds
directions that are not local. All else is scikit-learn's default: colours are kept, the mean image is subtracted,
FastICA has the contrast logcosh, symmetric updates and tolerance 1e-4. A component is a row of W in lambda = W . X,
what scikit-learn calls `components_`, not a column of ICA's mixing matrix.

FastICA begins with the principal components, as many as it looks for, each scaled to variance 1. Here it is given
these, so that they are computed once and exactly; what it does with them is the same. It depends on a random start;
everything else is determined.

Images of more than 4096 numbers, such as 64 x 64 in colour, have no covariance matrix that could be diagonalised in
reasonable time and memory: for them PCA is a truncated decomposition of the images themselves (ARPACK), in float32,
and those beyond the first 16,000 are left out.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from sklearn.decomposition import PCA, FastICA
from sklearn.exceptions import ConvergenceWarning

from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError
from sifting.network.statistics import ImageBlocks, kurtosis, preactivation_moments

COUNT = 64  # Redman et al.
IMAGES_A_COMPONENT = 250  # at least; Redman et al. have 781
MAX_ITERATIONS = 200  # scikit-learn's default
LARGE = 4096  # numbers an image, above which no covariance is formed

# A principal component with less than this part of the variance of the first one is rounding noise.
_SMALLEST_VARIANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-9}


@dataclass(frozen=True, eq=False)
class Components:
    """Directions W in the space of the inputs, and the projections lambda = W . (x - mean x) on them.

    Attributes:
        weights: float64 [count, n_in], W, or as images [count, channels, S, S]; the largest weight of each is positive.
            PCA: of length 1. ICA: such that lambda has variance 1.
        variance: float64 [count], the fraction of the inputs' variance that each explains; projections are
            uncorrelated, so fractions add up.
        kurtosis: float64 [count], of lambda; 3 for a Gaussian.
        iterations: of FastICA; 0 for PCA.
        converged: whether FastICA met its tolerance before it reached the largest number of iterations; True for PCA.
    """

    weights: np.ndarray
    variance: np.ndarray
    kurtosis: np.ndarray
    iterations: int = 0
    converged: bool = True


def component_count(image_set: ImageSet) -> int:
    """64, or what fewer validation images can carry; 0: there are not even enough for one."""
    return min(COUNT, len(image_set.val_images) // IMAGES_A_COMPONENT, len(image_set.mean))


def image_components(
    image_set: ImageSet, count: int | None = None, seed: int = 0, max_iterations: int = MAX_ITERATIONS
) -> tuple[Components, Components]:
    """PCA and ICA of all validation images, weights as images [count, channels, S, S], indexed [component, c, y, x].

    The images become network inputs, (pixel - mean) / 255, in float64: 1.2 GB for the 50,000 of ImageNet32. Of large
    ones the first 16,000 do, in float32: 1.8 GB for 96 x 96 pixels in colour.

    Args:
        count: None: component_count.
        seed, max_iterations: see independent_components.

    Raises:
        DataError: the images vary in fewer than `count` directions, or count < 1.
    """
    large = len(image_set.mean) > LARGE
    images = image_set.val_images[: COUNT * IMAGES_A_COMPONENT if large else None]
    x = np.empty(images.shape, np.float32 if large else np.float64)
    start = 0
    for block in ImageBlocks(images, image_set.mean):
        x[start : start + len(block)] = block
        start += len(block)
    principal, projections = principal_components(x, component_count(image_set) if count is None else count)
    independent = independent_components(principal, projections, seed, max_iterations)
    principal, independent = (
        replace(found, weights=found.weights.reshape(-1, *image_set.shape)) for found in (principal, independent)
    )
    return principal, independent


def principal_components(x: np.ndarray, count: int = COUNT) -> tuple[Components, np.ndarray]:
    """The directions of the largest variance, the largest first, and the projections on them, float64 [n, count].

    Args:
        x: float64 or float32 [n, n_in], not far from zero, since the covariance is formed. If n_in is above 4096 it is
            not, and x is overwritten.

    Raises:
        DataError: x varies in fewer than `count` directions, or count < 1.
    """
    most = max(0, min(len(x) - 1, x.shape[1]))
    if not 1 <= count <= most:
        raise DataError(f"{count} components of {len(x)} images of {x.shape[1]} numbers; accepted: 1 to {most}")
    if np.all(x == x[0]):
        raise DataError(f"{count} components of images that are all the same")
    large = x.shape[1] > LARGE
    pca = PCA(count, svd_solver="arpack" if large else "covariance_eigh", copy=not large, random_state=0)
    projections = pca.fit_transform(x).astype(np.float64)
    known = pca.explained_variance_ > _SMALLEST_VARIANCE[x.dtype] * pca.explained_variance_[0]
    if not np.all(known):
        raise DataError(f"{count} components of images that vary in {np.count_nonzero(known)} directions only")
    signs = _signs(pca.components_)
    projections *= signs
    weights, variance = pca.components_ * signs[:, None], pca.explained_variance_ratio_.astype(np.float64)
    return Components(weights.astype(np.float64), variance, _kurtosis(projections)), projections


def independent_components(
    principal: Components, projections: np.ndarray, seed: int = 0, max_iterations: int = MAX_ITERATIONS
) -> Components:
    """FastICA (Hyvärinen & Oja 2000): directions whose projections are as non-Gaussian as can be, and uncorrelated.

    They have no natural order; here the largest |3 - kurtosis|, excess in the words of Redman et al., stands first.

    Args:
        principal, projections: of principal_components.
        seed: of the random start, 0 <= seed < 2**32.
        max_iterations: then it stops, and `converged` is False.
    """
    deviations = np.std(projections, axis=0)
    whitened = projections / deviations
    ica = FastICA(whiten=False, max_iter=max_iterations, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` says it
        sources = ica.fit_transform(whitened)
    rotation = ica.components_  # orthogonal, so x - mean x = sum_k lambda_k A_k with |A_k|^2 as in `variance`
    weights = rotation @ (principal.weights / deviations[:, None])
    variance = rotation**2 @ principal.variance
    values = _kurtosis(sources)
    order = np.argsort(-np.abs(values - 3), kind="stable")
    weights = (weights * _signs(weights)[:, None])[order]
    return Components(weights, variance[order], values[order], ica.n_iter_, ica.n_iter_ < max_iterations)


def _signs(weights: np.ndarray) -> np.ndarray:
    """1 or -1 for each row, [count]: the sign of its largest weight."""
    largest = np.argmax(np.abs(weights), axis=1)
    return np.where(weights[np.arange(len(weights)), largest] < 0, -1.0, 1.0)


def _kurtosis(projections: np.ndarray) -> np.ndarray:
    return kurtosis(preactivation_moments([projections], np.eye(projections.shape[1])))
