"""`dataset = npz`: a user's own images in one .npz file, as numpy.savez writes it.

    images, val_images  uint8 [n, S, S, 3], red, green, blue, as image libraries give them
    labels, val_labels  n whole numbers 0 ... K-1; each class has a training image
    class_names         optional: K strings
    mean                optional: [S, S, 3], the mean image that is subtracted; else that of `images`

Images are read in pieces, so that they may be larger than the memory.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from sifting.datasets import cache
from sifting.datasets.source import Facts, Report
from sifting.errors import DataError, one_line
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data

REQUIRED = ("images", "labels", "val_images", "val_labels")
OPTIONAL = ("class_names", "mean")
BLOCK = 2000  # images


@dataclass(frozen=True)
class Contents:
    """All of a file but its images.

    Attributes:
        size: S.
        labels, val_labels: int32 [n].
        classes: K.
        class_names: K names, or none.
        mean: float32 [3*S*S], red plane first, or None.
    """

    size: int
    labels: np.ndarray
    val_labels: np.ndarray
    classes: int
    class_names: tuple[str, ...]
    mean: np.ndarray | None


def read_contents(path: Path) -> Contents:
    """Read and check all but the images, of which only shapes and dtypes are looked at.

    Raises:
        DataError: missing, damaged, or not what the module's docstring says.
    """
    accepted = f"{', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}"
    if not path.is_file():
        raise DataError(f"{path}: no such file; [Data] dataloc must be an .npz file of {accepted}")
    try:
        with zipfile.ZipFile(path) as archive:
            fields = {name.removesuffix(".npy") for name in archive.namelist()}
            headers = {name: _header(archive, name) for name in ("images", "val_images") if name in fields}
        with np.load(path, allow_pickle=False) as file:
            small = {name: file[name] for name in fields - headers.keys() if name in REQUIRED + OPTIONAL}
    except Exception as error:  # a damaged zip can raise nearly anything
        raise _damaged(path, error) from None
    if not fields.issuperset(REQUIRED) or not fields.issubset(REQUIRED + OPTIONAL):
        raise DataError(f"{path}: holds {', '.join(sorted(fields))[:100] or 'nothing'}; accepted: {accepted}")
    size, val_size = (_check_images(path, name, *headers[name]) for name in ("images", "val_images"))
    if size != val_size:
        raise DataError(
            f"{path}: images are of {size} x {size} pixels, val_images of {val_size} x {val_size}; accepted: one size"
        )
    labels = _check_labels(path, "labels", small["labels"], headers["images"][0][0])
    val_labels = _check_labels(path, "val_labels", small["val_labels"], headers["val_images"][0][0])
    names = _check_names(path, small.get("class_names"))
    classes = len(names) or max(2, int(max(labels.max(), val_labels.max())) + 1)
    _check_classes(path, labels, val_labels, classes)
    mean = _check_mean(path, small["mean"], size) if "mean" in small else None
    return Contents(size, labels.astype(np.int32), val_labels.astype(np.int32), classes, names, mean)


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    with archive.open(f"{name}.npy") as file:
        return _read_header(file)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran's, and dtype of an .npy file."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"an array is stored in version {version} of the format")
    return readers[version](file)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: is not an .npz file of plain arrays, or is damaged ({one_line(error)})")


def _check_images(path: Path, name: str, shape: tuple[int, ...], fortran_order: bool, dtype: np.dtype) -> int:
    """Returns S."""
    if dtype != np.uint8 or len(shape) != 4 or not shape[1] == shape[2] > 0 or shape[3] != 3 or not shape[0]:
        raise DataError(f"{path}: {name} is an array of {dtype} {shape}; accepted: uint8 [n, S, S, 3]")
    if fortran_order and shape[0] > 1:
        raise DataError(f"{path}: {name} is stored in Fortran order; accepted: C order (numpy.ascontiguousarray)")
    return shape[1]


def _check_labels(path: Path, name: str, labels: np.ndarray, count: int) -> np.ndarray:
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"{path}: {name} is an array of {labels.dtype} {labels.shape}; accepted: [n] whole numbers")
    if len(labels) != count:
        raise DataError(
            f"{path}: has {count} {name.replace('labels', 'images')} but {len(labels)} {name}; accepted: one label "
            "for each image"
        )
    return labels


def _check_classes(path: Path, labels: np.ndarray, val_labels: np.ndarray, classes: int) -> None:
    for name, values in (("labels", labels), ("val_labels", val_labels)):
        outside = values[(values < 0) | (values >= classes)]
        if len(outside):
            raise DataError(f"{path}: {name} has the label {outside[0]}; accepted: 0 ... {classes - 1}")
    present = np.unique(labels)
    if classes < 2 or len(present) < classes:
        missing = next((label for label, there in enumerate(present) if label != there), len(present))
        raise DataError(
            f"{path}: has no training image of class {missing}; accepted: labels 0 ... K-1, K >= 2, each at least once"
        )


def _check_names(path: Path, names: np.ndarray | None) -> tuple[str, ...]:
    if names is None:
        return ()
    if names.dtype.kind != "U" or names.ndim != 1 or not len(names):
        raise DataError(f"{path}: class_names is an array of {names.dtype} {names.shape}; accepted: [K] strings")
    return tuple(map(str, names))


def _check_mean(path: Path, mean: np.ndarray, size: int) -> np.ndarray:
    if mean.dtype.kind not in "fiu" or mean.shape != (size, size, 3) or not np.isfinite(mean).all():
        raise DataError(
            f"{path}: mean is an array of {mean.dtype} {mean.shape}, or is not finite; accepted: [{size}, {size}, 3], "
            "finite numbers"
        )
    return np.moveaxis(mean, 2, 0).ravel().astype(np.float32)


def blocks(path: Path, name: str, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The images of one field with their labels, a block in memory at a time.

    Yields:
        uint8 [n, 3*S*S], red plane first, and int32 [n].

    Raises:
        DataError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            shape, _, _ = _read_header(file)
            image_bytes = int(np.prod(shape[1:]))
            for start in range(0, len(labels), BLOCK):
                count = min(BLOCK, len(labels) - start)
                content = file.read(count * image_bytes)
                images = np.frombuffer(content, np.uint8).reshape(count, *shape[1:])
                yield np.moveaxis(images, 3, 1).reshape(count, image_bytes), labels[start : start + count]
            if file.read(1):  # at its end, the archive also compares checksums
                raise ValueError(f"{name} is longer than its header says")
    except Exception as error:
        raise _damaged(path, error) from None


class Npz(cache.Prepared):
    """The data set npz, a Source."""

    def facts(self, data: Data) -> Facts:
        contents = read_contents(_path(data))
        shape = (3, contents.size, contents.size)
        return Facts(len(contents.labels), len(contents.val_labels), shape, contents.classes)

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        data = experiment.data
        return {"dataset": data.dataset, "files": cache.stamps([_path(data)])}

    def entry_name(self, data: Data) -> str:
        return "npz"

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        path = _path(experiment.data)
        contents = read_contents(path)
        report(f"Preparing the images of {path}, once; later runs take seconds")
        training = blocks(path, "images", contents.labels)
        cache.write_splits(folder, 3 * contents.size**2, training, blocks(path, "val_images", contents.val_labels))
        if contents.mean is not None:
            np.save(folder / "mean.npy", contents.mean)
        text = f"{path}, mean image {'of its training images' if contents.mean is None else 'as given'}"
        return cache.Description(text, (3, contents.size, contents.size), contents.classes, contents.class_names)


def _path(data: Data) -> Path:
    return Path(data.dataloc).expanduser()
