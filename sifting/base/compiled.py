"""Loops over arrays, compiled by numba."""

from typing import Any

from numba import njit


def compiled(function: Any, **options: Any) -> Any:
    """Compile on the first call; kept on disk, but where no folder can be written to."""
    try:
        return njit(function, nogil=True, error_model="numpy", cache=True, **options)
    except RuntimeError:
        return njit(function, nogil=True, error_model="numpy", **options)
