"""EdgeCollage32: images made from a seed, whose classes differ in higher-order statistics alone.

A 32x32 colour image is a collage of 4x4 cells of 8x8 pixels. A cell shows either a *sharp* edge, of random position
and polarity, or a *soft* pattern: Gaussian noise with exactly the second moments of that edge. Which cells are sharp is
what a class is. So all classes have the same mean image and the same covariance; what tells them apart is local and
non-Gaussian, as edges are in natural scenes (Bell & Sejnowski 1997, "The independent components of natural scenes are
edge filters"). Comparing non-Gaussian images with Gaussian ones of the same second moments is the idea of Ingrosso &
Goldt 2022, "Data-driven emergence of convolutional structure in neural networks"; their images are other ones.

A second variant carries the class in the orientation of the edges, hence in a covariance, but a local one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sifting import inputs
from sifting.datasets import cache
from sifting.datasets.image_set import ImageSet
from sifting.datasets.source import Facts, Report

CLASSES = 10
CHANNELS = 3
GRID = 4  # cells along a side
CELL = 8  # pixels along a side of a cell
SIZE = GRID * CELL
CELLS = GRID * GRID
PIXELS = CHANNELS * SIZE * SIZE

ORIENTATIONS = 45 * np.arange(4)  # degrees
SLOPE = 1.5  # of an edge, per pixel
GREY = 127.5
CONTRAST = 40.0  # grey levels
NOISE = 8.0  # grey levels, standard deviation
KEPT = 0.5  # probability that a cell has the orientation of the image's class
FLIPPED = 0.1  # probability that a channel's sign is flipped

LAYOUT_SEED = 7
TRAINING, VALIDATION = 0, 1
BLOCK = 500  # images that share a random generator

DrawBlock = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


# --- layouts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SharpnessLayout:
    """The fixed choices behind collage_class = sharpness. Cells are numbered row by row.

    Attributes:
        sharp: bool [10, 16], the cells that are sharp in a class: 8 of 16.
        orientations: int64 [16], of each cell's edge or soft pattern: an index into ORIENTATIONS.
        gains: float64 [16, 3], of each cell in the three channels, 0.5 <= |gain| < 1.
    """

    sharp: np.ndarray
    orientations: np.ndarray
    gains: np.ndarray


def sharpness_layout() -> SharpnessLayout:
    """Always the same layout, whatever collage_seed is."""
    rng = np.random.default_rng(LAYOUT_SEED)
    sharp = np.array([rng.permutation(np.arange(CELLS) < CELLS // 2) for _ in range(CLASSES)])
    orientations = rng.integers(0, 4, CELLS)
    gains = rng.uniform(0.5, 1, (CELLS, CHANNELS)) * np.where(rng.random((CELLS, CHANNELS)) < 0.5, 1, -1)
    return SharpnessLayout(sharp, orientations, gains)


def orientation_layout() -> np.ndarray:
    """The fixed choices behind collage_class = orientation: int64 [10, 16], each class's orientation in each cell,
    an index into ORIENTATIONS."""
    return np.random.default_rng(LAYOUT_SEED).integers(0, 4, (CLASSES, CELLS))


# --- cells ---------------------------------------------------------------------------------------------------------


def _projections() -> np.ndarray:
    """float64 [4, 64]: x cos phi + y sin phi of a cell's pixels, x, y = -3.5 ... 3.5, for the four orientations phi."""
    axis = np.arange(CELL) - (CELL - 1) / 2
    y, x = (plane.ravel() for plane in np.meshgrid(axis, axis, indexing="ij"))
    phi = np.deg2rad(ORIENTATIONS)[:, None]
    return x * np.cos(phi) + y * np.sin(phi)


PROJECTIONS = _projections()


def edge(projection: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """A sharp cell of positive polarity: clip(1.5*(projection - delta), -1, 1), float64 [..., 64].

    Args:
        projection: float64 [..., 64].
        delta: float64 [...], the edge's distance from the cell's centre in pixels.
    """
    ramp = projection - delta[..., None]
    ramp *= SLOPE
    return np.clip(ramp, -1, 1, out=ramp)


def second_moment(projection: np.ndarray) -> np.ndarray:
    """E[p p'] of an edge p with delta ~ U(-1, 1), float64 [64, 64]. The random polarity makes its mean zero.

    Between the positions where some pixel starts or stops to saturate, p is linear in delta and p p' quadratic, for
    which two Gauss-Legendre points are exact.

    Args:
        projection: float64 [64].
    """
    kinks = np.concatenate([[-1, 1], projection - 1 / SLOPE, projection + 1 / SLOPE])
    kinks = np.unique(np.clip(kinks, -1, 1))
    points, weights = np.polynomial.legendre.leggauss(2)
    half_widths = np.diff(kinks)[:, None] / 2
    deltas = (kinks[:-1, None] + half_widths * (1 + points)).ravel()
    densities = (half_widths * weights).ravel() / 2
    edges = edge(projection, deltas)
    return (edges * densities[:, None]).T @ edges


def symmetric_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric R with R R = matrix, for a positive semi-definite float64 [p, p]."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def assemble(grey: np.ndarray) -> np.ndarray:
    """Round, clip to 0 ... 255 and put the cells in their places.

    Args:
        grey: float64 [n, 3, 16, 64], in grey levels; overwritten.

    Returns:
        uint8 [n, 3*32*32].
    """
    np.clip(np.rint(grey, out=grey), 0, 255, out=grey)
    cells = grey.astype(np.uint8).reshape(-1, CHANNELS, GRID, GRID, CELL, CELL)
    return cells.transpose(0, 1, 2, 4, 3, 5).reshape(-1, PIXELS)


# --- images --------------------------------------------------------------------------------------------------------


def sharpness_sampler() -> DrawBlock:
    """Images whose class decides which cells are sharp."""
    layout = sharpness_layout()
    projections = PROJECTIONS[layout.orientations]
    roots = np.stack([symmetric_root(second_moment(projection)) for projection in PROJECTIONS])[layout.orientations]
    gains = CONTRAST * layout.gains.T[:, :, None]

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, CLASSES, BLOCK)
        sharp = edge(projections, rng.uniform(-1, 1, (BLOCK, CELLS)))
        sharp *= _signs(rng, 0.5, (BLOCK, CELLS, 1))
        soft = (rng.standard_normal((CELLS, BLOCK, CELL * CELL)) @ roots).transpose(1, 0, 2)
        cells = np.where(layout.sharp[labels][:, :, None], sharp, soft)
        grey = rng.standard_normal((BLOCK, CHANNELS, CELLS, CELL * CELL))
        grey *= NOISE
        grey += GREY
        for channel in range(CHANNELS):
            grey[:, channel] += gains[channel] * cells
        return assemble(grey), labels

    return draw


