"""The official files of downsampled ImageNet (Chrabaszcz et al. 2017, image-net.org).

`train_data_batch_1` ... `train_data_batch_10` and `val_data` are pickles, or .npz files of the same names, of a dict:

    data    uint8 [n, 3*S*S], red, green, blue plane, each row by row
    labels  n whole numbers 1 ... 1000 in the order of ILSVRC2012_ID; the class is c = label - 1
    mean    [3*S*S], in the training files; that of the first one is subtracted from all images
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sifting import inputs, run_directory
from sifting.datasets import cache
from sifting.datasets.image_set import ImageSet
from sifting.datasets.source import Facts, Report
from sifting.errors import DataError

TRAIN_IMAGES = 1_281_167
VAL_IMAGES = 50_000
CLASSES = 1000
BATCHES = 10


class Batch(NamedTuple):
    """One file.

    Attributes:
        images: uint8 [n, 3*S*S].
        labels: int32 [n], 0 ... 999.
        mean: float32 [3*S*S], or None if it was not asked for.
    """

    images: np.ndarray
    labels: np.ndarray
    mean: np.ndarray | None


def read_batch(path: Path, size: int, with_mean: bool = False) -> Batch:
    """Read and check one official file, pickle or .npz.

    Args:
        path: the file.
        size: S.
        with_mean: whether the file must hold the mean image.

    Raises:
        DataError: missing, damaged, or not what the module's docstring says.
    """
    content = _read_npz(path) if path.suffix == ".npz" else run_directory.load_pickle(path, encoding="latin1")
    wanted = ("data", "labels", "mean") if with_mean else ("data", "labels")
    if not isinstance(content, dict) or not all(name in content for name in wanted):
        found = ", ".join(sorted(map(str, content)))[:100] if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{path}: holds {found or 'nothing'}; accepted: {', '.join(wanted)}")
    images = _check_images(path, content["data"], size)
    labels = _check_labels(path, content["labels"], len(images))
    return Batch(images, labels, _check_mean(path, content["mean"], images.shape[1]) if with_mean else None)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in ("data", "labels", "mean") if name in file.files}
    except Exception as error:  # a damaged zip can raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: is not an .npz file of plain arrays, or is damaged ({reason})") from None


def _check_images(path: Path, images: Any, size: int) -> np.ndarray:
    columns = 3 * size * size
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise DataError(f"{path}: data is {_kind(images)}; accepted: an array of uint8")
    if images.ndim != 2 or images.shape[1] != columns:
        raise DataError(f"{path}: data has the shape {images.shape}; accepted: [n, {columns}] for {size}x{size} pixels")
    if not len(images):
        raise DataError(f"{path}: data has no images; accepted: at least one")
    return images


def _check_labels(path: Path, labels: Any, count: int) -> np.ndarray:
    try:
        labels = np.asarray(labels)
    except ValueError:  # nested lists of unequal length
        raise DataError(f"{path}: labels are {_kind(labels)}; accepted: whole numbers 1 ... {CLASSES}") from None
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"{path}: labels are {labels.dtype} {labels.shape}; accepted: a list of whole numbers")
    if len(labels) != count:
        raise DataError(f"{path}: has {count} images but {len(labels)} labels; accepted: one label for each image")
    outside = labels[(labels < 1) | (labels > CLASSES)]
    if len(outside):
        raise DataError(f"{path}: has the label {outside[0]}; accepted: 1 ... {CLASSES}")
    return labels.astype(np.int32) - np.int32(1)


def _check_mean(path: Path, mean: Any, columns: int) -> np.ndarray:
    if not isinstance(mean, np.ndarray) or mean.dtype.kind not in "fiu":
        raise DataError(f"{path}: mean is {_kind(mean)}; accepted: an array of numbers")
    if mean.shape != (columns,) or not np.isfinite(mean).all():
        raise DataError(f"{path}: mean has the shape {mean.shape}, or is not finite; accepted: [{columns}], finite")
    return mean.astype(np.float32)


def _kind(value: Any) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


class ImageNet:
    """The data set ImageNet32 or ImageNet64, a Source."""

    def __init__(self, size: int):
        self.size = size
        self.name = f"ImageNet{size}"

    def facts(self, data: inputs.Data) -> Facts:
        return Facts(TRAIN_IMAGES, VAL_IMAGES, (3, self.size, self.size), CLASSES)

    def identity(self, experiment: inputs.Experiment) -> dict[str, Any]:
        training, validation = self._files(experiment)
        statuses = [(path.name, path.stat()) for path in [*training, validation]]
        return {
            "dataset": self.name,
            "files": [[name, status.st_size, status.st_mtime_ns] for name, status in statuses],
        }

    def load(self, experiment: inputs.Experiment, report: Report) -> ImageSet:
        training, validation = self._files(experiment)
        source = f"{self.name}, {len(training)} of {BATCHES} official training files in {experiment.data.dataloc}"

        def make(folder: Path) -> cache.Description:
            report(f"Preparing {self.name} from {experiment.data.dataloc}, once; later runs take seconds")
            self._write(folder, "", training)
            self._write(folder, "val_", [validation])
            return cache.Description(source, (3, self.size, self.size), CLASSES)

        return cache.image_set(inputs.cache_folder(experiment), self.name, self.identity(experiment), make, report)

    def _files(self, experiment: inputs.Experiment) -> tuple[list[Path], Path]:
        """Training files, in order, and validation file.

        Raises:
            DataError: the folder, the first training file, one between others, or the validation file is missing.
        """
        folder = Path(experiment.data.dataloc).expanduser()
        if not os.path.isdir(folder):
            raise self._missing(f"{folder}: no such folder")
        training = {
            number: path for number in range(1, BATCHES + 1) if (path := _find(folder, f"train_data_batch_{number}"))
        }
        for number in range(1, max(training, default=1) + 1):
            if number not in training:
                raise self._missing(f"{folder / f'train_data_batch_{number}'}: no such file")
        validation = _find(folder, "val_data")
        if not validation:
            raise self._missing(f"{folder / 'val_data'}: no such file")
        return list(training.values()), validation

    def _missing(self, what: str) -> DataError:
        return DataError(
            f"{what}; [Data] dataloc must hold train_data_batch_1 ... train_data_batch_{BATCHES} and val_data of "
            f"{self.name} (the downsampled ImageNet of Chrabaszcz et al. 2017: get its archives for training and "
            "validation at image-net.org and unpack both there); without them, run on the embedded images: "
            "add inputs/small.in behind the input file, or --set Data.dataset=EdgeCollage32"
        )

    def _write(self, folder: Path, prefix: str, paths: list[Path]) -> None:
        """Write images and labels, and the mean image of the first training file; one file in memory at a time."""
        labels = []

        def image_blocks() -> Iterator[np.ndarray]:
            for path in paths:
                batch = read_batch(path, self.size, with_mean=prefix == "" and path is paths[0])
                if batch.mean is not None:
                    np.save(folder / "mean.npy", batch.mean)
                labels.append(batch.labels)
                yield batch.images
                del batch  # so that it is not kept while the next one is loaded

        cache.write_rows(folder / f"{prefix}images.npy", 3 * self.size**2, image_blocks())
        np.save(folder / f"{prefix}labels.npy", np.concatenate(labels))


def _find(folder: Path, name: str) -> Path | None:
    """The pickle or, if there is none, the .npz file."""
    return next((path for path in (folder / name, folder / f"{name}.npz") if os.path.isfile(path)), None)
