"""Methods, data sets and figures of your own: a module sifting_extensions, imported if there is one.

It is looked for where Python looks for modules: in the folder where a command is started, then on PYTHONPATH. It adds
to methods.METHODS, datasets.DATASETS and postprocess.figures.FIGURES; see docs/extending.md.
"""

import functools
import importlib
import importlib.util

NAME = "sifting_extensions"


@functools.cache
def load() -> None:
    """Import it, once. Input files and figures may call this while it is being imported."""
    if importlib.util.find_spec(NAME) is not None:
        importlib.import_module(NAME)
