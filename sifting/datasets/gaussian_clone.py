"""Gaussian clones: images with the means and covariances of each colour channel of a data set, and nothing else of it.

Redman et al. 2024, section B.1: for every class and colour channel a Gaussian is fitted to the first images of the
training set, and all images, training and validation, are replaced by samples of the Gaussian of their class, the
three channels drawn independently. Labels and numbers of images stay.
"""

from pathlib import Path
from typing import Any

import numpy as np

from sifting import inputs
from sifting.datasets import cache
from sifting.datasets.edge_collage import symmetric_root
from sifting.datasets.image_set import ImageSet
from sifting.datasets.source import Report, Source
from sifting.errors import DataError

TRAINING, VALIDATION = 0, 1


def fit(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def sample(mean: np.ndarray, factor: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """mean + z F with z ~ N(0, 1): float64 [count, p], Gaussian with covariance F'F."""
    return mean + rng.standard_normal((count, len(factor))) @ factor


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Round to whole grey levels and clip to 0 ... 255.

    Rounding adds 1/12 to each variance, clipping takes something from it: where the pixels of a data set are often
    nearly black or white, some of a Gaussian lies beyond. Of EdgeCollage32's clone 0.02 % of the pixels are clipped.
    """
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def generator(seed: int, split: int, label: int, channel: int) -> np.random.Generator:
    """The random numbers of one class and channel. split: TRAINING or VALIDATION."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(split, label, channel))))


def write_clone(original: ImageSet, fitted: int, seed: int, folder: Path) -> None:
    """Write images.npy and val_images.npy of the clone, one class and channel in memory at a time.

    Args:
        original: what is cloned.
        fitted: the number of training images, the first ones, that are fitted.
        seed: of the samples.
        folder: where the files go.

    Raises:
        DataError: a class has fewer than 2 images among the fitted ones.
        OSError: the files cannot be written.
    """
    fitted_labels = original.labels[:fitted]
    counts = np.bincount(fitted_labels, minlength=original.classes)
    if counts.min() < 2:
        raise DataError(
            f"{original.source}: class {counts.argmin()} has {counts.min()} images among the first "
            f"{len(fitted_labels)}, to which the clone is fitted; accepted: at least 2 (a larger [Data] clone_images)"
        )
    clones = [
        (TRAINING, original.labels, cache.create_rows(folder / "images.npy", *original.images.shape)),
        (VALIDATION, original.val_labels, cache.create_rows(folder / "val_images.npy", *original.val_images.shape)),
    ]
    channels = original.shape[0]
    for label in range(original.classes):
        members = original.images[np.flatnonzero(fitted_labels == label)]
        gaussians = [fit(pixels) for pixels in np.split(members, channels, axis=1)]
        for split, labels, clone in clones:
            places = np.flatnonzero(labels == label)
            for channel, pixels in enumerate(np.split(clone, channels, axis=1)):
                samples = sample(*gaussians[channel], len(places), generator(seed, split, label, channel))
                pixels[places] = to_uint8(samples)
    for _, _, clone in clones:
        clone.flush()


def load(experiment: inputs.Experiment, source: Source, report: Report) -> ImageSet:
    """The Gaussian clone of a data set, from the cache where it is there. It keeps the data set's mean image.

    Raises:
        DataError: as source.load and write_clone, or the cache cannot be written.
    """
    data = experiment.data
    identity: dict[str, Any] = {
        "clone": data.clone,
        "clone_images": data.clone_images,
        "clone_seed": data.clone_seed,
        "original": source.identity(experiment),
    }

    def make(folder: Path) -> cache.Description:
        original = source.load(experiment, report)
        fitted = min(data.clone_images, len(original.images))
        report(f"Making the Gaussian clone of {data.dataset}, fitted to {fitted} images")
        write_clone(original, fitted, data.clone_seed, folder)
        np.save(folder / "labels.npy", original.labels)
        np.save(folder / "val_labels.npy", original.val_labels)
        np.save(folder / "mean.npy", original.mean)
        text = f"Gaussian clone, clone_seed {data.clone_seed}, fitted to {fitted} images, of {original.source}"
        return cache.Description(text, original.shape, original.classes, original.class_names)

    return cache.image_set(inputs.cache_folder(experiment), f"{data.dataset}-clone", identity, make, report)
