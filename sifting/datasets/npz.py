"""`dataset = npz`: a user's own images in one .npz file, as numpy.savez writes it.

    images, val_images  [n, height, width] or [n, height, width, channels]: whole numbers 0 ... 255, or floats in
                        0 ... 1 or 0 ... 255
    labels, val_labels  [n] or [n, 1] whole numbers 0 ... K-1, [n] strings, or [n, K] one-hot; each class has a training
                        image
    class_names         optional: K strings
    mean                optional: the mean image that is subtracted, as an image; else that of `images`

Keras's names and MedMNIST's will do, too, see TRAINING and VALIDATION. Images are read in pieces, so that they may be
larger than the memory.
"""

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sifting.datasets import cache
from sifting.datasets.source import Facts, Report
from sifting.errors import DataError, one_line
from sifting.experiment.experiment import Experiment
from sifting.experiment.sections import Data
from sifting.network.plates import Shape

# Names of images and of their labels. Of several validation sets the first one counts; without one, every tenth
# training image of each class is for validation.
TRAINING = {"images": "labels", "train_images": "train_labels", "x_train": "y_train"}
VALIDATION = {"val_images": "val_labels", "x_val": "y_val", "test_images": "test_labels", "x_test": "y_test"}
OPTIONAL = ("class_names", "mean")
ACCEPTED = (
    f"images, labels, val_images, val_labels, or x_train, y_train, x_test, y_test, and optionally {', '.join(OPTIONAL)}"
)
HELD_OUT = 10  # one image of so many is for validation
BLOCK = 2000  # images


class Header(NamedTuple):
    """What an .npy file says of its array."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype


class Split(NamedTuple):
    """Some of the images of a file.

    field: their name in it; rows: which, bool [all images of the field]; labels: int32 [images of the split].
    """

    field: str
    rows: NDArray[np.bool_]
    labels: NDArray[np.int32]


class Given(NamedTuple):
    """Images as they are given: the name of their field, that of their labels, number of images, labels."""

    field: str
    label_field: str
    total: int
    labels: np.ndarray


@dataclass(frozen=True)
class Contents:
    """All of a file but its images.

    Attributes:
        shape: of the images, (channels, height, width).
        training, validation: its two splits.
        classes: K.
        class_names: K names, or none.
        mean: float32 [channels * height * width], channel-major, or None.
    """

    shape: Shape
    training: Split
    validation: Split
    classes: int
    class_names: tuple[str, ...]
    mean: np.ndarray | None


def read_contents(path: Path) -> Contents:
    """Read and check all but the images, of which only shapes and dtypes are looked at.

    Raises:
        DataError: missing, damaged, or not what the module's docstring says.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; [Data] dataloc must be an .npz file of {ACCEPTED}")
    image_fields = TRAINING | VALIDATION
    try:
        with zipfile.ZipFile(path) as archive:
            fields = {name.removesuffix(".npy") for name in archive.namelist()}
            headers = {name: _header(archive, name) for name in image_fields if name in fields}
        known = {*image_fields.values(), *OPTIONAL}
        with np.load(path, allow_pickle=False) as file:
            small = {name: file[name] for name in fields & known}
    except Exception as error:  # a damaged zip can raise nearly anything
        raise _damaged(path, error) from None
    paired = all((images in fields) == (labels in fields) for images, labels in image_fields.items())
    training = [name for name in TRAINING if name in fields]
    if not paired or len(training) != 1 or not fields <= {*image_fields, *known}:
        raise DataError(f"{path}: holds {', '.join(sorted(fields))[:100] or 'nothing'}; accepted: {ACCEPTED}")
    used = training + [name for name in VALIDATION if name in fields][:1]
    shapes = {name: _image_shape(path, name, headers[name]) for name in used}
    if len(set(shapes.values())) > 1:
        described = " and ".join(f"{name} are {' x '.join(map(str, shape))}" for name, shape in shapes.items())
        raise DataError(f"{path}: {described}; accepted: one shape (channels x height x width)")
    if len({headers[name].dtype.kind in "bf" for name in used}) > 1:
        described = " and ".join(f"{name} of {headers[name].dtype}" for name in used)
        raise DataError(f"{path}: has {described}; accepted: whole numbers or floats in both")
    given = [Given(name, image_fields[name], headers[name].shape[0], small[image_fields[name]]) for name in used]
    names = _check_names(path, small.get("class_names"))
    mean = _check_mean(path, small["mean"], headers[used[0]].shape[1:]) if "mean" in small else None
    return Contents(shapes[used[0]], *splits(path, given, names), mean)


