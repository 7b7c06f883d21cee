"""Methods, data sets and figures of your own: a module sifting_extensions, imported if there is one.

It is looked for in the folder where a command is started, and where Python looks for modules, PYTHONPATH first. It adds
to methods.METHODS, datasets.DATASETS and postprocess.figures.FIGURES; see docs/extending.md.
"""

import functools
import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np

NAME = "sifting_extensions"


@functools.cache
def load() -> None:
    """Import it, once. Input files and figures may call this while it is being imported."""
    here = str(Path.cwd())
    if here not in sys.path and Path(f"{NAME}.py").exists():  # sifting-run; `python -m` looks here by itself
        sys.path.append(here)
    if importlib.util.find_spec(NAME) is not None:
        importlib.import_module(NAME)


def hint(what: str) -> str:
    """Ends the refusal of a name that may be `what` ("a section") of an extension; empty if there is a module."""
    return "" if NAME in sys.modules else f"; {what} of your own needs its {NAME}.py in this folder or on PYTHONPATH"


def described(value: object) -> str:
    """What an extension gave, for its refusal: an array by its dtype and shape, anything else by its class."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return "None" if value is None else f"an object of class {type(value).__name__}"
