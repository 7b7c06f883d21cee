"""Gaussian clones: images with the means and covariances of each colour channel of a data set, and nothing else of it.

Redman et al. 2024, section B.1: for every class and colour channel a Gaussian is fitted to the first images of the
training set, and all images, training and validation, are replaced by samples of the Gaussian of their class, the
three channels drawn independently. Labels and numbers of images stay.

A fit to n images has rank n-1, so a sample lies in their span. A ridge fills the other directions with white noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifting.base.random_streams import Split, Stream, generator
from sifting.datasets import cache
from sifting.datasets.edge_collage import symmetric_root
from sifting.datasets.image_set import ImageSet
from sifting.datasets.source import Facts, Report, Source
from sifting.errors import DataError
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data


def fit(images: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and a factor F of the covariance, F'F = C = sum (x - mean)(x - mean)' / n.

    The rows of F are the centred images over sqrt(n), so that C needs no decomposition, whatever its rank; or, when
    there are more images than pixels, the symmetric root of C, which is smaller.

    Args:
        images: [n, p], n >= 2.

    Returns:
        float64 [p] and float64 [min(n, p), p].
    """
    images = images.astype(np.float64)
    mean = images.mean(axis=0)
    images -= mean
    images /= np.sqrt(len(images))
    return mean, images if len(images) <= len(mean) else symmetric_root(images.T @ images)


def sample(
    mean: np.ndarray, factor: np.ndarray, count: int, rng: np.random.Generator, ridge: float = 0.0
) -> NDArray[np.float64]:
    """mean + z F + sqrt(ridge) w with z, w ~ N(0, 1): float64 [count, p], Gaussian with covariance F'F + ridge*I."""
    samples: NDArray[np.float64] = mean + rng.standard_normal((count, len(factor))) @ factor
    if ridge:
        samples = samples + np.sqrt(ridge) * rng.standard_normal(samples.shape)
    return samples


def to_uint8(images: np.ndarray) -> NDArray[np.uint8]:
    """Round to whole grey levels and clip to 0 ... 255.

    Rounding adds 1/12 to each variance. Clipping takes from it, and makes the excess kurtosis of a pixel negative:
    where pixels are often nearly black or white, some of a Gaussian lies beyond. docs/data.md has numbers.
    """
    rounded: NDArray[np.uint8] = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return rounded


def clipped(images: np.ndarray) -> int:
    """How many of these pixels to_uint8 clips."""
    return int(np.count_nonzero((images < -0.5) | (images > 255.5)))


def fitted_images(
    labels: np.ndarray, classes: int, images: int, images_per_class: int | None = None
) -> list[np.ndarray]:
    """The images that the Gaussian of each class is fitted to: one array of positions for each class.

    Args:
        labels: int [n], of the training images.
        classes: number of classes.
        images: the first so many images are taken, whatever their class, or all there are;
        images_per_class: if given, instead the first so many of each class.
    """
    first = labels[:images] if images_per_class is None else labels
    return [np.flatnonzero(first == label)[:images_per_class] for label in range(classes)]


def write_clone(original: ImageSet, fitted: Sequence[np.ndarray], ridge: float, seed: int, folder: Path) -> float:
    """Write images.npy and val_images.npy of the clone, one class and channel in memory at a time.

    Args:
        original: what is cloned.
        fitted: as fitted_images gives it.
        ridge: added to the variance of every pixel, in squared grey levels.
        seed: of the samples.
        folder: where the files go.

    Returns:
        The fraction of all pixels that are clipped.

    Raises:
        DataError: a class has fewer than 2 images among the fitted ones.
        OSError: the files cannot be written.
    """
    counts = np.array([len(places) for places in fitted])
    if counts.min() < 2:
        raise DataError(
            f"{original.source}: class {counts.argmin()} has {counts.min()} images among the {counts.sum()} to which "
            "the clone is fitted; accepted: at least 2 (a larger [Data] clone_images, or clone_images_per_class)"
        )
    clone, val_clone = (
        cache.create_rows(folder / f"{name}.npy", *getattr(original, name).shape) for name in ("images", "val_images")
    )
    clones = [(Split.TRAINING, original.labels, clone), (Split.VALIDATION, original.val_labels, val_clone)]
    channels = original.shape[0]
    outside = 0
    for label, members in enumerate(fitted):
        gaussians = [fit(pixels) for pixels in np.split(original.images[members], channels, axis=1)]
        for split, labels, clone in clones:
            places = np.flatnonzero(labels == label)
            for channel, pixels in enumerate(np.split(clone, channels, axis=1)):
                rng = generator(seed, Stream.CLONE, split, label, channel)
                samples = sample(*gaussians[channel], len(places), rng, ridge)
                outside += clipped(samples)
                pixels[places] = to_uint8(samples)
    for _, _, clone in clones:
        clone.flush()
    return outside / sum(clone.size for _, _, clone in clones)


@dataclass(frozen=True)
class GaussianClone(cache.Prepared):
    """The Gaussian clone of a data set. It keeps the data set's labels and mean image."""

    original: Source

    def facts(self, data: Data) -> Facts:
        return self.original.facts(data)

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        data = experiment.data
        return {
            "clone": data.clone,
            "clone_images": data.clone_images if data.clone_images_per_class is None else None,
            "clone_images_per_class": data.clone_images_per_class,
            "clone_ridge": data.clone_ridge,
            "clone_seed": data.clone_seed,
            "original": self.original.identity(experiment),
        }

    def entry_name(self, data: Data) -> str:
        return f"{data.dataset}-clone"

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        """Raises DataError: as the original's load and write_clone."""
        data = experiment.data
        original = self.original.load(experiment, report)
        each = data.clone_images_per_class
        fitted = fitted_images(original.labels, original.classes, data.clone_images, each)
        how = f"fitted to {sum(map(len, fitted))} images" + (f", at most {each} a class" if each else "")
        report(f"Making the Gaussian clone of {data.dataset}, {how}")
        outside = write_clone(original, fitted, data.clone_ridge, data.clone_seed, folder)
        for name in ("labels", "val_labels", "mean"):
            np.save(folder / f"{name}.npy", getattr(original, name))
        ridge = f", clone_ridge {data.clone_ridge}" if data.clone_ridge else ""
        text = (
            f"Gaussian clone, clone_seed {data.clone_seed}, {how}{ridge}, {100 * outside:.2g} % of the pixels "
            f"clipped, of {original.source}"
        )
        return cache.Description(text, original.shape, original.classes, original.class_names)
