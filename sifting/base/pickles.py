"""Pickles of numpy arrays and plain containers: a stranger's file cannot run code, and every numpy can read ours."""

import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sifting.errors import DataError, one_line


class _NumberType:
    """Stands for numpy.dtype in an unpickler. numpy believes a pickle about the flags inside a dtype, and a forged one
    makes it take bytes for pointers; of the pickle's word, only kind, size and byte order are used here."""

    def __init__(self, text: str, *_: object) -> None:
        if not re.fullmatch("[biufcSU][0-9]+", text):
            raise pickle.UnpicklingError(f"it holds an array of {text!r}, which are neither numbers nor text")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array in the making: unpickling calls _reconstruct, then __setstate__."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, number_type, fortran_order, values = state
        super().__setstate__((version, shape, number_type.dtype, fortran_order, values))


def _reconstruct(*_: object) -> np.ndarray:
    return _Array(0)


def _scalar(number_type: _NumberType, value: bytes) -> np.generic:
    scalar: np.generic = np.frombuffer(value, number_type.dtype, count=1)[0]
    return scalar


def _frombuffer(
    buffer: bytes, number_type: _NumberType, shape: tuple[int, ...], order: Literal["C", "F"], *_: object
) -> np.ndarray:
    """How protocol 5 spells arrays."""
    return np.frombuffer(bytearray(buffer), number_type.dtype).reshape(shape, order=order)


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 pickles of protocol <= 2 spell bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not admitted")
    return text.encode("latin1")


_ADMITTED = {
    "numpy.ndarray": "what _reconstruct makes",  # its first argument; not to be called
    "numpy.dtype": _NumberType,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _latin1,
}


class _NumpyUnpickler(pickle.Unpickler):
    """Admits numpy arrays and scalars inside plain containers, so that a stranger's file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}".replace("numpy._core.", "numpy.core.")  # numpy moved its core in version 2
        if full_name not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is neither a numpy array nor a plain container"
            )
        return _ADMITTED[full_name]


def _finished(content: Any) -> Any:
    """Plain containers and arrays, without _Array."""
    if isinstance(content, dict):
        return {key: _finished(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(map(_finished, content))
    return content.view(np.ndarray) if isinstance(content, _Array) else content


def load_pickle(path: Path, encoding: str = "ASCII") -> Any:
    """Unpickle a file of numpy arrays and plain containers; nothing else is admitted, no code is run.

    Raises:
        DataError: one line: missing, unreadable, truncated, or naming anything else.
    """
    try:
        with open(path, "rb") as file:
            return _finished(_NumpyUnpickler(file, encoding=encoding).load())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None
    except MemoryError:
        raise DataError(f"{path}: damaged, or larger than the memory") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path}: is not a pickle of numpy arrays, or is damaged ({one_line(error)})") from None


def dump_pickle(content: Any) -> bytes:
    """Pickle with names that every numpy resolves: `numpy.core`, which numpy 2 itself spells `numpy._core`.

    Protocol 3, the last one without frames, so that replacing a name of another length is safe.
    """
    raw = pickle.dumps(content, protocol=3)
    pieces, start = [], 0
    for opcode, argument, position in pickletools.genops(raw):
        if opcode.name == "GLOBAL" and isinstance(argument, str) and argument.startswith("numpy._core."):
            assert position is not None  # of an opcode in bytes
            module, name = argument.split(" ")
            written = f"c{module}\n{name}\n".encode()
            pieces += [raw[start:position], written.replace(b"numpy._core", b"numpy.core")]
            start = position + len(written)
    return b"".join([*pieces, raw[start:]])
