"""A run that is killed and started again ends with the same bits as one that was left alone."""

import json
import os
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
[IMP]
prune = T:T:F
weights_step = 20
prune_step = 130
max_iterations = 5
"""
CHAIN = 12  # kills of one run; two runs are killed


def run(folder: Path, name: str, minimizer: str, kills: list) -> int:
    """The exit code; -9 if it was killed."""
    text = INPUT.format(minimizer=minimizer)
    text += f"[IO]\nsave_dir = {folder / name}\ncheckpoint_seconds = 0.02\ncache_dir = {folder / 'cache'}\n"
    path = folder / f"{name}.in"
    path.write_text(text)
    command = [sys.executable, str(HERE / "killed_run.py"), json.dumps(kills), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False).returncode


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".pkl", ".dat")}


@pytest.mark.heavy
@pytest.mark.parametrize("minimizer", ["SGD", "Adam"])
def test_killed_run_ends_with_the_same_bits(tmp_path, minimizer):
    """Half of the kills come at random moments, half right before a flush to disk or a rename."""
    assert run(tmp_path, "whole", minimizer, [None, None]) == 0
    rng = np.random.default_rng(1)
    codes = []
    for number in range(CHAIN):
        kills = [None, int(rng.integers(1, 40))] if number % 2 else [float(rng.uniform(0, 0.6)), None]
        codes.append(run(tmp_path, "killed", minimizer, kills))
        if codes[-1] == 0:  # it came to its end before the kill: what follows kills the next one
            assert results(tmp_path / "killed") == results(tmp_path / "whole")
            for path in (tmp_path / "killed").iterdir():
                path.unlink()
    assert run(tmp_path, "killed", minimizer, [None, None]) == 0
    whole, killed = results(tmp_path / "whole"), results(tmp_path / "killed")
    assert (
        sorted(killed)
        == sorted(whole)
        == sorted(["IMP_findata.pkl", "IMP_out.dat", *(f"IMP_itdata_{n}.pkl" for n in range(5))])
    )
    assert [name for name in whole if whole[name] != killed[name]] == []
    assert codes.count(-signal.SIGKILL) >= CHAIN - 2