def splits(
    where: Path | str, given: list[Given], names: tuple[str, ...] = ()
) -> tuple[Split, Split, int, tuple[str, ...]]:
    """Training and validation split, K, and the names of the classes, if there are any.

    Args:
        where: what a refusal begins with.
        given: the training images, and those for validation, if there are any; else every tenth is for validation.
        names: of the classes, if they are known.

    Raises:
        DataError: labels that are not what the module's docstring says.
    """
    labels = [_check_labels(where, one) for one in given]
    labels, names = _numbered(where, given, labels, names)
    classes = len(names) or max(2, int(max(values.max(initial=0) for values in labels)) + 1)
    for one, values in zip(given, labels, strict=True):
        outside = values[(values < 0) | (values >= classes)]
        if len(outside):
            raise DataError(f"{where}: {one.label_field} has the label {outside[0]}; accepted: 0 ... {classes - 1}")
    _check_classes(where, labels[0], classes, names)
    held_out = _held_out(labels[0]) if len(given) == 1 else np.zeros(len(labels[0]), bool)
    rows = held_out if len(given) == 1 else np.ones(len(labels[-1]), bool)
    training = Split(given[0].field, ~held_out, labels[0][~held_out])
    validation = Split(given[-1].field, rows, labels[-1][rows])
    if not len(validation.labels):
        raise DataError(f"{where}: has no validation images, and fewer than {HELD_OUT} of each class; accepted: more")
    return training, validation, classes, names


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    with archive.open(f"{name}.npy") as file:
        return _read_header(file)


def _read_header(file: IO[bytes]) -> Header:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"an array is stored in version {version} of the format")
    return Header(*readers[version](file))


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: is not an .npz file of plain arrays, or is damaged ({one_line(error)})")


def _image_shape(path: Path, name: str, header: Header) -> Shape:
    """Channels, height, width."""
    shape, fortran_order, dtype = header
    accepted = "numbers [n, height, width] or [n, height, width, channels]"
    if dtype.kind not in "buif" or len(shape) not in (3, 4) or not all(shape):
        raise DataError(f"{path}: {name} is an array of {dtype} {shape}; accepted: {accepted}")
    if len(shape) == 4 and shape[1] <= 4 < min(shape[2:]):
        raise DataError(f"{path}: {name} is an array {shape}; accepted: {accepted}, channels last (numpy.moveaxis)")
    if fortran_order and shape[0] > 1:
        raise DataError(f"{path}: {name} is stored in Fortran order; accepted: C order (numpy.ascontiguousarray)")
    return (shape[3] if len(shape) == 4 else 1), shape[1], shape[2]


def _check_labels(where: Path | str, given: Given) -> np.ndarray:
    """[n] whole numbers or strings."""
    name, field, count, labels = given
    accepted = "[n] whole numbers or strings, or one-hot [n, K]"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    one_hot = labels.ndim == 2 and labels.dtype.kind in "buif" and np.isin(labels, (0, 1)).all()
    if one_hot and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(f"{where}: {field} is an array of {labels.dtype} {labels.shape}; accepted: {accepted}")
    if len(labels) != count:
        raise DataError(f"{where}: has {count} {name} but {len(labels)} {field}; accepted: one label for each image")
    return labels


