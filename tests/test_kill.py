"""A run that is killed and started again ends with the same bits as one that was left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
INPUT = """
[Data]
dataset = EdgeCollage32
collage_images = 1000
collage_val_images = 100
[Network]
arch = f24:f16:x
steps = 150
batch_size = 25
val_size = 100
validate_step = 40
minimizer = {minimizer}
learning_rate = 0.01
seed = 3
"""
IMP = "[IMP]\nprune = T:T:F\nweights_step = 20\nprune_step = 130\nmax_iterations = 3\n"
# minimizer, method section, least number of rounds, and kills of one run
CASES = {
    "IMP": ("SGD", "jit_compile = false\n" + IMP, 3, 3),
    "IMP, often": ("Adam", IMP, 3, 10),
    "LayerByLayer": (  # a round is soon worse than the dense one: then the first layer is frozen
        "Adam",
        "[LayerByLayer]\nprune = T:T:F\nprune_ratio = 0.6\nweights_step = 20\nmax_iterations = 5\n",
        3,
        5,
    ),
    "SynFlow": ("SGD", "[SynFlow]\nsparsity = 0.5, 0.9, 0.95\niterations = 30\n", 4, 3),
}


def run(folder: Path, name: str, method: str, kills: list) -> int:
    """The exit code; -9 if it was killed."""
    minimizer, section, _, _ = CASES[method]
    text = INPUT.format(minimizer=minimizer) + section
    text += f"[IO]\nsave_dir = {folder / name}\ncheckpoint_seconds = 0.02\ncache_dir = {folder / 'cache'}\n"
    path = folder / f"{name}.in"
    path.write_text(text)
    command = [sys.executable, str(HERE / "killed_run.py"), json.dumps(kills), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False).returncode


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".pkl", ".dat", ".csv")}


@pytest.mark.heavy
@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=() if name == "IMP" else pytest.mark.slow) for name in CASES]
)
def test_killed_run_ends_with_the_same_bits(tmp_path, method):
    """Half of the kills come at random moments, half right before a flush to disk or a rename."""
    _, _, rounds, chain = CASES[method]
    assert run(tmp_path, "whole", method, [None, None]) == 0
    rng = np.random.default_rng(1)
    codes = []
    for number in range(chain):
        kills = [None, int(rng.integers(1, 40))] if number % 2 else [float(rng.uniform(0, 0.6)), None]
        codes.append(run(tmp_path, "killed", method, kills))
        if codes[-1] == 0:  # it came to its end before the kill: what follows kills the next one
            assert results(tmp_path / "killed") == results(tmp_path / "whole")
            shutil.rmtree(tmp_path / "killed")
    assert run(tmp_path, "killed", method, [None, None]) == 0
    whole, killed = results(tmp_path / "whole"), results(tmp_path / "killed")
    assert sorted(killed) == sorted(whole) and {"IMP_findata.pkl", "IMP_out.dat", "IMP_history.csv"} < set(whole)
    assert sum("itdata" in name for name in whole) >= rounds
    assert [name for name in whole if whole[name] != killed[name]] == []
    assert codes.count(-signal.SIGKILL) >= chain - 2
