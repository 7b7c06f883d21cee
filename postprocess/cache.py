"""Arrays on disk, keyed by what they were computed from."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from postprocess.command_line import output_file

_DEPENDS = "depends_on"


def cached(
    path: Path, depends: Mapping[str, Any], compute: Callable[[], Mapping[str, np.ndarray]]
) -> tuple[dict[str, np.ndarray], bool]:
    """The arrays in the npz file `path` if they were computed from the same things; else they are computed and stored.

    Args:
        depends: what the arrays follow from, as JSON can write it.
        compute: gives them.

    Returns:
        The arrays by name, and whether they came from the file. A file that is damaged counts as not there.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    key = json.dumps(depends, sort_keys=True)
    found = stored_arrays(path)
    if found is not None and found.pop(_DEPENDS, None) == key:
        return found, True
    arrays = {name: np.asarray(values) for name, values in compute().items()}
    with output_file(path) as file:
        everything: dict[str, Any] = {**arrays, _DEPENDS: np.array(key)}
        np.savez(file, **everything)
    return arrays, False


def stored_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of an npz file by name, also what they depend on; None for one that is damaged or not there."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
