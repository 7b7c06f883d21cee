"""Drivers: each sequences train, score, mask, rewind for one method section of the input file."""

from collections.abc import Callable

from sifting.drivers import cavity, imp, initialisation, layer_by_layer, oneshot
from sifting.methods import Method, Scored
from sifting.session import Session

DRIVERS: dict[str, Callable[[Session], None]] = {
    "IMP": imp.run,
    "OneShot": oneshot.run,
    "SNIP": initialisation.run_snip,
    "SynFlow": initialisation.run_synflow,
    "Random": initialisation.run_random,
    "LayerByLayer": layer_by_layer.run,
    "GraSP": initialisation.run_grasp,
    "Cavity": cavity.run,
}


def driver_of(method: Method) -> Callable[[Session], None]:
    """That of its section, or of all methods with a score of their own."""
    return initialisation.run_scored if isinstance(method, Scored) else DRIVERS[method.name]
