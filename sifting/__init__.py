"""How pruning finds structure in neural networks: a TensorFlow 2 / Keras 3 port of SiftingFeatures.

Importing this package settles the Keras backend (tensorflow), without importing Keras. For notebooks: load_experiment,
run_experiment, run_experiments, open_run, see training.api. `import sifting.layers` lets keras.models.load_model load
exported networks.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sifting.keras_models import prune as prune
    from sifting.training.api import Run as Run
    from sifting.training.api import load_experiment as load_experiment
    from sifting.training.api import open_run as open_run
    from sifting.training.api import run_experiment as run_experiment
    from sifting.training.api import run_experiments as run_experiments

__version__ = "0.1.0"
__all__ = ["Run", "load_experiment", "open_run", "prune", "run_experiment", "run_experiments"]


def __getattr__(name: str) -> Any:
    """The Python interface, imported when it is first used: importing the package alone takes milliseconds."""
    if name not in __all__:
        raise AttributeError(f"module 'sifting' has no attribute {name!r}")
    module = "sifting.keras_models" if name == "prune" else "sifting.training.api"
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _check_backend() -> None:
    chosen = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "keras" in sys.modules:
        chosen = sys.modules["keras"].config.backend()
    if chosen == "tensorflow":
        return
    line = f"sifting: Keras backend '{chosen}' (KERAS_BACKEND, or imported before): accepted: tensorflow"
    # `python -m sifting.run`, still importing the package, or `sifting run`: refuse like any other input
    if sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0]) == "sifting":
        print(line, file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(line)


_check_backend()
