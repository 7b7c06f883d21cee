"""EdgeCollage32: images made from a seed, whose classes differ in higher-order statistics alone.

A 32x32 colour image is a collage of 4x4 cells of 8x8 pixels. A cell shows either a *sharp* edge, of random position
and polarity, or a *soft* pattern: Gaussian noise with exactly the second moments of that edge. Which cells are sharp is
what a class is. So all classes have the same mean image and the same covariance; what tells them apart is local and
non-Gaussian, as edges are in natural scenes (Bell & Sejnowski 1997, "The independent components of natural scenes are
edge filters"). Comparing non-Gaussian images with Gaussian ones of the same second moments is the idea of Ingrosso &
Goldt 2022, "Data-driven emergence of convolutional structure in neural networks"; their images are other ones.

A second variant carries the class in the orientation of the edges, hence in a covariance, but a local one; a third in
orientation and colour of the edges wherever they are, so that translated images can be told apart, too.

Images can be larger, 64x64 with 8x8 cells of the same 8x8 pixels; and the ten classes can be families of ten members
each, which share most of their cells: a small ImageNet, as far as tasks with super-classes go.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sifting.base.random_streams import Split, Stream, generator
from sifting.datasets import cache
from sifting.datasets.semantic import SemanticClasses
from sifting.datasets.source import Facts, Report
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data

FAMILIES = 10
MEMBERS = 10  # of a family, if there are 100 classes
GROUPS = 8  # of cells that tell the members apart
CHANNELS = 3
SIZE = 32  # pixels along a side; the default
CELL = 8  # pixels along a side of a cell

ORIENTATIONS = 45 * np.arange(4)  # degrees
SLOPE = 1.5  # of an edge, per pixel
GREY = 127.5
CONTRAST = 40.0  # grey levels
NOISE = 8.0  # grey levels, standard deviation
KEPT = 0.5  # probability that a cell has the orientation of the image's class
FLIPPED = 0.1  # probability that a channel's sign is flipped

COLOURS = np.array([[1, 0.4, -0.6], [-0.6, 1, 0.4], [0.4, -0.6, 1]])  # of motifs: gains in the three channels

LAYOUT_SEED = 7
MEMBERS_SEED = (7, 1)
BLOCK = 500  # images that share a random generator

DrawBlock = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


# --- layouts -------------------------------------------------------------------------------------------------------


# What follows holds for c cells, 16 or 64, numbered row by row, and k classes: the 10 families alone, or 100, where
# class 10*family + member belongs to `family`. The layout of the families does not depend on whether they have members.


@dataclass(frozen=True)
class SharpnessLayout:
    """The fixed choices behind collage_class = sharpness.

    Attributes:
        sharp: bool [k, c], the cells that are sharp in a class: half of them.
        orientations: int64 [c], of each cell's edge or soft pattern: an index into ORIENTATIONS.
        gains: float64 [c, 3], of each cell in the three channels, 0.5 <= |gain| < 1.
    """

    sharp: np.ndarray
    orientations: np.ndarray
    gains: np.ndarray


def sharpness_layout(cells: int = 16, classes: int = FAMILIES) -> SharpnessLayout:
    """Always the same layout, whatever collage_seed is."""
    rng = np.random.default_rng(LAYOUT_SEED)
    sharp = np.array([rng.permutation(np.arange(cells) < cells // 2) for _ in range(FAMILIES)])
    orientations = rng.integers(0, 4, cells)
    gains = rng.uniform(0.5, 1, (cells, CHANNELS)) * np.where(rng.random((cells, CHANNELS)) < 0.5, 1, -1)
    return SharpnessLayout(sharp if classes == FAMILIES else _sharpness_members(sharp), orientations, gains)


def _sharpness_members(families: np.ndarray) -> np.ndarray:
    """Deal each family's sharp cells into 8 groups at random, and its soft cells, too. In member m, the sharp group
    m mod 8 becomes soft, and the soft group (m + m // 8) mod 8 sharp, together 1/8 of all cells.

    Args:
        families: bool [10, c].

    Returns:
        bool [100, c].
    """
    rng = np.random.default_rng(MEMBERS_SEED)
    members = np.repeat(families, MEMBERS, axis=0)
    for family, sharp in enumerate(families):
        sharp_groups = np.split(rng.permutation(np.flatnonzero(sharp)), GROUPS)
        soft_groups = np.split(rng.permutation(np.flatnonzero(~sharp)), GROUPS)
        for member in range(MEMBERS):
            cells = members[family * MEMBERS + member]
            cells[sharp_groups[member % GROUPS]] = False
            cells[soft_groups[(member + member // GROUPS) % GROUPS]] = True
    return members


def orientation_layout(cells: int = 16, classes: int = FAMILIES) -> np.ndarray:
    """The fixed choices behind collage_class = orientation: int64 [k, c], each class's orientation in each cell, an
    index into ORIENTATIONS."""
    families = np.random.default_rng(LAYOUT_SEED).integers(0, 4, (FAMILIES, cells))
    return families if classes == FAMILIES else _orientation_members(families)


def _orientation_members(families: np.ndarray) -> np.ndarray:
    """Deal the cells into 8 groups at random, for each family. In members 0 ... 7, the cells of group m are turned by
    90 degrees; in members 8 and 9, those of groups 0 and 1 by 45.

    Args:
        families: int64 [10, c].

    Returns:
        int64 [100, c].
    """
    rng = np.random.default_rng(MEMBERS_SEED)
    members = np.repeat(families, MEMBERS, axis=0)
    for family in range(FAMILIES):
        groups = np.split(rng.permutation(families.shape[1]), GROUPS)
        for member in range(MEMBERS):
            turn = 2 if member < GROUPS else 1
            members[family * MEMBERS + member, groups[member % GROUPS]] += turn
    return members % len(ORIENTATIONS)


def families(classes: int) -> SemanticClasses | None:
    """The families of 100 classes, in the place of semantic super-classes; None if each class is a family."""
    if classes == FAMILIES:
        return None
    names = tuple(f"family {family}" for family in range(FAMILIES))
    return SemanticClasses(tuple(number // MEMBERS for number in range(classes)), names)


def class_names(classes: int) -> tuple[str, ...]:
    if classes == FAMILIES:
        return ()
    return tuple(f"family {number // MEMBERS}, member {number % MEMBERS}" for number in range(classes))


# --- cells ---------------------------------------------------------------------------------------------------------


def _projections() -> NDArray[np.float64]:
    """float64 [4, 64]: x cos phi + y sin phi of a cell's pixels, x, y = -3.5 ... 3.5, for the four orientations phi."""
    axis = np.arange(CELL) - (CELL - 1) / 2
    y, x = (plane.ravel() for plane in np.meshgrid(axis, axis, indexing="ij"))
    phi = np.deg2rad(ORIENTATIONS)[:, None]
    projections: NDArray[np.float64] = x * np.cos(phi) + y * np.sin(phi)
    return projections


PROJECTIONS = _projections()


def edge(projection: NDArray[np.float64], delta: NDArray[np.float64]) -> NDArray[np.float64]:
    """A sharp cell of positive polarity: clip(1.5*(projection - delta), -1, 1), float64 [..., 64].

    Args:
        projection: float64 [..., 64].
        delta: float64 [...], the edge's distance from the cell's centre in pixels.
    """
    ramp: NDArray[np.float64] = projection - delta[..., None]
    ramp *= SLOPE
    np.clip(ramp, -1, 1, out=ramp)
    return ramp


def second_moment(projection: NDArray[np.float64]) -> NDArray[np.float64]:
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
    moment: NDArray[np.float64] = (edges * densities[:, None]).T @ edges
    return moment


def symmetric_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric R with R R = matrix, for a positive semi-definite float64 [p, p]."""
    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def assemble(grey: np.ndarray) -> np.ndarray:
    """Round, clip to 0 ... 255 and put the cells in their places.

    Args:
        grey: float64 [n, 3, c, 64], in grey levels; overwritten.

    Returns:
        uint8 [n, 3*S*S], S*S = 64 c.
    """
    grid = isqrt(grey.shape[2])
    np.clip(np.rint(grey, out=grey), 0, 255, out=grey)
    cells = grey.astype(np.uint8).reshape(-1, CHANNELS, grid, grid, CELL, CELL)
    return cells.transpose(0, 1, 2, 4, 3, 5).reshape(len(grey), -1)


# --- images --------------------------------------------------------------------------------------------------------


def sharpness_sampler(count: int, classes: int) -> DrawBlock:
    """Images of `count` cells whose class decides which of them are sharp."""
    layout = sharpness_layout(count, classes)
    projections = PROJECTIONS[layout.orientations]
    roots = np.stack([symmetric_root(second_moment(projection)) for projection in PROJECTIONS])[layout.orientations]
    gains = CONTRAST * layout.gains.T[:, :, None]

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, classes, BLOCK)
        sharp = edge(projections, rng.uniform(-1, 1, (BLOCK, count)))
        sharp *= _signs(rng, 0.5, (BLOCK, count, 1))
        soft = (rng.standard_normal((count, BLOCK, CELL * CELL)) @ roots).transpose(1, 0, 2)
        cells = np.where(layout.sharp[labels][:, :, None], sharp, soft)
        grey = rng.standard_normal((BLOCK, CHANNELS, count, CELL * CELL))
        grey *= NOISE
        grey += GREY
        for channel in range(CHANNELS):
            grey[:, channel] += gains[channel] * cells
        return assemble(grey), labels

    return draw


def orientation_sampler(count: int, classes: int) -> DrawBlock:
    """Images of `count` sharp edges whose class decides the likeliest orientation of each."""
    layout = orientation_layout(count, classes)

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, classes, BLOCK)
        kept = rng.random((BLOCK, count)) < KEPT
        orientations = np.where(kept, layout[labels], rng.integers(0, 4, (BLOCK, count)))
        cells = edge(PROJECTIONS[orientations], rng.uniform(-1, 1, (BLOCK, count)))
        cells *= CONTRAST * _signs(rng, 0.5, (BLOCK, count, 1))
        return assemble(GREY + cells[:, None] * _signs(rng, FLIPPED, (BLOCK, CHANNELS, count, 1))), labels

    return draw


def motif_layout(classes: int = FAMILIES) -> np.ndarray:
    """The two motifs of each class, int64 [k, 2]: both its family's, or its family's and its member's."""
    numbers = np.arange(classes)
    return np.stack([numbers, numbers] if classes == FAMILIES else np.divmod(numbers, MEMBERS), axis=1)


def motif_sampler(count: int, classes: int) -> DrawBlock:
    """Images of `count` sharp edges whose class decides the likeliest orientation and colour, the same in all cells: so
    it is there wherever one looks, and stays when images are shifted."""
    layout = motif_layout(classes)

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, classes, BLOCK)
        kept = rng.random((BLOCK, count)) < KEPT
        own = np.take_along_axis(layout[labels], rng.integers(0, 2, (BLOCK, count)), axis=1)
        motifs = np.where(kept, own, rng.integers(0, len(ORIENTATIONS) * CHANNELS, (BLOCK, count)))
        colours, orientations = np.divmod(motifs, len(ORIENTATIONS))
        cells = edge(PROJECTIONS[orientations], rng.uniform(-1, 1, (BLOCK, count)))
        cells *= CONTRAST * _signs(rng, 0.5, (BLOCK, count, 1))
        grey = rng.standard_normal((BLOCK, CHANNELS, count, CELL * CELL))
        grey *= NOISE
        grey += GREY + cells[:, None] * COLOURS[colours].transpose(0, 2, 1)[..., None]
        return assemble(grey), labels

    return draw