def _numbered(
    where: Path | str, given: list[Given], labels: list[np.ndarray], names: tuple[str, ...]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels as int32, and names of the classes; strings are numbered as the names stand, or sorted as text."""
    if len({values.dtype.kind == "U" for values in labels}) > 1:
        raise DataError(f"{where}: has numbers and strings as labels; accepted: one of them")
    if labels[0].dtype.kind != "U":
        return [np.clip(values, -1, 2**31 - 1).astype(np.int32) for values in labels], names
    names = names or tuple(map(str, np.unique(labels[0])))
    places = {name: place for place, name in enumerate(names)}
    for one, values in zip(given, labels, strict=True):
        if unknown := set(np.unique(values).tolist()) - set(names):
            accepted = ", ".join(names)[:200]
            raise DataError(f"{where}: {one.label_field} has the label {min(unknown)!r}; accepted: {accepted}")
    return [np.array([places[str(value)] for value in values], np.int32) for values in labels], names


def _held_out(labels: np.ndarray) -> NDArray[np.bool_]:
    """Every tenth image of each class."""
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        held_out[np.flatnonzero(labels == label)[HELD_OUT - 1 :: HELD_OUT]] = True
    return held_out


def _check_classes(where: Path | str, labels: np.ndarray, classes: int, names: tuple[str, ...]) -> None:
    present = np.unique(labels)
    if classes < 2 or len(present) < classes:
        missing = next((label for label, there in enumerate(present) if label != there), len(present))
        shown = names[missing] if missing < len(names) else missing
        raise DataError(
            f"{where}: has no training image of class {shown}; accepted: labels 0 ... K-1, K >= 2, each at least once"
        )


def _check_names(path: Path, names: np.ndarray | None) -> tuple[str, ...]:
    if names is None:
        return ()
    if names.dtype.kind != "U" or names.ndim != 1 or not len(names):
        raise DataError(f"{path}: class_names is an array of {names.dtype} {names.shape}; accepted: [K] strings")
    return tuple(map(str, names))


def _check_mean(path: Path, mean: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Args: shape: of the images in the file."""
    if mean.dtype.kind not in "fiu" or mean.shape != shape or not np.isfinite(mean).all():
        raise DataError(
            f"{path}: mean is an array of {mean.dtype} {mean.shape}, or is not finite; accepted: {list(shape)}, "
            "finite numbers"
        )
    return _channel_major(mean[None]).ravel().astype(np.float32)


def _channel_major(images: np.ndarray) -> np.ndarray:
    """[n, channels * height * width] from [n, height, width] or [n, height, width, channels]."""
    planes = np.moveaxis(images, 3, 1) if images.ndim == 4 else images
    return planes.reshape(len(images), math.prod(images.shape[1:]))


def _pieces(path: Path, name: str) -> Iterator[np.ndarray]:
    """The images of a field as they are stored, a block in memory at a time.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            (count, *shape), _, dtype = _read_header(file)
            image_bytes = math.prod(shape) * dtype.itemsize
            for start in range(0, count, BLOCK):
                content = file.read(min(BLOCK, count - start) * image_bytes)
                yield np.frombuffer(content, dtype).reshape(min(BLOCK, count - start), *shape)
            if file.read(1):  # at its end, the archive also compares checksums
                raise ValueError(f"{name} is longer than its header says")
    except Exception as error:
        raise _damaged(path, error) from None


def blocks(path: Path, split: Split, factor: float = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The images of a split with their labels, a block in memory at a time.

    Args:
        factor: from `brightness`.

    Yields:
        uint8 [n, channels * height * width], channel-major, and int32 [n].

    Raises:
        DataError: the file is damaged.
    """
    start = done = 0
    for piece in _pieces(path, split.field):
        images = piece[split.rows[start : start + len(piece)]]
        start += len(piece)
        if images.dtype != np.uint8:
            images = np.rint(factor * images.astype(np.float64)).astype(np.uint8)
        yield _channel_major(images), split.labels[done : done + len(images)]
        done += len(images)


def brightness(name: str, pieces: Iterator[np.ndarray]) -> float:
    """What makes pixels 0 ... 255 of them: 255 for floats, or booleans, of 0 ... 1, else 1.

    Raises:
        DataError: values that are not finite, or beyond 0 ... 255, or a little beyond 0 ... 1.
    """
    accepted = "accepted: 0 ... 1 or 0 ... 255, no nan"
    low, high, kind = np.inf, -np.inf, "u"
    for piece in pieces:
        kind = piece.dtype.kind
        if piece.dtype == np.uint8:
            return 1
        low, high = float(np.minimum(low, piece.min())), float(np.maximum(high, piece.max()))
        if not (low >= 0 and high <= 255):  # nan is neither
            raise DataError(f"{name} has values from {low:g} to {high:g}; {accepted}")
    if kind == "f" and 1 < high < 2:  # such as of an interpolation
        raise DataError(f"{name} has values from {low:g} to {high:.9g}; {accepted}")
    return 255 if kind in "bf" and high <= 1 else 1


class Npz(cache.Prepared):
    """The data set npz, a Source."""

    def facts(self, data: Data) -> Facts:
        contents = read_contents(_path(data))
        counts = len(contents.training.labels), len(contents.validation.labels)
        return Facts(*counts, contents.shape, contents.classes)

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        data = experiment.data
        return {"dataset": data.dataset, "files": cache.stamps([_path(data)])}

    def entry_name(self, data: Data) -> str:
        return "npz"

    def make(self, experiment: Experiment, folder: Path, report: Report) -> cache.Description:
        path = _path(experiment.data)
        contents = read_contents(path)
        report(f"Preparing the images of {path}, once; later runs take seconds")
        splits = contents.training, contents.validation
        factors = {name: brightness(f"{path}: {name}", _pieces(path, name)) for name in {one.field for one in splits}}
        factor = min(factors.values())  # of both, where the validation images alone are as dark as 0 ... 1
        if factor < factors[contents.training.field]:
            names = " and ".join(one.field for one in splits)
            raise DataError(f"{path}: {names} have values of 0 ... 1 and of more; accepted: one range")
        columns = math.prod(contents.shape)
        training, validation = (blocks(path, split, factor) for split in splits)
        cache.write_splits(folder, columns, training, validation)
        if contents.mean is not None:
            np.save(folder / "mean.npy", factor * contents.mean)
        text = f"{path}, mean image {'of its training images' if contents.mean is None else 'as given'}"
        if contents.validation.field == contents.training.field:
            text += f", every {HELD_OUT}th one of a class for validation"
        return cache.Description(text, contents.shape, contents.classes, contents.class_names)


def _path(data: Data) -> Path:
    return Path(data.dataloc).expanduser()
