"""`python -m postprocess.device_check`: how fast the device of this machine trains, and whether its runs are right.

Prints one line a finding, and writes all of them to a file, from which `postprocess.reproduce --device FILE` takes its
estimates. It takes minutes.
"""

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from postprocess.ahead import rough_duration
from postprocess.command_line import Parser, output_file, run_command
from postprocess.figures import FIGURES, base
from postprocess.rates import Rate, estimated_rounds, measured_rate, must_be_measured, training_seconds
from postprocess.reproduce import runs_of
from sifting import __version__
from sifting.architecture import LayerSpec
from sifting.base.quiet import native_messages_hidden
from sifting.errors import SiftingError
from sifting.inputs import read_experiment
from sifting.runs.directory import RunDirectory
from sifting.training.plan import Plan, plan

MAIN = "inputs/imp_3l1k.in"
LARGE_PRODUCT, SMALL_PRODUCT = 8192, 2048  # size of the matrices, on a GPU and on a CPU
PRODUCTS = 10
# Of the small run that is made several times.
SMALL = {
    "Network.steps": "600",
    "Network.deterministic": "true",
    "Network.sparse": "never",
    "IMP.max_iterations": "5",
    "IO.prefix": "sifting",
    "IO.checkpoint_seconds": "0.2",
}


class RunFailed(SiftingError):
    """Runs on this device are not what they must be."""

    exit_code = 1


@dataclass
class Findings:
    """What device.json holds; seconds, bytes and operations a second.

    Attributes:
        step, step_tf32: seconds of a training step of the main experiment, in float32, and with TF32 allowed.
        peak, peak_tf32: operations a second in products of large matrices.
        memory: most bytes in use on a GPU while the main experiment's step was measured, images not counted.
        rates: (work, seconds) of steps, see rates.Rate.
        same_twice, same_killed: whether a deterministic run has the same bits when it is made again, and when it was
            killed and continued.
        kept_as_on_cpu: of the weights that the last round keeps on the CPU, the share that it keeps on the device.
        by_chance: the share that it would be for masks that have nothing to do with each other.
    """

    device: str
    versions: dict[str, str]
    step: float = math.nan
    step_tf32: float | None = None
    peak: float = math.nan
    peak_tf32: float | None = None
    memory: int | None = None
    rates: list[Rate] = field(default_factory=list)
    same_twice: bool | None = None
    same_killed: bool | None = None
    kept_as_on_cpu: float = math.nan
    by_chance: float = math.nan


def check(path: Path, show: Callable[[str], None]) -> Findings:
    """Find out everything, show it line by line, and write it to `path`.

    Raises:
        SiftingError: a run failed, or the file cannot be written.
    """
    with native_messages_hidden():
        import tensorflow as tf

        from sifting.base.compute import describe_device, on_gpu
    versions = {"sifting": __version__, "python": platform.python_version(), "tensorflow": tf.__version__}
    found = Findings(describe_device(), versions)
    show(_line("device", found.device))
    _measure(found, on_gpu(), show)
    _estimate(found, show)
    try:
        _repeat(found, show)
    finally:  # a run that fails takes nothing from what was measured
        with output_file(path) as file:
            file.write((json.dumps(asdict(found), indent=2) + "\n").encode())
    show(_line("written", str(path)))
    return found


def _line(name: str, text: str) -> str:
    return f"{name:11s} {text}"


# --- speed ---------------------------------------------------------------------------------------------------------


def _measure(found: Findings, gpu: bool, show: Callable[[str], None]) -> None:
    """Step of the main experiment, and what the device could do."""
    main = _planned()
    least = least_operations(main.specs, main.experiment.network.batch_size)
    for tf32 in (False, True) if gpu else (False,):
        peak = product_operations(LARGE_PRODUCT if gpu else SMALL_PRODUCT, tf32)
        rate = measured_rate(_planned({"Network.tf32": str(tf32).lower()}))
        name = "TF32" if tf32 else "float32"
        show(
            _line(
                name,
                f"{1000 * rate.seconds:.2f} ms a step of {MAIN}, {least / rate.seconds / 1e12:.2f} of "
                f"{peak / 1e12:.2f} TFLOP/s in products of large matrices ({least / rate.seconds / peak:.0%})",
            )
        )
        if tf32:
            found.step_tf32, found.peak_tf32 = rate.seconds, peak
        else:
            found.step, found.peak = rate.seconds, peak
            found.rates.append(rate)
    if gpu:
        import tensorflow as tf

        found.memory = int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
        images = main.images.facts.train_images * math.prod(main.images.facts.shape)
        show(_line("memory", f"{found.memory / 1e9:.1f} GB at most, beside {images / 1e9:.1f} GB of images"))


def _planned(changes: Mapping[str, str] | None = None) -> Plan:
    assignments = [f"{name}={value}" for name, value in (changes or {}).items()]
    with tempfile.TemporaryDirectory() as nowhere:
        return plan(read_experiment([str(base.INPUTS / MAIN)], [*assignments, f"IO.save_dir={nowhere}"]))


