"""The user's observables: numbers of a round, columns of all tables and records, see docs/extending.md."""

import functools
import re
import sys
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from sifting.base import extensions
from sifting.errors import InputError, one_line
from sifting.network.rounds import Round

# By name: an Observable, or a function of a round, which gives a number.
OBSERVABLES: dict[str, Any] = {}

# Columns of the history, see runs.history, and what would be several ones.
_NO_NAME = re.compile(
    r'round|step|((mean_)?training|validation)_error|density(_\d+)?|connected_\d+|.*[,"\r\n].*', re.DOTALL
)


def decimal(value: float | None, digits: int = 2) -> str:
    """A number of a table; '-' for what is not defined, and no sign before a zero."""
    return "-" if value is None or not np.isfinite(value) else f"{round(float(value), digits) + 0.0:.{digits}f}"


class Observable(NamedTuple):
    """A column of tables.

    Attributes:
        title: short, so that a line over several seeds fits into 79 characters.
        value: of a round; nan where it is not defined.
        factor, digits: a cell shows factor * value with so many digits behind the point.
    """

    title: str
    value: Callable[[Round], float]
    factor: float = 1
    digits: int = 2

    def cell(self, mean: float | None, sd: float | None = None) -> str:
        """Such as '93.25', or '93.25 \u00b1 0.41' over several runs; '-' for what is not defined."""
        shown = [decimal(None if value is None else self.factor * value, self.digits) for value in (mean, sd)]
        return shown[0] if shown[1] == "-" else " \u00b1 ".join(shown)

    def measured(self, result: Round, run: object) -> float:
        """The value, or nan and one line on stderr where an extension raises, or gives no number."""
        try:
            value = self.value(result)
            if isinstance(value, Real | np.ndarray) and not np.ndim(value):
                return float(value)
            problem = f"gives {extensions.described(value)}; accepted: a number, nan included"
        except Exception as error:  # the user's code can raise anything
            problem = f"raises {type(error).__name__}: {one_line(error)}"
        name = next((name for name, entry in OBSERVABLES.items() if entry in (self, self.value)), self.title)
        _say(f"sifting: {run}, round {result.number}: OBSERVABLES[{name!r}] {problem}")
        return float("nan")


@functools.cache  # once, though records and tables ask for the value
def _say(line: str) -> None:
    print(line, file=sys.stderr)


def own_observables() -> dict[str, Observable]:
    """Those of the user's. Raises InputError: one of them is none, or its name is taken."""
    extensions.load()
    found = {}
    for name, entry in OBSERVABLES.items():
        if not isinstance(entry, Observable) and not callable(entry):
            accepted = "a function of a round, or an Observable of postprocess.observables"
            raise InputError(f"{extensions.NAME}.py: OBSERVABLES[{name!r}] is {entry!r}; accepted: {accepted}")
        if not isinstance(name, str) or _NO_NAME.fullmatch(name):
            accepted = "a name that no column of PREFIX_history.csv has, without commas, quotes and ends of lines"
            raise InputError(f"{extensions.NAME}.py: OBSERVABLES[{name!r}]: accepted: {accepted}")
        found[name] = entry if isinstance(entry, Observable) else Observable(name, entry)
    return found


def own_values(result: Round, run: object) -> Mapping[str, float]:
    """Of a round of a run, by name."""
    return {name: entry.measured(result, run) for name, entry in own_observables().items()}
