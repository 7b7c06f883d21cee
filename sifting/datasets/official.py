"""Image sets that were published as a few files, each a pickle, or an .npz file of the same name, of a dict:

    data    uint8 [n, 3*S*S], red, green, blue plane, each row by row
    labels  n whole numbers
    mean    [3*S*S], the mean image; only some sets have it, in their training files

The same images may also come from TensorFlow Datasets, in another order and without a mean image.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sifting.base import pickles
from sifting.datasets import cache, tfds
from sifting.datasets.semantic import SemanticClasses
from sifting.datasets.source import Facts, Report
from sifting.errors import DataError, one_line
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data

INSTEAD = (
    "without them, run on the embedded images: add inputs/small.in behind the input file, or "
    "--set Data.dataset=EdgeCollage32"
)


class Batch(NamedTuple):
    """One file.

    Attributes:
        images: uint8 [n, 3*S*S].
        labels: int32 [n], 0 <= label < number of classes.
        mean: float32 [3*S*S], or None if the file has none.
    """

    images: np.ndarray
    labels: np.ndarray
    mean: np.ndarray | None


def read_batch(path: Path, size: int, accepted_labels: range, with_mean: bool = False) -> Batch:
    """Read and check one file, pickle or .npz.

    Args:
        path: the file.
        size: S.
        accepted_labels: the labels as the files have them; the first one is class 0.
        with_mean: whether the file must hold the mean image.

    Raises:
        DataError: missing, damaged, or not what the module's docstring says.
    """
    content = _read_npz(path) if path.suffix == ".npz" else pickles.load_pickle(path, encoding="latin1")
    wanted = ("data", "labels", "mean") if with_mean else ("data", "labels")
    if not isinstance(content, dict) or not all(name in content for name in wanted):
        found = ", ".join(sorted(map(str, content)))[:100] if isinstance(content, dict) else type(content).__name__
        hint = " (validation files have no mean)" if with_mean else ""
        raise DataError(f"{path}: holds {found or 'nothing'}; accepted: {', '.join(wanted)}{hint}")
    images = _check_images(path, content["data"], size)
    labels = _check_labels(path, content["labels"], len(images), accepted_labels)
    return Batch(images, labels, _check_mean(path, content["mean"], images.shape[1]) if "mean" in content else None)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in ("data", "labels", "mean") if name in file.files}
    except Exception as error:  # a damaged zip can raise nearly anything
        reason = one_line(error)
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


def _check_labels(path: Path, labels: Any, count: int, accepted: range) -> NDArray[np.int32]:
    span = f"{accepted[0]} ... {accepted[-1]}"
    try:
        labels = np.asarray(labels)
    except ValueError:  # nested lists of unequal length
        raise DataError(f"{path}: labels are {_kind(labels)}; accepted: whole numbers {span}") from None
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"{path}: labels are {labels.dtype} {labels.shape}; accepted: a list of whole numbers")
    if len(labels) != count:
        raise DataError(f"{path}: has {count} images but {len(labels)} labels; accepted: one label for each image")
    outside = labels[(labels < accepted[0]) | (labels > accepted[-1])]
    if len(outside):
        raise DataError(f"{path}: has the label {outside[0]}; accepted: {span}")
    numbered: NDArray[np.int32] = labels.astype(np.int32) - np.int32(accepted[0])
    return numbered


def _check_mean(path: Path, mean: Any, columns: int) -> np.ndarray:
    if not isinstance(mean, np.ndarray) or mean.dtype.kind not in "fiu":
        raise DataError(f"{path}: mean is {_kind(mean)}; accepted: an array of numbers")
    if mean.shape != (columns,) or not np.isfinite(mean).all():
        raise DataError(f"{path}: mean has the shape {mean.shape}, or is not finite; accepted: [{columns}], finite")
    return mean.astype(np.float32)


def _kind(value: Any) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


@dataclass(frozen=True)
class Official(cache.Prepared):
    """A published set, a Source: its official files or, with `dataloc = tfds`, what TensorFlow Datasets made of them.

    Attributes:
        name: as [Data] dataset has it.
        size: S.
        labels: those in the files; the first one is class 0.
        train_images, val_images: numbers of images in all files.
        training_files: names, in order; missing ones at the end are accepted. All but the last have the same length.
        validation_file: name.
        has_mean: whether the first training file holds the mean image; else that of all training images is computed.
        origin: where the files are from, for whoever does not have them.
        prepared_name: of the data set in TFDS, whose labels are our classes.
        prepared_validation: the TFDS split that holds the validation images.
        class_names: one a class.
        semantic: super-classes, if there are any.
    """

    name: str
    size: int
    labels: range
    train_images: int
    val_images: int
    training_files: tuple[str, ...]
    validation_file: str
    has_mean: bool
    origin: str
    prepared_name: str
    prepared_validation: str
    class_names: tuple[str, ...] = ()
    semantic: SemanticClasses | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return 3, self.size, self.size

    def facts(self, data: Data) -> Facts:
        return Facts(self.train_images, self.val_images, self.shape, len(self.labels), self.semantic)

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        folder = self._prepared(experiment)
        if folder:
            return {"dataset": self.name, "tfds": self.prepared_name, "files": cache.stamps(tfds.files(folder))}
        training, validation = self._files(experiment)
        return {"dataset": self.name, "files": cache.stamps([*training, validation])}

    def entry_name(self, data: Data) -> str:
        return self.name

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        prepared, dataloc = self._prepared(experiment), experiment.data.dataloc
        report(f"Preparing {self.name} from {prepared or dataloc}, once; later runs take seconds")
        if prepared:
            source = f"{self.prepared_name}:{prepared.name} of TensorFlow Datasets in {prepared}"
            mean = ", mean image of its training images"
            names = "train", self.prepared_validation
            splits = [tfds.blocks(prepared, name, self.size, len(self.labels)) for name in names]
        else:
            training, validation = self._files(experiment)
            source = f"{len(training)} of {len(self.training_files)} official training files in {dataloc}"
            mean = "" if self.has_mean else ", mean image of their images"
            splits = [self._blocks(folder, training), self._blocks(folder, [validation], True)]
        cache.write_splits(folder, 3 * self.size**2, *splits)
        return cache.Description(f"{self.name}, {source}{mean}", self.shape, len(self.labels), self.class_names)

    def _prepared(self, experiment: Experiment) -> Path | None:
        """The folder of the TFDS data set, if dataloc asks for TFDS. Raises DataError if it is not there."""
        data_dir = tfds.data_dir(experiment.data.dataloc)
        return tfds.find(self.prepared_name, data_dir, INSTEAD) if data_dir else None

    # --- the files -------------------------------------------------------------------------------------------------

    def _files(self, experiment: Experiment) -> tuple[list[Path], Path]:
        """Training files, in order, and validation file.

        Raises:
            DataError: the folder, the first training file, one between others, or the validation file is missing.
        """
        folder = Path(experiment.data.dataloc).expanduser()
        if not os.path.isdir(folder):
            raise self._missing(f"{folder}: no such folder")
        found = [_find(folder, name) for name in self.training_files]
        while len(found) > 1 and found[-1] is None:
            found.pop()
        validation = _find(folder, self.validation_file)
        paths = []
        for name, path in [*zip(self.training_files, found, strict=False), (self.validation_file, validation)]:
            if not path:
                raise self._missing(f"{folder / name}: no such file")
            paths.append(path)
        return paths[:-1], paths[-1]

    def _missing(self, what: str) -> DataError:
        return DataError(
            f"{what}; [Data] dataloc must hold {self.training_files[0]} ... {self.training_files[-1]} and "
            f"{self.validation_file} of {self.name} ({self.origin}); {INSTEAD}"
        )

    def _blocks(
        self, entry: Path, paths: list[Path], is_validation: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images and labels, one file in memory at a time; writes the mean image if the first training file has it."""
        for path in paths:
            with_mean = self.has_mean and not is_validation and path == paths[0]
            batch = read_batch(path, self.size, self.labels, with_mean)
            self._check_role(path, batch, is_validation)
            if with_mean and batch.mean is not None:
                np.save(entry / "mean.npy", batch.mean)
            yield batch.images, batch.labels
            del batch  # so that it is not kept while the next one is loaded

    def _check_role(self, path: Path, batch: Batch, is_validation: bool) -> None:
        """Refuse the validation file in place of a training file, and the other way round.

        Raises:
            DataError: the mean image and the number of images tell that this is so.
        """
        if not self.has_mean:
            return
        usual = self.train_images // len(self.training_files)
        last = self.train_images - usual * (len(self.training_files) - 1)
        if is_validation and batch.mean is not None and len(batch.images) in (usual, last):
            raise DataError(
                f"{path}: has {len(batch.images)} images and a mean, as a training file; accepted: {self.val_images} "
                "validation images"
            )
        if not is_validation and batch.mean is None and len(batch.images) == self.val_images:
            raise DataError(
                f"{path}: has {len(batch.images)} images and no mean, as {self.validation_file}; "
                "accepted: a training file"
            )


def _find(folder: Path, name: str) -> Path | None:
    """The pickle or, if there is none, the .npz file."""
    return next((path for path in (folder / name, folder / f"{name}.npz") if os.path.isfile(path)), None)
