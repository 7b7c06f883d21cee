"""Prepared images on disk: made once, afterwards opened in seconds as memory maps.

An entry is a folder NAME-HASH with five arrays and `entry.json`, which says what the images are, what they depend on,
and the checksums of the arrays. The hash covers all that they depend on, so an entry never goes stale: another seed, or
a file that changed, is another entry. An entry appears under its name only when it is whole. Any entry can be deleted
at any time; it will be made again.
"""

import hashlib
import json
import os
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sifting.base import checksums
from sifting.base.files import sync
from sifting.base.locks import Holder, waited_for
from sifting.datasets.image_set import ImageSet
from sifting.datasets.source import Report, Source
from sifting.errors import DataError
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data

FORMAT = 3  # to be raised whenever the same identity would give other files

ARRAYS = ("images", "labels", "val_images", "val_labels", "mean")
MAPPED = ("images", "val_images")


@dataclass(frozen=True)
class Description:
    """The fields of an ImageSet that are not arrays."""

    source: str
    shape: tuple[int, int, int]
    classes: int
    class_names: tuple[str, ...] = ()


class Prepared(Source):
    """A Source whose images are made once; `facts`, `identity` and these two say what they are."""

    @abstractmethod
    def entry_name(self, data: Data) -> str:
        """The readable part of the entry's name."""

    @abstractmethod
    def make(self, experiment: Experiment, folder: Path, report: Report) -> Description:
        """As image_set asks for it."""

    def load(self, experiment: Experiment, report: Report) -> ImageSet:
        def make(folder: Path) -> Description:
            return self.make(experiment, folder, report)

        name = self.entry_name(experiment.data)
        return image_set(experiment.cache_folder, name, self.identity(experiment), make, report)


def image_set(
    folder: Path, name: str, identity: Mapping[str, Any], make: Callable[[Path], Description], report: Report
) -> ImageSet:
    """Open an entry; if it is not there, make it first.

    Args:
        folder: the cache folder, created if missing.
        name: the readable part of the entry's name.
        identity: JSON values, all that the images depend on.
        make: writes images.npy, labels.npy, val_images.npy, val_labels.npy into the folder it is given, and mean.npy,
            unless it is the mean image of the training images.
        report: called when another process is already making the entry, which is then waited for.

    Returns:
        ImageSet whose images are read-only memory maps.

    Raises:
        DataError: the entry is damaged, or cannot be written (no permission, disk full); then nothing partial is left.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, identity], sort_keys=True).encode()).hexdigest()[:12]
    entry = folder / f"{name}-{digest}"
    try:
        if not entry.exists():
            folder.mkdir(parents=True, exist_ok=True)

            def wait(holder: Holder) -> None:
                report(f"Waiting for another process that prepares {entry.name} ({holder})")

            with waited_for(entry.with_name(entry.name + ".lock"), wait):
                if not entry.exists():
                    _make(entry, identity, make)
    except OSError as error:
        raise DataError(
            f"{entry}: cannot be written ({error.strerror or error}); "
            "accepted as [IO] cache_dir: a writable folder with room"
        ) from None
    return open_entry(entry)


def _make(entry: Path, identity: Mapping[str, Any], make: Callable[[Path], Description]) -> None:
    """Fill a neighbouring folder, flush it to disk, and rename it to `entry`."""
    partial = entry.with_name(entry.name + ".partial")  # a fixed name: what a killed process left is removed here
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        description = make(partial)
        if not (partial / "mean.npy").exists():
            np.save(partial / "mean.npy", mean_image(partial / "images.npy"))
        sums = {name: checksums.of_file(partial / f"{name}.npy") for name in ARRAYS}
        record = {**vars(description), "identity": identity, "format": FORMAT, "checksums": sums}
        (partial / "entry.json").write_text(json.dumps(record, indent=2) + "\n")
        for path in [*partial.iterdir(), partial]:
            sync(path)
        os.replace(partial, entry)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(entry.parent)


def open_entry(entry: Path) -> ImageSet:
    """Raises DataError: it is damaged; those of earlier versions have no checksums."""
    try:
        record = json.loads((entry / "entry.json").read_text())
        for name, checksum in record.get("checksums", {}).items():
            if checksums.of_file(entry / f"{name}.npy") != checksum:
                raise ValueError
        arrays = {
            name: np.load(entry / f"{name}.npy", mmap_mode="r" if name in MAPPED else None, allow_pickle=False)
            for name in ARRAYS
        }
        return ImageSet(
            **arrays,
            shape=tuple(record["shape"]),
            classes=record["classes"],
            source=record["source"],
            class_names=tuple(record["class_names"]),
        )
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError):
        raise DataError(f"{entry}: is damaged; remove this folder, and it will be made again") from None


def stamps(paths: Iterable[Path]) -> list[list[Any]]:
    """Names, sizes and times of source files, for an identity.

    Raises:
        DataError: a file is not there any more.
    """
    try:
        return [[path.name, (status := path.stat()).st_size, status.st_mtime_ns] for path in paths]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None


# --- writing image arrays ------------------------------------------------------------------------------------------


Blocks = Iterable[tuple[np.ndarray, np.ndarray]]  # uint8 [any number, columns] and their labels, one after the other


def write_splits(folder: Path, columns: int, training: Blocks, validation: Blocks) -> None:
    """Write images and labels of an entry, block by block.

    Args:
        columns: length of an image.

    Raises:
        OSError: as write does.
    """
    for prefix, blocks in (("", training), ("val_", validation)):
        labels = [np.zeros(0, np.int32)]
        write_rows(folder / f"{prefix}images.npy", columns, _images(blocks, labels))
        np.save(folder / f"{prefix}labels.npy", np.concatenate(labels, dtype=np.int32))


def _images(blocks: Blocks, labels: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Block by block; their labels are appended to `labels`."""
    for images, block_labels in blocks:
        labels.append(block_labels)
        yield images
        del images  # so that it is not kept while the next one is loaded


