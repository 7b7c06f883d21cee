"""Class maps: from the classes of a data set to those that a network learns."""

import os
from collections.abc import Callable

import numpy as np

from sifting.datasets.semantic import SemanticClasses
from sifting.errors import not_utf8
from sifting.experiment.sections import NAMED_CLASSES, Reclass

HALF_RANDOM_KEY = 2022  # Philox keys of the random choices in 5semantic5random
PARTIAL_KEY = 2023  # and in partial_semantic


def class_map(reclass: Reclass, classes: int, semantic: SemanticClasses | None = None) -> np.ndarray:
    """The new class of each class.

    Args:
        reclass: the rule, see experiment.sections.Reclass. "f" reads its file.
        classes: number of classes of the data set.
        semantic: their super-classes, from which the named maps are made; None if the data set has none.

    Returns:
        int32 [classes], values 0 ... K-1.

    Raises:
        ValueError: the map does not fit; the text says what is accepted.
    """
    if reclass.rule == "n":
        return np.arange(classes, dtype=np.int32)
    if reclass.rule in NAMED_MAPS:
        if semantic is None:
            raise ValueError(
                f"n, or m,K, or f,K,FILE for these {classes} classes; named maps need super-classes, as ImageNet and "
                "EdgeCollage32 with collage_classes = 100 have them"
            )
        return NAMED_MAPS[reclass.rule](np.array(semantic.members, dtype=np.int32))
    if reclass.classes > classes:
        raise ValueError(f"K <= {classes}, the number of classes of the data set")
    if reclass.rule == "m":
        return np.arange(classes, dtype=np.int32) % np.int32(reclass.classes)
    return parse_class_ids(_read(reclass.file), reclass.classes, classes, reclass.file)


def class_names(reclass: Reclass, names: tuple[str, ...], semantic: SemanticClasses | None) -> tuple[str, ...]:
    """The names of the new classes, where they have any; `names` are those of the data set."""
    if reclass.rule == "n":
        return names
    return semantic.names if reclass.rule == "semantic" and semantic else ()


def half_random(semantic: np.ndarray) -> np.ndarray:
    """Super-classes 0 ... 4 as they are; the other classes in a random order, dealt in turn to 5 ... 9.

    "5 semantic/5 random" of Pellegrini & Biroli 2022, C.2.

    Args:
        semantic: int32 [classes], the super-classes, 0 ... 9.

    Returns:
        int32 [classes], 0 ... 9.
    """
    first = NAMED_CLASSES // 2
    others = _shuffle(np.flatnonzero(semantic >= first), np.random.Philox(key=HALF_RANDOM_KEY))
    result = semantic.copy()
    result[others] = first + np.arange(len(others)) % (NAMED_CLASSES - first)
    return result


def partial_semantic(semantic: np.ndarray) -> np.ndarray:
    """Each super-class keeps a random half of its classes, rounded down; all others are dealt at random.

    Sizes stay as they are, and a class may be dealt to where it came from. "Partial semantic" of Pellegrini & Biroli
    2022, C.2. Arguments and result as half_random.
    """
    bits = np.random.Philox(key=PARTIAL_KEY)
    members = [_shuffle(np.flatnonzero(semantic == number), bits) for number in range(NAMED_CLASSES)]
    others = np.concatenate([group[len(group) // 2 :] for group in members])
    result = semantic.copy()
    result[_shuffle(others, bits)] = semantic[others]
    return result


NAMED_MAPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "semantic": lambda semantic: semantic,
    "random": lambda semantic: np.arange(len(semantic), dtype=np.int32) % np.int32(NAMED_CLASSES),
    "5semantic5random": half_random,
    "partial_semantic": partial_semantic,
}


def _shuffle(values: np.ndarray, bits: np.random.Philox) -> np.ndarray:
    """In the order of raw random words, which numpy promises to be the same everywhere and for ever."""
    return values[np.argsort(bits.random_raw(len(values)), kind="stable")]


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
    except UnicodeDecodeError as error:
        raise ValueError(f"a text file of comma-separated class ids; {path}: {not_utf8(error)}") from None