def _signs(rng: np.random.Generator, probability: float, shape: tuple[int, ...]) -> np.ndarray:
    """float64: -1 with this probability, else 1."""
    return np.where(rng.random(shape) < probability, -1.0, 1.0)


SAMPLERS: dict[str, Callable[[int, int], DrawBlock]] = {
    "sharpness": sharpness_sampler,
    "orientation": orientation_sampler,
    "motif": motif_sampler,
}


def blocks(
    collage_class: str, count: int, seed: int, split: Split, size: int = SIZE, classes: int = FAMILIES
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`count` images in pieces. Each piece has a draw of its own: the first images do not depend on `count`.

    Args:
        collage_class: a key of SAMPLERS.
        size: S, 32 or 64.
        classes: 10 or 100.

    Yields:
        images uint8 [n, 3*S*S] and labels int32 [n], n <= BLOCK; the labels are uniform over the classes.
    """
    draw = SAMPLERS[collage_class]((size // CELL) ** 2, classes)
    for number, start in enumerate(range(0, count, BLOCK)):
        images, labels = draw(generator(seed, Stream.COLLAGE, split, number))
        yield images[: count - start], labels[: count - start].astype(np.int32)


class EdgeCollage(cache.Prepared):
    """The data set EdgeCollage32, a Source."""

    def facts(self, data: Data) -> Facts:
        shape = CHANNELS, data.collage_size, data.collage_size
        classes = data.collage_classes
        return Facts(data.collage_images, data.collage_val_images, shape, classes, families(classes))

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        data = experiment.data
        return {
            "dataset": data.dataset,
            "collage_class": data.collage_class,
            "collage_size": data.collage_size,
            "collage_classes": data.collage_classes,
            "collage_images": data.collage_images,
            "collage_val_images": data.collage_val_images,
            "collage_seed": data.collage_seed,
        }

    def entry_name(self, data: Data) -> str:
        return f"EdgeCollage32-{data.collage_class}"

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        data, facts = experiment.data, self.facts(experiment.data)
        kind = f"{data.collage_size} x {data.collage_size} pixels, {data.collage_classes} classes"
        report(f"Making {data.collage_images} + {data.collage_val_images} images of EdgeCollage32, {kind}")
        training, validation = (
            blocks(data.collage_class, count, data.collage_seed, split, data.collage_size, data.collage_classes)
            for split, count in zip(Split, (data.collage_images, data.collage_val_images), strict=True)
        )
        cache.write_splits(folder, CHANNELS * data.collage_size**2, training, validation)
        source = f"EdgeCollage32, collage_class {data.collage_class}, collage_seed {data.collage_seed}, {kind}"
        return cache.Description(source, facts.shape, facts.classes, class_names(facts.classes))