def least_operations(specs: Sequence[LayerSpec], batch_size: int) -> float:
    """Of the matrix products of a step of dense layers: forward, and gradients of W and, but for the first layer, of
    the input."""
    sizes = [math.prod(spec.shape) for spec in specs]
    return 2 * batch_size * (3.0 * sum(sizes) - sizes[0])


def product_operations(size: int, tf32: bool) -> float:
    """Operations a second in products of two float32 matrices [size, size]."""
    import tensorflow as tf

    from sifting.base.compute import compute_device, tensor_float_32

    with tf.device(compute_device()), tensor_float_32(tf32):
        matrix = tf.random.stateless_normal((size, size), [1, 2]) / size**0.5
        product = tf.function(tf.matmul, jit_compile=True)
        product(matrix, matrix).numpy()
        began = time.perf_counter()
        result = matrix
        for _ in range(PRODUCTS):
            result = product(result, matrix)
        result[0, 0].numpy()
        return 2 * PRODUCTS * float(size) ** 3 / (time.perf_counter() - began)


def _estimate(found: Findings, show: Callable[[str], None]) -> None:
    """How long the main experiment, and all of the papers, would train here."""
    needed = dict.fromkeys(run for name in FIGURES for group in runs_of(name, "full").values() for run in group)
    plans = {run.files: run.plan for run in needed}
    smallest = min(plans.values(), key=lambda one: one.experiment.network.batch_size)
    for unknown in [smallest, *must_be_measured(found.rates, plans.values())]:
        found.rates.append(measured_rate(unknown))
    main = _planned()
    rounds = estimated_rounds(main)
    alone = training_seconds(main, found.rates[:1], rounds)
    together = sum(training_seconds(plans[run.files], found.rates, estimated_rounds(run.plan)) for run in needed)
    show(_line("estimates", f"{rough_duration(alone)} for {MAIN}, about {rounds} rounds"))
    show(_line("", f"{rough_duration(together)} for the {len(needed)} runs of all figures, in turn"))


# --- runs ----------------------------------------------------------------------------------------------------------


def _repeat(found: Findings, show: Callable[[str], None]) -> None:
    """A small run on the device: once, once more, killed and continued; and on the CPU."""
    with tempfile.TemporaryDirectory() as scratch:
        runs = {name: RunDirectory(Path(scratch, name), "sifting") for name in ("once", "again", "killed", "cpu")}
        for name in ("once", "again"):
            _run(runs[name], scratch)
        _run(runs["killed"], scratch, kill=True)
        _run(runs["killed"], scratch)
        _run(runs["cpu"], scratch, {"CUDA_VISIBLE_DEVICES": "-1"})
        bits = {name: _bits(directory) for name, directory in runs.items()}
        found.same_twice, found.same_killed = (bits[name] == bits["once"] for name in ("again", "killed"))
        last = runs["cpu"].rounds()[-1]
        kept, other = (
            np.concatenate([mask.W.ravel() for mask in runs[name].read_round(last).masks.values()]) != 0
            for name in ("cpu", "once")
        )
        found.kept_as_on_cpu, found.by_chance = float(other[kept].mean()), float(other.mean())
    show(_line("twice", "the same bits" if found.same_twice else "OTHER BITS, though deterministic = true"))
    show(_line("killed", "and continued: the same bits" if found.same_killed else "and continued: OTHER BITS"))
    same = "the same bits; " if bits["cpu"] == bits["once"] else ""
    show(
        _line(
            "CPU",
            f"{same}{found.kept_as_on_cpu:.1%} of what it keeps in round {last} is kept here "
            f"({found.by_chance:.1%} by chance)",
        )
    )


def _run(
    directory: RunDirectory, scratch: str, environment: Mapping[str, str] | None = None, kill: bool = False
) -> None:
    """Make the small run; `kill`: kill it in the round after the first."""
    settings = {**SMALL, "IO.save_dir": str(directory.folder), "IO.cache_dir": str(Path(scratch, "cache"))}
    command = [sys.executable, "-m", "sifting.run", str(base.INPUTS / "inputs/quickstart.in")]
    command += [f"--set={name}={value}" for name, value in settings.items()]
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if kill:
        while process.poll() is None and not (directory.rounds() and directory.progress_path.exists()):
            time.sleep(0.01)
        process.kill()
    output, _ = process.communicate()
    if process.returncode != (-signal.SIGKILL if kill else 0):
        raise RunFailed(
            f"a small run ended otherwise than it should: {(output.strip().splitlines() or ['silent'])[-1]}"
        )


def _bits(directory: RunDirectory) -> dict[int, bytes]:
    return {number: directory.round_path(number).read_bytes() for number in directory.rounds()}


def _check_command(options: argparse.Namespace) -> None:
    found = check(options.output, lambda line: print(line, flush=True))
    if not (found.same_twice and found.same_killed):
        raise RunFailed(f"{found.device}: deterministic runs are not the same to the bit")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog="python -m postprocess.device_check",
        description="How fast the device of this machine trains, and whether its runs are right.",
    )
    parser.add_argument("--output", type=Path, default=Path("device.json"), metavar="FILE", help="default: device.json")
    return run_command(_check_command, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
