"""Data sets as TensorFlow Datasets (TFDS) prepared them on this disk. They are read; nothing is ever downloaded."""

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sifting.base.quiet import native_messages_hidden
from sifting.errors import DataError, one_line

PREFIX = "tfds"
BLOCK = 2000  # images


def data_dir(dataloc: str) -> Path | None:
    """The TFDS data folder that `tfds` (its default folder) or `tfds:DATA_DIR` means; None for any other dataloc."""
    prefix, _, folder = dataloc.partition(":")
    if prefix != PREFIX:
        return None
    folder = folder or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    return Path(os.path.expanduser(folder))


def find(name: str, root: Path, instead: str) -> Path:
    """The folder of the newest prepared version of a data set.

    Args:
        name: such as "imagenet_resized/32x32".
        root: TFDS data folder.
        instead: what else to do, for the message.

    Raises:
        DataError: there is none; the line says how to prepare it.
    """
    versions = {}
    for info in (root / name).glob("*/dataset_info.json"):
        if re.fullmatch(r"\d+\.\d+\.\d+", info.parent.name):
            versions[tuple(map(int, info.parent.name.split(".")))] = info.parent
    if not versions:
        raise DataError(
            f"{root / name}: no data set prepared by TensorFlow Datasets, and none is downloaded unasked; to download "
            f'and prepare it: python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder('{name}', data_dir='{root}').download_and_prepare()\"; {instead}"
        )
    return versions[max(versions)]


def files(folder: Path) -> list[Path]:
    """All files of a prepared data set, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file())


def blocks(folder: Path, split: str, size: int, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of a prepared data set, in the order of its record files.

    Yields:
        uint8 [n, 3*size*size], red plane first, and int32 [n], 0 <= label < classes.

    Raises:
        DataError: the records are missing or damaged, or hold something else.
    """
    library = import_library()
    try:
        builder = library.builder_from_directory(folder)
        wanted = ((size, size, 3), np.uint8, classes)
        found = _features(builder.info.features)
        if found != wanted:
            raise ValueError(f"images and classes are {found}, not {wanted}")
        # One file after the other: the order depends on nothing but the files.
        in_order = library.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        records = builder.as_dataset(split=split, shuffle_files=False, read_config=in_order)
        for batch in records.batch(BLOCK).as_numpy_iterator():
            images, labels = batch["image"], batch["label"].astype(np.int32)
            if labels.min() < 0 or labels.max() >= classes:
                raise ValueError(f"a label is not 0 ... {classes - 1}")
            yield np.moveaxis(images, 3, 1).reshape(len(images), -1), labels
    except Exception as error:  # TensorFlow's errors, and whatever damaged JSON files lead to
        reason = one_line(error)[:200]
        raise DataError(
            f"{folder}: its split {split!r} cannot be read as TensorFlow Datasets wrote it ({reason})"
        ) from None


def import_library() -> ModuleType:
    """tensorflow_datasets. It takes seconds, and is needed only where images are read."""
    with native_messages_hidden(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what tensorflow_datasets imports in turn
        import tensorflow_datasets

        import sifting.base.compute  # noqa: F401  reading images is the first that TensorFlow does
    library: ModuleType = tensorflow_datasets
    return library


def _features(features: Any) -> tuple[tuple[int | None, ...], Any, int]:
    """Shape and dtype of an image, number of classes."""
    return tuple(features["image"].shape), features["image"].np_dtype, features["label"].num_classes
