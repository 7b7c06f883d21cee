"""How pruning finds structure in neural networks: a TensorFlow 2 / Keras 3 port of SiftingFeatures.

Importing this package settles the Keras backend (tensorflow), without importing Keras; and once Keras is imported,
before or after, it knows the package's layers, so that keras.models.load_model loads exported networks. For notebooks:
load_experiment, run_experiment, open_run, see sifting.api.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sifting.api import Run as Run
    from sifting.api import load_experiment as load_experiment
    from sifting.api import open_run as open_run
    from sifting.api import run_experiment as run_experiment

__version__ = "0.1.0"
__all__ = ["Run", "load_experiment", "open_run", "run_experiment"]


def __getattr__(name: str) -> Any:
    """The Python interface, imported when it is first used: importing the package alone takes milliseconds."""
    if name not in __all__:
        raise AttributeError(f"module 'sifting' has no attribute {name!r}")
    return getattr(importlib.import_module("sifting.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _settle_backend() -> None:
    chosen = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "keras" in sys.modules:
        chosen = sys.modules["keras"].config.backend()
    if chosen == "tensorflow":
        return
    line = f"sifting: Keras backend '{chosen}' (KERAS_BACKEND, or imported before): accepted: tensorflow"
    if sys.argv[:1] == ["-m"]:  # `python -m sifting.run`, still importing the package: refuse like any other input
        print(line, file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(line)


class _WhenKerasIsImported(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Waits for `import keras`, lets the usual finders do it, and has sifting.layers register its layers then."""

    _aside = False  # while the other finders are asked
    _loader: importlib.abc.Loader

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "keras" or self._aside:
            return None
        self._aside = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._aside = False
        if spec is not None and spec.loader is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        sys.meta_path.remove(self)  # only now: find_spec is also called by those who just ask where Keras is
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        importlib.import_module("sifting.layers")


_settle_backend()
if "keras" in sys.modules:
    importlib.import_module("sifting.layers")
else:
    sys.meta_path.insert(0, _WhenKerasIsImported())
