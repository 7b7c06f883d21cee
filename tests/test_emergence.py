"""The pipeline shows what it is for: pruning makes local receptive fields emerge on images, not on their clone."""

import subprocess
import sys
from pathlib import Path

import pytest

from postprocess.locality import locality_index
from sifting.run_directory import RunDirectory

ROOT = Path(__file__).parent.parent
PRUNINGS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("emergence")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "lowest", "highest"), [("quickstart", 1.6, 20.0), ("quickstart_clone", 0.9, 1.2)], ids=["images", "clone"]
)
def test_locality_after_six_prunings(name, lowest, highest, folder):
    """L3 of the quickstart, and of the quickstart on the Gaussian clone."""
    command = [sys.executable, "-m", "sifting.run", str(ROOT / "inputs" / f"{name}.in")]
    for change in (
        f"IO.save_dir={folder / name}",
        f"IO.cache_dir={folder / 'cache'}",
        f"IMP.max_iterations={PRUNINGS + 1}",
    ):
        command += ["--set", change]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    directory = RunDirectory(folder / name, "IMP")
    assert directory.rounds() == list(range(PRUNINGS + 1))
    L3 = locality_index(directory.read_round(PRUNINGS).masks[0].W)
    assert lowest <= L3 <= highest
