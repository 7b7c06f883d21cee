"""Recordings: npz files of named arrays whose `meta`, in JSON, says what they are."""

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sifting.errors import DataError

_NOT_READABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Recording:
    """One file: `arrays` by the names that it uses, `meta` says what they are."""

    path: Path
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def kind(self) -> str:
        return str(self.meta["kind"])

    def array(self, name: str, shape: Sequence[int | None] | None = None) -> np.ndarray:
        """One array of numbers.

        Args:
            shape: that it must have; None in it stands for any size.

        Raises:
            DataError: it is missing, not made of numbers, or of another shape.
        """
        if name not in self.arrays:
            raise self.refusal(f"has no {name}")
        values = self.arrays[name]
        if values.dtype.kind not in "biuf":
            raise self.refusal(f"{name} is of type {values.dtype}; accepted: numbers")
        if shape is not None and not (
            len(shape) == values.ndim
            and all(size in (None, found) for size, found in zip(shape, values.shape, strict=True))
        ):
            accepted = ", ".join("any" if size is None else str(size) for size in shape)
            raise self.refusal(f"{name} has shape {list(values.shape)}; accepted: [{accepted}]")
        return values

    def described(self, name: str) -> Any:
        """One entry of `meta`. Raises DataError: it is missing."""
        if name not in self.meta:
            raise self.refusal(f"meta has no {name}")
        return self.meta[name]

    def refusal(self, what: str) -> DataError:
        """The one line that says what is wrong with the file."""
        return DataError(f"{self.path}: is not a complete recording of kind {self.kind}: {what}")


def load_recording(path: str | Path, kinds: Sequence[str]) -> Recording:
    """Read a file.

    Args:
        kinds: what is accepted.

    Raises:
        DataError: it cannot be read, or is no recording, or of another kind.
    """
    accepted = f"kind {' or '.join(kinds)}"
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        meta = json.loads(str(arrays.pop("meta")))
        if not isinstance(meta["kind"], str):
            raise ValueError("kind")
    except _NOT_READABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not an npz file with `meta`"
        raise DataError(f"{path}: is not a recording ({reason}); accepted: an npz file of {accepted}") from None
    if meta["kind"] not in kinds:
        raise DataError(f"{path}: is a recording of kind '{meta['kind']}'; accepted: {accepted}")
    return Recording(Path(path), meta, arrays)


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """max|a - b| / max|b|; two zero tensors agree, and nothing agrees with one of another shape."""
    if np.shape(ours) != np.shape(theirs):
        return float("inf")
    difference, size = np.max(np.abs(ours - theirs)), np.max(np.abs(theirs))
    if difference == 0:
        return 0.0
    return float(difference / size) if size > 0 else float("inf")


def not_compared(names: Sequence[str]) -> None:
    """Say which arrays a recording has besides."""
    if names:
        print(f"not compared: {', '.join(names)}")


def verdict(failures: Sequence[str]) -> bool:
    """Print whether a replay agrees, and if not, why; whether it does."""
    print("DISAGREES: " + "; ".join(failures) if failures else "agrees", end="\n\n")
    return not failures
