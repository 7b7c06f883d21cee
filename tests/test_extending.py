"""The examples of docs/extending.md, run as they stand there: files of their names, then the commands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sifting.run_directory import RunDirectory

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {text.partition("\n")[0]: text for text in PAGE.split("\n## ")[1:]}


def follow(section: str, folder: Path) -> None:
    """Write the files of a section, and run its commands."""
    environment = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"))
    for language, name, content in BLOCK.findall(SECTIONS[section]):
        if name:
            (folder / name).write_text(content, encoding="utf-8")
        if language == "sh":
            for command in content.splitlines():
                program, *arguments = command.split()
                assert program == "python"
                result = subprocess.run(
                    [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
                )
                assert result.returncode == 0, f"{command}\n{result.stderr}"


@pytest.mark.heavy
def test_a_pruning_score(tmp_path):
    follow("A pruning score", tmp_path)
    run = RunDirectory(tmp_path / "runs" / "disc", "IMP")
    assert run.rounds() == [1, 2]
    mask = run.read_round(2).masks[0].W.reshape(3, 32, 32, 64)
    assert mask.sum() == 3 * 32 * 32 * 64 - int(0.97 * 3 * 32 * 32 * 64)
    rows, columns = np.nonzero(mask[0, :, :, 0])
    assert np.ptp(rows) <= 12 and np.ptp(columns) <= 12  # 3 % of the pixels lie within about 3 of the centre
    np.testing.assert_array_equal(run.read_round(2).masks[1].W, 1)


@pytest.mark.heavy
def test_a_data_set(tmp_path):
    follow("A data set", tmp_path)
    for prefix in ("IMP", "clone"):
        run = RunDirectory(tmp_path / "runs" / "gratings", prefix)
        assert run.rounds() == [0, 1, 2] and run.read_round(0).masks[0].W.shape == (3072, 64)
        assert run.read_record()["images"].count("gratings") == 1
    assert RunDirectory(tmp_path / "runs" / "gratings", "IMP").read_round(2).best_validation_error < 0.05


@pytest.mark.heavy
def test_a_figure(tmp_path):
    follow("A figure", tmp_path)
    written = json.loads((tmp_path / "figures" / "small" / "widths.json").read_text())
    assert written["figure"] == "widths" and written["title"].startswith("RF width of the nodes")
    assert len(written["numbers"]["C_in"]) == len(written["numbers"]["width"]) > 0
    assert (tmp_path / "figures" / "small" / "widths.png").stat().st_size > 5000


def test_every_section_is_tested():
    assert list(SECTIONS) == ["A pruning score", "A data set", "A figure"]


def test_without_extensions_an_unknown_section_is_refused(tmp_path):
    (tmp_path / "own.in").write_text("[Disc]\n")
    result = subprocess.run(
        [sys.executable, "-m", "sifting.run", "own.in"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 2 and "[Disc]: unknown section; accepted: [IO]," in result.stderr
