"""A run that is killed, or meets an error of the file system, and is started again ends as one that was left alone."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
INPUT = """
[Data]
dataset = EdgeCollage32
collage_images = {images}
collage_val_images = 100
[Network]
arch = {arch}
steps = {steps}
batch_size = 25
val_size = 100
validate_step = {validate}
learning_rate = 0.01
seed = 3
"""
LARGE = {"images": 1000, "arch": "f24:f16:x", "steps": 150, "validate": 40}
SMALL = {"images": 100, "arch": "f8:f5:x", "steps": 12, "validate": 8}
PLAIN = "jit_compile = false\n"
IMP = "[IMP]\nprune = T:T:F\nweights_step = 20\nprune_step = 130\nmax_iterations = 3\n"
# [Network] and method section, least number of rounds, and kills of one run
CASES = {
    "IMP": (PLAIN + IMP, 3, 3),
    "IMP, often": ("minimizer = Adam\n" + IMP, 3, 10),
    "LayerByLayer": (  # a round is soon worse than the dense one: then the first layer is frozen
        "minimizer = Adam\n[LayerByLayer]\nprune = T:T:F\nprune_ratio = 0.6\nweights_step = 20\nmax_iterations = 5\n",
        3,
        5,
    ),
    "SynFlow": ("[SynFlow]\nsparsity = 0.5, 0.9, 0.95\niterations = 30\n", 4, 3),
}
LEVELS = "sparsity = 0.5, 0.9\n"
METHODS = {
    "IMP": "[IMP]\nprune = T:T:F\nweights_step = 5\nmax_iterations = 2\n",
    "sparse layers": "sparse = always\n[IMP]\nprune = T:T:F\nweights_step = 5\nmax_iterations = 2\n",
    "LayerByLayer": "[LayerByLayer]\nprune = T:T:F\nprune_ratio = 0.6\nweights_step = 5\nmax_iterations = 2\n",
    "Cavity": "[Cavity]\nprune = T\nimages = 50\nweights_step = 5\nmax_iterations = 2\n",
    "OneShot": "[OneShot]\nprune = T:T:F\nweights_step = 5\n" + LEVELS,
    "dense_run": "[OneShot]\nprune = T:T:F\nweights_step = 5\ndense_run = DENSE\n" + LEVELS,
    "SNIP": "[SNIP]\nimages = 50\n" + LEVELS,
    "GraSP": "[GraSP]\nimages = 50\n" + LEVELS,
    "SynFlow": "[SynFlow]\niterations = 3\n" + LEVELS,
    "Random": "[Random]\n" + LEVELS,
    "streamed": "[IMP]\nprune = T:T:F\nweights_step = 5\nmax_iterations = 2\n",
}
ERRORS = ["ENOSPC", "EIO", "EDQUOT", "EACCES", "EROFS"]


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen]:
    """What runs them, see there."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / "killed_run.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        yield process
        process.communicate(timeout=60)


class Runs:
    """One experiment, run again and again into FOLDER/run."""

    def __init__(self, process: subprocess.Popen, folder: Path, settings: dict, section: str) -> None:
        self._process, self.folder, self.input = process, folder / "run", folder / "run.in"
        text = INPUT.format(**settings) + section.replace("DENSE", str(folder / "dense"))
        text += f"[IO]\nsave_dir = {self.folder}\ncheckpoint_seconds = 0.02\ncache_dir = {folder / 'cache'}\n"
        self.input.write_text(text)

    def run(self, harm: float | list | None, *changes: str) -> tuple[int, str, int]:
        """Exit code, -9 if it was killed; standard error; number of operations."""
        request = [str(self.folder), harm, str(self.input), *(f"--set={change}" for change in changes)]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code, error, operations = json.loads(self._process.stdout.readline())
        return code, error, operations

    def taken(self) -> dict[str, object]:
        """What it left, which goes: names, and contents but for times."""
        files = {str(path.relative_to(self.folder)): contents(path) for path in self.folder.rglob("*")}
        shutil.rmtree(self.folder)
        return files


def contents(path: Path) -> object:
    if path.is_dir():
        return None
    if "tfevents" in path.name:
        return path.stat().st_size
    return re.sub(rb'"(seconds|steps_per_second)": [0-9.e-]+', b"", path.read_bytes())


def differences(ours: dict, theirs: dict) -> list[str]:
    return sorted(name for name in {*ours, *theirs} if ours.get(name, 0) != theirs.get(name, 0))


@pytest.mark.heavy
@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=() if name == "IMP" else pytest.mark.slow) for name in CASES]
)
def test_killed_run_ends_with_the_same_bits(process, tmp_path, method):
    """Half of the kills come at random moments, half right before an operation on files."""
    section, rounds, chain = CASES[method]
    runs = Runs(process, tmp_path, LARGE, section)
    assert runs.run(None)[0] == 0
    whole = runs.taken()
    assert sum("itdata" in name for name in whole) >= rounds
    assert {"IMP_findata.pkl", "IMP_out.dat", "IMP_history.csv"} < set(whole)
    rng = np.random.default_rng(1)
    codes = []
    for number in range(chain):
        harm = [int(rng.integers(1, 120)), None] if number % 2 else float(rng.uniform(0, 0.6))
        codes.append(runs.run(harm)[0])
        if codes[-1] == 0:  # it came to its end before the kill: what follows kills the next one
            assert differences(runs.taken(), whole) == []
    assert runs.run(None)[0] == 0
    assert differences(runs.taken(), whole) == []
    assert codes.count(-signal.SIGKILL) >= chain - 2


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("method", "every", "kinds"),
    [
        ("IMP", 33, ["ENOSPC", None, "EIO", None]),
        *(pytest.param(name, 1, kinds, marks=pytest.mark.slow) for name in METHODS for kinds in ([None], ERRORS)),
    ],
)
def test_harm_at_one_operation_leaves_no_trace(process, tmp_path, method, every, kinds):
    """A kill (None), or an error, which is told in one line and stops the run unless nothing depends on what failed."""
    settings = SMALL | ({"images": "100\npreload = false"} if method == "streamed" else {})
    runs = Runs(process, tmp_path, settings, PLAIN + METHODS[method])
    if method == "dense_run":
        assert runs.run(None, f"IO.save_dir={tmp_path / 'dense'}", "OneShot.dense_run=")[0] == 0
    code, error, operations = runs.run(None)
    assert code == 0, error
    whole = runs.taken()
    traces = {}
    for kind, number in zip(itertools.cycle(kinds), range(1, operations + 1, every)):
        code, error, reached = runs.run([number, kind])
        told = [line for line in error.splitlines() if line.startswith("sifting: ")]
        ends = [(-signal.SIGKILL, 0)] if kind is None else [(2, 1), (0, 0)]
        if reached < number:  # a faster run, which has saved less often
            ends = [(0, 0)]
        assert (code, len(told)) in ends, (number, error)
        code, error, _ = runs.run(None)
        assert code == 0, (number, error)
        if left := differences(runs.taken(), whole):
            traces[number, kind] = left
    assert traces == {}
