"""Where TensorFlow computes. Importing this settles it for the process, before the first operation."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf


def compute_device() -> str:
    """Of the process: the first GPU that it sees, or the CPU."""
    return "/GPU:0" if on_gpu() else "/CPU:0"


def on_gpu() -> bool:
    """Whether it is a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


@contextlib.contextmanager
def tensor_float_32(allowed: bool) -> Iterator[None]:
    """Whether products of float32 in the body may be of TensorFloat-32, with errors near 1e-3, on GPUs that have it."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(allowed)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def describe_device() -> str:
    """The device that trains, in words."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.environ.get("TF_NUM_INTRAOP_THREADS", "all")
    return f"CPU, {threads} thread{'' if threads == '1' else 's'}"


def _choose_device() -> None:
    """One GPU, so that others stay free for other processes; its memory as it is needed; no TensorFloat-32.

    Where somebody else has started TensorFlow in this process before, its devices stay as they are.
    """
    with contextlib.suppress(RuntimeError):  # "cannot be modified after being initialized"
        gpus = tf.config.get_visible_devices("GPU")[:1]
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(False)


_choose_device()