def mean_image(path: Path) -> NDArray[np.float32]:
    """The mean of the rows that write_rows wrote: float32 [columns], rounded from float64; sums are exact."""
    mapped: np.memmap = np.load(path, mmap_mode="r")
    rows, columns = mapped.shape
    total = np.zeros(columns, dtype=np.int64)
    with open(path, "rb") as file:  # what is read through the map would count as memory of this process
        file.seek(mapped.offset)
        for start in range(0, rows, 4096):
            block = np.fromfile(file, np.uint8, min(4096, rows - start) * columns)
            total += block.reshape(-1, columns).sum(axis=0, dtype=np.int64)
    return np.asarray(total / rows, np.float32)


def write_rows(path: Path, columns: int, blocks: Iterable[np.ndarray]) -> None:
    """Write an .npy file block by block, for arrays larger than memory, or of a length that is not known beforehand.

    Plain writes, because a full disk is an OSError for them, but a fatal signal for a memory map.

    Args:
        path: the file.
        columns: length of a row.
        blocks: uint8 [any number, columns] each, written one below the other.

    Raises:
        OSError: as write does.
    """
    rows = 0
    with open(path, "wb") as file:
        start = _write_header(file, (rows, columns))
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
            rows += len(block)
            del block  # so that it is not kept while the next one is loaded
        file.seek(0)
        if _write_header(file, (rows, columns)) != start:
            raise AssertionError("the header of an .npy file of bytes has a fixed length")


def _write_header(file: BinaryIO, shape: tuple[int, int]) -> int:
    """Returns the position behind the header, 128 for all shapes of up to 10**9 rows and columns."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()


def create_rows(path: Path, rows: int, columns: int) -> np.memmap:
    """A writable memory map, uint8 [rows, columns], all zero, whose space on disk is taken already.

    Raises:
        OSError: as write does.
    """
    zeros = np.zeros((min(rows, 4096), columns), dtype=np.uint8)
    write_rows(path, columns, (zeros[: rows - start] for start in range(0, rows, 4096)))
    mapped: np.memmap = np.load(path, mmap_mode="r+")
    return mapped
