"""What TensorFlow sees of this machine: `python -m sifting.run --devices`."""

import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sifting import __version__

HELP = "https://www.tensorflow.org/install/pip"
NVIDIA_SMI = ["nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
MODULE = Path("/proc/driver/nvidia/version")  # of the driver in the kernel

# Of what TensorFlow writes as it starts: what tells why there is no GPU.
TELLING = re.compile(r"cuInit|dlopen|cuda drivers|kernel driver|skipping registering GPU", re.IGNORECASE)
LOG_PREFIX = re.compile(r"^.*?\b\w+\.cc:\d+\] ")


def describe() -> str:
    """The report. Takes seconds: TensorFlow starts."""
    return report(ask_tensorflow(), *ask_driver(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def report(tensorflow: Mapping[str, Any], driver: str, cards: list[str], visible: str | None) -> str:
    """Facts, one a line.

    Args:
        tensorflow: from ask_tensorflow.
        driver, cards: from ask_driver.
        visible: CUDA_VISIBLE_DEVICES, if it is set.
    """
    gpus = tensorflow.get("gpus", [])
    lines = [
        ("sifting", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("TensorFlow", tensorflow["text"]),
        ("driver", f"NVIDIA {driver}" if driver else "no NVIDIA driver"),
        *(("card", card) for card in cards),
        *([] if visible is None else [("visible", f"CUDA_VISIBLE_DEVICES={visible}")]),
        *(("GPU", f"{number}: {gpu}") for number, gpu in enumerate(gpus)),
    ]
    if not gpus:
        lines.append(("GPU", "none; runs train on the CPU" if "gpus" in tensorflow else "none"))
        lines += [("TF says", line) for line in tensorflow["said"]]
        lines.append(("help", HELP))
    return "\n".join(f"{name:11s} {text}" for name, text in lines)


def ask_driver() -> tuple[str, list[str]]:
    """Version of the NVIDIA driver, empty if there is none, and its cards, by name and memory: all of them, whatever
    CUDA_VISIBLE_DEVICES says. The cards are known to nvidia-smi alone."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        answer = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=60)
        if answer.returncode == 0 and answer.stdout:
            rows = [line.split(", ", 1) for line in answer.stdout.splitlines()]
            return rows[0][0], [card for _, card in rows]
    with contextlib.suppress(OSError):
        version = re.search(r"\s(\d+(\.\d+)+)\s", MODULE.read_text())
        return version[1] if version else "of an unknown version", []
    return "", []


def ask_tensorflow() -> dict[str, Any]:
    """Start TensorFlow in a process of its own: what it writes is caught there, and if it dies, that is an answer.

    Returns:
        text: str, versions and build, or why it does not start. said: list of str, its telling lines. gpus: list of
        str, names; only if it starts.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    command = [sys.executable, "-c", "from sifting.base.devices import answer; answer()"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    lines = process.stderr.splitlines()
    said = list(dict.fromkeys(LOG_PREFIX.sub("", line) for line in lines if TELLING.search(line)))
    if process.returncode < 0:  # SIGILL: this processor lacks an instruction set, mostly AVX
        return {"text": f"does not start: ended by {signal.Signals(-process.returncode).name}", "said": said}
    if process.returncode:
        return {"text": f"does not start: {lines[-1] if lines else f'exit code {process.returncode}'}", "said": said}
    return {**json.loads(process.stdout.splitlines()[-1]), "said": said}


def answer() -> None:
    """In the other process: print text and gpus of ask_tensorflow as JSON."""
    import keras
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    built = f"with CUDA {build['cuda_version']}" if build.get("is_cuda_build") else "without CUDA"
    text = f"{tf.__version__}, Keras {keras.__version__}, built {built}"
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    print(json.dumps({"text": text, "gpus": [gpu.get("device_name", "unnamed") for gpu in details]}))
