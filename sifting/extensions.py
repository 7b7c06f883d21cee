"""Methods, data sets and figures of your own: a module sifting_extensions, imported if there is one.

It is looked for in the folder where a command is started, and where Python looks for modules, PYTHONPATH first. It adds
to methods.METHODS, datasets.DATASETS and postprocess.figures.FIGURES; see docs/extending.md.
"""

import functools
import importlib
import importlib.util
import sys
from pathlib import Path

NAME = "sifting_extensions"


@functools.cache
def load() -> None:
    """Import it, once. Input files and figures may call this while it is being imported."""
    here = str(Path.cwd())
    if here not in sys.path and Path(f"{NAME}.py").exists():  # sifting-run; `python -m` looks here by itself
        sys.path.append(here)
    if importlib.util.find_spec(NAME) is not None:
        importlib.import_module(NAME)
