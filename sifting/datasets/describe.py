"""What an experiment trains on: printed by --describe."""

import math

import numpy as np

from sifting.datasets.image_set import ImageSet

WIDTH = 120  # characters
BAR = 30
FEW = 40  # classes, for which there is one line each, with a bar
COLOURS = ("red", "green", "blue")


def describe(images: ImageSet) -> str:
    """Source, shape, pixels, and how many images each class has, for training and for validation."""
    channels, height, width = images.shape
    means, deviations = pixel_moments(images)
    names = COLOURS if channels == len(COLOURS) else [f"channel {channel}" for channel in range(channels)]
    pixels = [f"{name} {m:.1f} +- {d:.1f}" for name, m, d in zip(names, means, deviations, strict=True)]
    counts = np.bincount(images.labels, minlength=images.classes)
    val_counts = np.bincount(images.val_labels, minlength=images.classes)
    lines = [
        f"source     {images.source}",
        f"images     {len(images.images):,} for training, {len(images.val_images):,} for validation, "
        f"{channels} x {height} x {width}, {images.classes:,} classes",
        f"pixels     mean +- standard deviation of the training images: {', '.join(pixels)}",
        f"classes    {counts.min():,} to {counts.max():,} training images, {val_counts.min():,} to "
        f"{val_counts.max():,} validation images",
        "",
    ]
    return "\n".join([*lines, *class_table(counts, val_counts, images.class_names)])


def pixel_moments(images: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of all pixels of each channel of the training images: float64 [channels] each.

    Pixels without a source, in rotated images, do not count.
    """
    channels = images.shape[0]
    sums, squares = np.zeros((2, channels), dtype=np.int64)
    for start in range(0, len(images.images), 4096):
        block = images.images[start : start + 4096].reshape(-1, channels, images.images.shape[1] // channels)
        sums += block.sum(axis=(0, 2), dtype=np.int64)
        squares += np.multiply(block, block, dtype=np.uint16).sum(axis=(0, 2), dtype=np.int64)
    values = images.images.shape[1] if images.valid is None else np.count_nonzero(images.valid)
    count = len(images.images) * values // channels
    means = sums / count
    return means, np.sqrt(np.maximum(squares / count - means**2, 0))


def class_table(counts: np.ndarray, val_counts: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """A histogram of the labels: few classes have a line each, with a bar; many stand side by side, read downwards."""
    few = len(counts) <= FEW
    bars = ["#" * round(BAR * count / counts.max()) for count in counts] if few else [""] * len(counts)
    shown = [name if name.isprintable() else ascii(name) for name in names] or [""] * len(counts)
    columns = [
        ["class", *map(str, range(len(counts)))],
        ["training", *(f"{count:,}" for count in counts)],
        ["validation", *(f"{count:,}" for count in val_counts)],
    ]
    widths = [max(map(len, column)) for column in columns]
    aligned = [[cell.rjust(width) for cell in column] for column, width in zip(columns, widths, strict=True)]
    cells = ["  ".join(row) for row in zip(*aligned, strict=True)]
    texts = ["name" if names else "", *shown]
    if few:
        texts = [f"{bar:{BAR}}  {text}" for bar, text in zip(["", *bars], texts, strict=True)]
    cells = [f"{cell}  {text}".rstrip() for cell, text in zip(cells, texts, strict=True)]
    return cells if few else _side_by_side(cells[0], cells[1:])


def _side_by_side(header: str, cells: list[str]) -> list[str]:
    """As many columns as fit, each under the header."""
    width = max(map(len, [header, *cells]))
    columns = max(1, (WIDTH + 4) // (width + 4))
    rows = math.ceil(len(cells) / columns)
    lines = [[header] * math.ceil(len(cells) / rows), *(cells[row::rows] for row in range(rows))]
    return ["    ".join(cell.ljust(width) for cell in line).rstrip() for line in lines]
