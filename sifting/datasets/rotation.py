"""Rotated images (Pellegrini & Biroli 2022, C.4): turned about their centre, cropped to the same size.

Bilinear interpolation is one sparse matrix R for all images and channels, applied to pixels and rounded to uint8.
Pixels without a source have an empty row in R. So they are 0 in every image, and exactly 0 in the mean image R mean:
their input (0 - 0) / 255 is exactly 0, and whoever subtracts the mean needs no mask.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sifting.datasets import cache
from sifting.datasets.image_set import ImageSet
from sifting.datasets.source import Facts, Report, Source
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data

if TYPE_CHECKING:
    from scipy import sparse

BLOCK = 128  # images at a time; 3 MB of float64 for 32 x 32 pixels
REPORT_SECONDS = 20.0


def operator(size: int, degrees: float) -> "sparse.csr_array":
    """R: the plane `image` of [size, size] pixels, turned counter-clockwise as it is seen, is R @ image.ravel().

    The source of a pixel is where it comes from, turned back about the centre ((size-1)/2, (size-1)/2). It is
    interpolated between the four pixels around it; if one of them lies outside of the image, there is no source.
    Coordinates are rounded to 1e-9 pixels, so that quarter turns move pixels and change none.

    Returns:
        float64 [size*size, size*size]; a row has weights that sum to 1, or none at all.
    """
    from scipy import sparse  # a quarter of the time that the command takes to start

    centre, angle = (size - 1) / 2, np.deg2rad(degrees)
    row, column = np.divmod(np.arange(size**2), size)
    x, y = column - centre, centre - row  # y points up
    source_x, source_y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    source = np.round([centre - source_y, centre + source_x], 9)  # row and column
    target = np.flatnonzero(np.all((source >= 0) & (source <= size - 1), axis=0))
    first = source[:, target].astype(int)
    further = source[:, target] - first
    weights, places = [], []
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):  # down, right
        offset = np.array(corner)[:, None]
        weights.append(np.prod(np.abs(1 - offset - further), axis=0))
        places.append(np.array([size, 1]) @ np.minimum(first + offset, size - 1))  # at the edge with weight 0
    indices = np.tile(target, len(weights)), np.concatenate(places)
    turn = sparse.csr_array((np.concatenate(weights), indices), shape=(size**2, size**2))
    turn.eliminate_zeros()
    return turn


def valid_pixels(turn: "sparse.csr_array") -> NDArray[np.bool_]:
    """Which pixels have a source: bool [size*size]."""
    valid: NDArray[np.bool_] = np.diff(turn.indptr) > 0
    return valid


def rotate(images: np.ndarray, turn: "sparse.csr_array") -> NDArray[np.float64]:
    """Apply R to every plane, in float64.

    Args:
        images: [n, channels*size*size].
        turn: from `operator`.

    Returns:
        float64, shaped like the images.
    """
    planes = images.reshape(-1, turn.shape[1]).T.astype(np.float64)
    rotated: NDArray[np.float64] = (turn @ planes).T.reshape(images.shape)
    return rotated


@dataclass(frozen=True)
class Rotated(cache.Prepared):
    """A data set whose images, training and validation, and mean image are turned by [Data] rotate degrees."""

    original: Source

    def facts(self, data: Data) -> Facts:
        return self.original.facts(data)

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        return {"rotate": experiment.data.rotate, "original": self.original.identity(experiment)}

    def entry_name(self, data: Data) -> str:
        return f"{data.dataset}-rotated"

    def _operator(self, data: Data) -> "sparse.csr_array":
        return operator(self.facts(data).shape[1], data.rotate)

    def load(self, experiment: Experiment, report: Report) -> ImageSet:
        """Also sets ImageSet.valid."""
        found = super().load(experiment, report)
        return replace(found, valid=np.tile(valid_pixels(self._operator(experiment.data)), found.shape[0]))

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        """Raises DataError: as the original's load."""
        data, turn = experiment.data, self._operator(experiment.data)
        images = self.original.load(experiment, report)
        total = len(images.images) + len(images.val_images)
        report(f"Rotating {total:,} images of {data.dataset} by {data.rotate} degrees, once")
        progress = Progress(total, report)
        training = _blocks(images.images, images.labels, turn, progress)
        validation = _blocks(images.val_images, images.val_labels, turn, progress)
        cache.write_splits(folder, len(images.mean), training, validation)
        np.save(folder / "mean.npy", rotate(images.mean, turn).astype(np.float32))
        valid = valid_pixels(turn)
        text = (
            f"{images.source}, rotated by {data.rotate} degrees counter-clockwise: "
            f"{np.count_nonzero(valid)} of {len(valid)} pixels are valid"
        )
        return cache.Description(text, images.shape, images.classes, images.class_names)


@dataclass
class Progress:
    """Reports at times how many of `total` images are done."""

    total: int
    report: Report
    done: int = 0

    def __post_init__(self) -> None:
        self._last = time.monotonic()

    def add(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self._last >= REPORT_SECONDS:
            self.report(f"Rotated {self.done:,} of {self.total:,} images")
            self._last = time.monotonic()


def _blocks(
    images: np.ndarray, labels: np.ndarray, turn: "sparse.csr_array", progress: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(images), BLOCK):
        taken = slice(start, start + BLOCK)
        yield np.rint(rotate(images[taken], turn)).astype(np.uint8), labels[taken]
        progress.add(len(labels[taken]))
