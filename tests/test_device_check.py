"""postprocess.device_check: what is measured, what a device with other bits leads to, and what is written."""

import json

import pytest
from tiny_runs import copy_of

from postprocess import ahead, device_check, reproduce
from postprocess.device_check import Findings
from postprocess.rates import Rate, rates_of_device, step_work
from sifting.runs.directory import RunDirectory


@pytest.fixture
def measured(monkeypatch):
    """Rates and products of a device that takes 1e-9 s for a unit of work."""
    monkeypatch.setattr(device_check, "measured_rate", lambda plan: Rate(work := step_work(plan), work * 1e-9))
    monkeypatch.setattr(device_check, "product_operations", lambda size, tf32: 1e13)


@pytest.fixture
def runs(monkeypatch, whole):
    """runs(*other): small runs are copies of the tiny one, the files of these others changed."""

    def runs(*other):
        def made(directory, scratch, environment=None, kill=False):
            if directory.folder.exists():  # killed, and continued
                return
            copy = copy_of(whole[0], directory.folder)
            for number in copy.rounds():
                content = copy.round_path(number).read_bytes()
                path = RunDirectory(directory.folder, "sifting").round_path(number)
                path.write_bytes(content + b" " * (directory.folder.name in other))

        monkeypatch.setattr(device_check, "_run", made)

    return runs


def test_what_is_found_is_shown_and_written(measured, runs, in_tmp_path, capsys):
    runs()
    assert device_check.main([]) == 0
    shown = capsys.readouterr().out
    # 1000 images times 6.28e6 parameters, 1e-9 s each
    assert "6283.24 ms a step of inputs/imp_3l1k.in, 0.00 of 10.00 TFLOP/s" in shown
    assert "153 days for inputs/imp_3l1k.in, about 21 rounds" in shown
    assert "100.0% of what it keeps" in shown and "OTHER BITS" not in shown
    found = json.loads((in_tmp_path / "device.json").read_text())
    assert found["same_twice"] and found["same_killed"] and found["kept_as_on_cpu"] == 1
    assert 0 < found["by_chance"] < 1
    assert rates_of_device(in_tmp_path / "device.json")[0] == Rate(6283240000.0, 6.28324)


@pytest.mark.parametrize(("other", "line"), [("again", "twice"), ("killed", "killed")])
def test_a_deterministic_run_with_other_bits_fails(other, line, measured, runs, in_tmp_path, capsys):
    runs(other)
    assert device_check.main([]) == 1
    output, errors = capsys.readouterr()
    (told,) = (text for text in output.splitlines() if "OTHER BITS" in text)
    assert told.startswith(line) and errors.count("\n") == 1
    assert (in_tmp_path / "device.json").exists()


def test_estimates_for_the_device_need_no_measurement(in_tmp_path, capsys, monkeypatch):
    """Ten times the rate, a tenth of the time."""
    monkeypatch.setattr(ahead, "measured_rate", None)
    totals = []
    for rate in (1, 10):
        (in_tmp_path / "device.json").write_text(json.dumps({"rates": [[1e11, 1e3 / rate]]}))
        assert reproduce.main(["pb-2", "--dry_run", "--device", "device.json"]) == 0
        totals.append(float(capsys.readouterr().out.split("to run: about ")[-1].split()[0]))
    assert totals[0] == pytest.approx(10 * totals[1], rel=0.1)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"rates": [1]}', '{"rates": [["a", 1]]}'])
def test_other_files_are_refused(content, in_tmp_path, refusal):
    if content is not None:
        (in_tmp_path / "device.json").write_text(content)
    line = refusal(reproduce.main, "--list", "--device", "device.json")
    assert line.startswith("sifting: --device device.json: cannot be read (")


def test_products_are_timed(monkeypatch):
    """Ten products of 64 x 64 matrices in a second."""
    monkeypatch.setattr(device_check.time, "perf_counter", iter((5.0, 6.0)).__next__)
    assert device_check.product_operations(64, False) == 10 * 2 * 64**3


@pytest.mark.slow  # five processes
def test_runs_are_really_repeated(monkeypatch):
    monkeypatch.setitem(device_check.SMALL, "Network.steps", "400")
    found, lines = Findings("here", {}), []
    device_check._repeat(found, lines.append)
    assert found.same_twice and found.same_killed
    assert 0 < found.by_chance < found.kept_as_on_cpu <= 1
    assert len(lines) == 3