def orientation_sampler() -> DrawBlock:
    """Images of sharp edges whose class decides the likeliest orientation of each cell."""
    layout = orientation_layout()

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, CLASSES, BLOCK)
        kept = rng.random((BLOCK, CELLS)) < KEPT
        orientations = np.where(kept, layout[labels], rng.integers(0, 4, (BLOCK, CELLS)))
        cells = edge(PROJECTIONS[orientations], rng.uniform(-1, 1, (BLOCK, CELLS)))
        cells *= CONTRAST * _signs(rng, 0.5, (BLOCK, CELLS, 1))
        return assemble(GREY + cells[:, None] * _signs(rng, FLIPPED, (BLOCK, CHANNELS, CELLS, 1))), labels

    return draw


def _signs(rng: np.random.Generator, probability: float, shape: tuple[int, ...]) -> np.ndarray:
    """float64: -1 with this probability, else 1."""
    return np.where(rng.random(shape) < probability, -1.0, 1.0)


SAMPLERS: dict[str, Callable[[], DrawBlock]] = {"sharpness": sharpness_sampler, "orientation": orientation_sampler}


def blocks(collage_class: str, count: int, seed: int, stream: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`count` images in pieces. Each piece has its own generator, Philox with
    SeedSequence(seed, spawn_key=(stream, number of the piece)): the first images do not depend on `count`.

    Args:
        collage_class: a key of SAMPLERS.
        stream: TRAINING or VALIDATION.

    Yields:
        images uint8 [n, 3072] and labels int32 [n], n <= BLOCK; the labels are uniform over the classes.
    """
    draw = SAMPLERS[collage_class]()
    for number, start in enumerate(range(0, count, BLOCK)):
        sequence = np.random.SeedSequence(seed, spawn_key=(stream, number))
        images, labels = draw(np.random.Generator(np.random.Philox(sequence)))
        yield images[: count - start], labels[: count - start].astype(np.int32)


class EdgeCollage:
    """The data set EdgeCollage32, a Source."""

    def facts(self, data: inputs.Data) -> Facts:
        return Facts(data.collage_images, data.collage_val_images, (CHANNELS, SIZE, SIZE), CLASSES)

    def identity(self, experiment: inputs.Experiment) -> dict[str, Any]:
        data = experiment.data
        return {
            "dataset": data.dataset,
            "collage_class": data.collage_class,
            "collage_images": data.collage_images,
            "collage_val_images": data.collage_val_images,
            "collage_seed": data.collage_seed,
        }

    def load(self, experiment: inputs.Experiment, report: Report) -> ImageSet:
        data = experiment.data

        def make(folder: Path) -> cache.Description:
            report(f"Making {data.collage_images} + {data.collage_val_images} images of EdgeCollage32")
            total = self._write(folder, "", data, data.collage_images, TRAINING)
            self._write(folder, "val_", data, data.collage_val_images, VALIDATION)
            np.save(folder / "mean.npy", (total / data.collage_images).astype(np.float32))
            source = f"EdgeCollage32, collage_class {data.collage_class}, collage_seed {data.collage_seed}"
            return cache.Description(source, (CHANNELS, SIZE, SIZE), CLASSES)

        name = f"EdgeCollage32-{data.collage_class}"
        return cache.image_set(inputs.cache_folder(experiment), name, self.identity(experiment), make, report)

    def _write(self, folder: Path, prefix: str, data: inputs.Data, count: int, stream: int) -> np.ndarray:
        """Write images and labels; returns the sum of the images, int64 [3072]."""
        labels = []
        total = np.zeros(PIXELS, dtype=np.int64)

        def image_blocks() -> Iterator[np.ndarray]:
            for images, block_labels in blocks(data.collage_class, count, data.collage_seed, stream):
                labels.append(block_labels)
                total[:] += images.sum(axis=0, dtype=np.int64)
                yield images

        cache.write_rows(folder / f"{prefix}images.npy", PIXELS, image_blocks())
        np.save(folder / f"{prefix}labels.npy", np.concatenate(labels))
        return total
