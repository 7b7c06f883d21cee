"""postprocess.verify tells damaged files of a run, and how each can be made again; what it says is true."""

import json
import re

import pytest
from tiny_runs import copy_of, files_of, interrupt, run

from postprocess import cache, verify

EVENTS = "tensorboard/rounds/events.out.tfevents.000001"


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path):
    path.write_bytes(path.read_bytes()[:-9])


def remove(path):
    path.unlink()


@pytest.fixture
def copy(whole, tmp_path):
    """A finished run of four rounds, with an input file and a stored analysis."""
    directory, session = whole
    copied = copy_of(directory, tmp_path / "whole")
    copied.write_input(session.experiment.to_text())
    cache.cached(copied.path("analysis_x.npz"), {}, lambda: {"x": session.initial_masks()[0].W})
    return copied


def verified(directory, capsys, *arguments):
    """Exit code, and the files that it names with what it says of each."""
    code = verify.main([str(directory.folder), *arguments])
    lines = [line.strip().partition(": ") for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    return code, {name.removeprefix("IMP_"): remedy for name, _, remedy in lines}


def test_a_whole_run(copy, tmp_path, capsys):
    assert verified(copy, capsys) == (0, {})
    interrupt(tmp_path / "other", 2, 6)
    assert verified(copy_of(copy, tmp_path / "rounds", [0, 1]), capsys) == (0, {})
    assert verify.main([str(tmp_path)]) == 0  # all runs below, one of them in progress


@pytest.mark.parametrize(
    ("name", "damage", "remedy"),
    [
        ("itdata_1.pkl", flip, "remove it, and the run's command trains its round anew"),
        ("itdata_3.pkl", shorten, "remove it, and the run's command trains its round anew"),
        ("itdata_2.pkl", remove, "missing: the run's command trains it anew"),
        ("findata.pkl", flip, "the run's command makes it again from the rounds"),
        ("history.csv", remove, "the run's command makes it again from the rounds"),
        ("out.dat", shorten, "the run's command makes it again from the rounds"),
        (EVENTS, flip, "remove it, and the run's command makes it again"),
        (EVENTS, shorten, "remove it, and the run's command makes it again"),
        (
            "run.json",
            shorten,
            "remove it, and the run's command makes it again, without times and checksums of rounds",
        ),
    ],
)
def test_what_is_damaged_is_made_again(copy, capsys, name, damage, remedy):
    before = files_of(copy)
    damage(copy.path(name))
    assert verified(copy, capsys) == (1, {name: remedy})
    if remedy.startswith("remove it"):
        copy.path(name).unlink()
    run(copy.folder)
    assert verified(copy, capsys) == (0, {}) and files_of(copy) == before


def test_what_the_run_does_not_make_again(copy, tmp_path, capsys):
    flip(copy.path("analysis_x.npz"))
    assert verified(copy, capsys) == (1, {"analysis_x.npz": "postprocess.analyse makes it again"})
    shorten(copy.path("input.in"))
    again = "the input file that the run was started with makes it again"
    assert verified(copy, capsys)[1].pop("input.in") == again
    copy.path("input.in").unlink()
    shorten(copy.round_path(0))
    assert verified(copy, capsys)[1]["itdata_0.pkl"] == "it cannot be made again: no input file says how"


def test_a_round_in_progress(tmp_path, capsys):
    directory, _ = interrupt(tmp_path / "run", 2, 6)
    assert verified(directory, capsys) == (0, {})
    flip(directory.progress_path)
    assert list(verified(directory, capsys)[1]) == ["checkpoint.pkl"]


def test_runs_of_earlier_versions_have_no_checksums(copy, capsys):
    """Their rounds are read, and believed."""
    record = copy.read_record()
    for entry in record["rounds"].values():
        del entry["checksum"]
    copy.path("run.json").write_text(json.dumps(record))
    flip(copy.path("findata.pkl"))
    assert verified(copy, capsys) == (0, {})
    shorten(copy.round_path(1))
    assert list(verified(copy, capsys)[1]) == ["itdata_1.pkl"]


def test_prepared_images(copy, tmp_path, capsys):
    text = re.sub("^cache_dir.*\n", "", copy.recorded_input.read_text(), flags=re.MULTILINE)
    copy.write_input(text.replace("[IO]\n", f"[IO]\ncache_dir = {tmp_path / 'cache'}\n"))
    entry = tmp_path / "cache" / "images-1"
    entry.mkdir(parents=True)
    (entry / "entry.json").write_text("{}")
    assert verified(copy, capsys) == (0, {})
    remedy = "remove it, and the next run makes it again"
    assert verified(copy, capsys, "--images") == (1, {"images-1": remedy})
