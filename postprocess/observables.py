"""What tables say of a round: one number each, among them those of the user's extension, see docs/extending.md."""

from collections.abc import Callable

import numpy as np

from postprocess.locality import locality_index
from postprocess.receptive_field import rf_width
from postprocess.seeds import best_accuracy
from sifting.network.observables import OBSERVABLES as OBSERVABLES
from sifting.network.observables import Observable as Observable
from sifting.network.observables import own_observables
from sifting.network.rounds import Round, connected_fraction, density


def _of_images(measure: Callable[..., float]) -> Callable[[Round], float]:
    """Of the mask of a first layer that looks at images; nan for others."""
    return lambda result: measure(result.masks[0].W, shape=shape) if (shape := result.image_shape) else np.nan


BUILT_IN = {
    "density": Observable("u [%]", lambda result: density(result.masks, result.specs), 100),
    "accuracy": Observable("best acc. [%]", best_accuracy, 100),
    "connected": Observable("connected [%]", lambda result: connected_fraction(result.masks, result.specs), 100, 1),
    "locality": Observable("L3", _of_images(locality_index)),
    "rf_width": Observable("RF width [px]", _of_images(rf_width)),
}


def observables() -> dict[str, Observable]:
    """Those above and the user's. Raises InputError: one of them is none."""
    return BUILT_IN | own_observables()
