"""Importing TensorFlow: without its start-up messages, which it writes past Python's logging, and in less time."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from sifting.base.signals import held_back


@contextlib.contextmanager
def native_messages_hidden() -> Iterator[None]:
    """Keep what C++ libraries write to stderr while the body imports them; if the body raises, show it after all.

    Nothing is kept where the user has set TF_CPP_MIN_LOG_LEVEL: that asks for TensorFlow's own messages. Signals wait
    until the body is done. So does the collector of garbage: of a million new objects, which it would visit again and
    again, nearly all stay.
    """
    shown = "TF_CPP_MIN_LOG_LEVEL" in os.environ
    with held_back(), _garbage_kept(), _extras_hidden(), contextlib.nullcontext() if shown else _stderr_kept():
        yield


@contextlib.contextmanager
def _extras_hidden() -> Iterator[None]:
    """In commands, Keras does not find what it imports for its wrappers of scikit-learn and plots: a second less."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    command = spec is not None and spec.name.split(".")[0] in ("sifting", "postprocess")
    hidden = [name for name in ("sklearn", "matplotlib") if command and name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))  # None: an import of it fails
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]


@contextlib.contextmanager
def _garbage_kept() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _stderr_kept() -> Iterator[None]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(saved, hidden.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
