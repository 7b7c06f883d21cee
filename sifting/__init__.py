"""How pruning finds structure in neural networks: a TensorFlow 2 / Keras 3 port of SiftingFeatures.

Importing this package settles the Keras backend (tensorflow), without importing Keras.
"""

import os
import sys

__version__ = "0.1.0"


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


_settle_backend()
