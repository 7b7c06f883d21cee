"""Class maps: from the classes of a data set to those that a network learns."""

import os

import numpy as np

from sifting.inputs import Reclass


def class_map(reclass: Reclass, classes: int) -> np.ndarray:
    """The new class of each class.

    Args:
        reclass: the rule, see inputs.Reclass. "f" reads its file.
        classes: number of classes of the data set.

    Returns:
        int32 [classes], values 0 ... K-1.

    Raises:
        ValueError: the map does not fit; the text says what is accepted.
    """
    if reclass.rule == "n":
        return np.arange(classes, dtype=np.int32)
    if reclass.classes > classes:
        raise ValueError(f"K <= {classes}, the number of classes of the data set")
    if reclass.rule == "m":
        return np.arange(classes, dtype=np.int32) % np.int32(reclass.classes)
    return parse_class_ids(_read(reclass.file), reclass.classes, classes, reclass.file)


def parse_class_ids(text: str, new_classes: int, classes: int, name: str) -> np.ndarray:
    """Comma-separated ids 0 ... new_classes-1, one for each of `classes` classes; `name` is for the messages.

    A comma may follow the last id, and lines may be broken after a comma.

    Returns:
        int32 [classes].

    Raises:
        ValueError: as class_map.
    """
    entries = [entry.strip() for entry in text.strip().removesuffix(",").split(",")]
    for position, entry in enumerate(entries):
        if not (entry.isascii() and entry.isdigit() and int(entry) < new_classes):
            raise ValueError(
                f"a file of comma-separated whole numbers 0 ... {new_classes - 1}; "
                f"{name} has {entry[:20]!r} at position {position}"
            )
    if len(entries) != classes:
        raise ValueError(f"a file with one id for each of the {classes} classes; {name} has {len(entries)}")
    return np.array([int(entry) for entry in entries], dtype=np.int32)


def _read(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"a file that can be read; {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"a text file of comma-separated class ids; {path} is not text") from None
