"""The figures of both papers, one module each: `python -m postprocess.figures NAME RUN_DIR [RUN_DIR ...]`.

A figure is a module pb_N or redman_N of this package, called pb-N or redman-N on the command line, or one of those
that are in the papers without such a number (OTHERS), `table-1` and `movies`. It has

    a docstring     what the paper shows, and the choices made where its text leaves them open; its first line, a title
    ROLES           dict[str, str], in order: a role and the input file whose run takes it, {} if no run is needed
    draw            (runs: Mapping[str, Sequence[RunDirectory]], options: base.Options) -> (Figure, dict): the figure,
                    and the numbers that it shows, by panel; they are written beside the picture as JSON
    MOVIE           only of a figure that moves, True: draw gives an animation.Movie in place of the Figure

FIGURES says which module a name stands for. Another module can be added to it, see docs/extending.md.
"""

import pkgutil
import re
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from sifting.base import extensions
from sifting.errors import InputError

_MODULE = re.compile(r"(?:pb|redman)_\d+")
OTHERS = ("table-1", "movies")


def _in_order(name: str) -> tuple[str, int]:
    paper, number = name.split("-")
    return paper, int(number)


_modules = (module.name for module in pkgutil.iter_modules(__path__))
_numbered = sorted((name.replace("_", "-") for name in _modules if _MODULE.fullmatch(name)), key=_in_order)
FIGURES: dict[str, str] = {name: f"{__name__}.{name.replace('-', '_')}" for name in (*_numbered, *OTHERS)}
extensions.load()  # may add to them


def figure_module(name: str) -> ModuleType:
    """The module of a figure, imported when it is first asked for.

    Raises:
        InputError: there is no such figure; or it is one of an extension, and no module or not as said above.
    """
    if name not in FIGURES:
        raise InputError(f"{name!r} is not a figure; accepted: {', '.join(FIGURES)}")
    path = FIGURES[name]
    where = f"{extensions.NAME}.py: FIGURES[{name!r}]"
    if not isinstance(path, str):
        raise InputError(f"{where} is {path!r}; accepted: the name of a module, such as 'widths_figure'")
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        if f"{path}.".startswith(f"{error.name}."):  # else it is one that the figure imports
            accepted = "the name of a module in this folder or on PYTHONPATH, without .py"
            raise InputError(f"{where} = {path!r}: there is no module {error.name}; accepted: {accepted}") from None
        raise
    roles = getattr(module, "ROLES", None)
    named = isinstance(roles, Mapping) and all(isinstance(text, str) for pair in roles.items() for text in pair)
    if not (named and (module.__doc__ or "").strip() and callable(getattr(module, "draw", None))):
        accepted = "a module with a docstring, ROLES, such as {'imp': 'inputs/quickstart.in'}, and draw(runs, options)"
        raise InputError(f"{where} = {path!r}: accepted: {accepted}")
    return module


def all_figures() -> tuple[dict[str, ModuleType], list[str]]:
    """The modules of all figures by name, and one line for each that is refused."""
    modules, refused = {}, []
    for name in FIGURES:
        try:
            modules[name] = figure_module(name)
        except InputError as error:
            refused.append(f"{name}: {error}")
    return modules, refused


def title(module: ModuleType) -> str:
    """The first line of a figure's docstring."""
    return (module.__doc__ or "").strip().splitlines()[0]
