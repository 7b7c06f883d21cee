"""What tables say of a round: one number each, among them those of the user's extension, see docs/extending.md."""

from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import numpy as np

from postprocess.command_line import decimal
from postprocess.locality import locality_index
from postprocess.receptive_field import rf_width
from postprocess.seeds import best_accuracy
from sifting.base import extensions
from sifting.errors import InputError
from sifting.network.rounds import Round, connected_fraction, density


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

    def measured(self, result: Round) -> float:
        """Raises InputError: `value` of an extension gives no number."""
        value = self.value(result)
        if not isinstance(value, Real | np.ndarray) or np.ndim(value):
            given = extensions.described(value)
            raise InputError(f"{extensions.NAME}.py: {self.title!r} gives {given}; accepted: a number, nan included")
        return float(value)


def _of_images(measure: Callable[..., float]) -> Callable[[Round], float]:
    """Of the mask of a first layer that looks at images; nan for others."""
    return lambda result: measure(result.masks[0].W, shape=shape) if (shape := result.image_shape) else np.nan


OBSERVABLES = {
    "density": Observable("u [%]", lambda result: density(result.masks, result.specs), 100),
    "accuracy": Observable("best acc. [%]", best_accuracy, 100),
    "connected": Observable("connected [%]", lambda result: connected_fraction(result.masks, result.specs), 100, 1),
    "locality": Observable("L3", _of_images(locality_index)),
    "rf_width": Observable("RF width [px]", _of_images(rf_width)),
}


def observables() -> dict[str, Observable]:
    """Those above and the user's. Raises InputError: one of them is none."""
    extensions.load()
    for name, entry in OBSERVABLES.items():
        if not isinstance(entry, Observable):
            accepted = "an Observable of postprocess.observables"
            raise InputError(f"{extensions.NAME}.py: OBSERVABLES[{name!r}] is {entry!r}; accepted: {accepted}")
    return OBSERVABLES
