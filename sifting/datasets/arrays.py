"""Images in memory: kept as an .npz file, so that a run can be continued, analysed and trained in another process."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from sifting.base.files import atomic_write
from sifting.errors import DataError, one_line

FIELDS = (("images", "labels"), ("val_images", "val_labels"))
ACCEPTED = "(x, y) or ((x, y), (x_val, y_val)), each pair two arrays or a tf.data.Dataset of images and labels"


def stored(images: Any, folder: Path) -> Path:
    """An .npz file of these images in the folder, named by its content; it is written unless it is there.

    Args:
        images: (x, y) or ((x, y), (x_val, y_val)), arrays as datasets.npz has them; a pair can also be a finite
            tf.data.Dataset of images and labels, in batches or one by one.

    Raises:
        DataError: something else; the file cannot be written.
    """
    splits = [images] if _is_split(images) else images
    if not isinstance(splits, (list, tuple)) or len(splits) not in (1, 2) or not all(map(_is_split, splits)):
        raise DataError(f"images = an object of class {type(images).__name__}; accepted: {ACCEPTED}")
    fields: dict[str, np.ndarray] = {}
    for names, split in zip(FIELDS, splits, strict=False):
        x, y = _arrays(split)
        if y.dtype.kind == "O":  # such as of pandas, which may hold numbers
            with contextlib.suppress(ValueError):  # lists of several lengths
                y = np.array(y.tolist())
        if y.dtype.kind in "SO":
            y = np.array([value.decode() if isinstance(value, bytes) else str(value) for value in y.ravel()])
        fields |= zip(names, (np.ascontiguousarray(x), y), strict=True)
    if any(values.dtype.kind not in "buifU" for values in fields.values()):
        raise DataError(f"images = arrays of {', '.join(str(v.dtype) for v in fields.values())}; accepted: numbers")
    digest = hashlib.sha256()
    for name, values in fields.items():
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode() + values.tobytes())
    path = folder / f"images-{digest.hexdigest()[:12]}.npz"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                np.savez(file, **fields)  # type: ignore[arg-type]  # numpy declares them bool, for allow_pickle
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({one_line(error)}); accepted: a folder with room") from None
    return path


def _is_split(images: Any) -> bool:
    """Whether it is a tf.data.Dataset, or a pair of arrays and not of pairs."""
    pair = isinstance(images, (tuple, list)) and len(images) == 2
    return hasattr(images, "element_spec") or (pair and hasattr(images[0], "shape"))


def _arrays(split: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    if not hasattr(split, "element_spec"):
        return np.asarray(split[0]), np.asarray(split[1])
    spec = split.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2 or not all(hasattr(one, "shape") for one in spec):
        raise DataError(f"images = a tf.data.Dataset of {spec}; accepted: of pairs of images and labels")
    if int(split.cardinality()) == -1:
        raise DataError("images = a tf.data.Dataset without end; accepted: one without repeat")
    x, y = (one.shape for one in spec)
    one_hot = y.rank == 1 and spec[1].dtype.is_floating  # of one image, which may be as high as there are classes
    batched = x.rank == 4 or (x.rank == 3 and bool(y.rank) and x[0] == y[0] and not one_hot)
    join = np.concatenate if batched else np.stack
    parts = list(zip(*split.as_numpy_iterator(), strict=True))
    if not parts:
        raise DataError("images = a tf.data.Dataset without images; accepted: one with some")
    try:
        images, labels = (join([np.asarray(part) for part in of_kind]) for of_kind in parts)
    except ValueError as error:
        raise DataError(f"images = a tf.data.Dataset of several shapes ({one_line(error)}); accepted: of one") from None
    return images, labels
