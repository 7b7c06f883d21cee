"""--dry_run: its numbers are those of the paper's experiment, counted by hand, and it touches nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import made_round, write_input

from sifting.inputs import read_experiment
from sifting.runs.directory import RunDirectory
from sifting.training import dry_run
from sifting.training.plan import plan

ROOT = Path(__file__).parent.parent
MAIN = str(ROOT / "inputs" / "imp_3l1k.in")


def describe(experiment):
    return dry_run.outlook(plan(experiment))


def table(text: str, header: str) -> list[list[str]]:
    """The words of each line below the line that begins with `header`, up to an empty line."""
    block = text.partition(f"\n{header:>5}  ")[2].partition("\n\n")[0]
    return [line.split() for line in block.splitlines()[1:]]


@pytest.fixture(scope="module")
def main_experiment() -> str:
    return describe(read_experiment([MAIN]))


def test_layers_and_parameters(main_experiment):
    """n_in*n_out weights, n_out biases, n_in each of gamma and beta: 3072*1024 + 1024 + 2*3072 = 3,152,896."""
    assert table(main_experiment, "layer") == [
        ["1", "f", "3072", "x", "1024", "3,152,896", "yes"],
        ["2", "f", "1024", "x", "1024", "1,051,648", "yes"],
        ["3", "f", "1024", "x", "1024", "1,051,648", "yes"],
        ["4", "x", "1024", "x", "1000", "1,027,048", "no"],
        ["all", "6,283,240"],
    ]


def test_densities(main_experiment):
    """u = 0.7**n of 3072 inputs: 2150.4 after one pruning, 29.8 in round 13, where the paper is best."""
    rows = {row[0]: row[1:] for row in table(main_experiment, "round")}
    assert "n_in = 3072" in main_experiment
    assert rows["0"] == ["100.000", "%", "3072.0"]
    assert rows["1"] == ["70.000", "%", "2150.4"]
    assert rows["2"] == ["49.000", "%", "1505.3"]
    assert rows["13"] == ["0.969", "%", "29.8"]
    assert rows["23"] == ["0.027", "%", "0.8"] and len(rows) == 25  # not beyond; the last line says until when
    assert rows["..."] == ["until", "stop_ratio", "=", "0.2,", "at", "most", "1000", "rounds"]


def test_images_memory_and_disk(main_experiment):
    """1,281,167 images of 3072 bytes are 3.94 GB, and a float32 copy of all parameters is 25.1 MB."""
    assert "1,281,167 for training, 10,000 for validation, 3 x 32 x 32, 1,000 classes" in main_experiment
    memory = float(re.search(r"about ([0-9.]+) GB on the device", main_experiment)[1])
    assert 3.94 + 4 * 0.0251 <= memory < 4.5
    assert "50.3 MB a round, 25.1 MB more for round 0" in main_experiment
    assert "runs/imp_3l1k, prefix IMP" in main_experiment


def test_the_experiment_it_prints_is_the_one_it_was_given(main_experiment, tmp_path):
    path = tmp_path / "printed.in"
    path.write_text(main_experiment.partition("\nlayer ")[0])
    assert read_experiment([str(path)]) == read_experiment([MAIN])


def test_numbers_follow_the_input_file(tmp_path):
    """Convolutions have K*K*c_in*c_out weights and nothing else; init_sparsity and data_ratio count; rounds end."""
    experiment = read_experiment(
        [str(write_input(tmp_path))],
        ["Network.arch=c5,8:p2,2:f16:x", "IMP.prune=F:F:T", "Network.init_sparsity=0.5", "Data.data_ratio=0.5"]
        + ["Data.reclass=m,2", "IMP.prune_ratio=0.2"],
    )
    text = describe(experiment)
    assert table(text, "layer") == [
        ["1", "c", *["5", "x", "5", "x", "3", "x", "8", "x", "1"], "600", "no"],
        ["2", "p", "2", "x", "2", "0", "no"],
        ["3", "f", "1568", "x", "16", "28,240", "yes"],
        ["4", "x", "16", "x", "2", "66", "no"],
        ["all", "28,906"],
    ]
    rows = table(text, "round")
    assert [row[0] for row in rows] == ["0", "1", "2"] and "n_in = 1568" in text
    assert rows[2] == ["2", "32.000", "%", f"{1568 * 0.32:.1f}"]
    assert "150 for training, 30 for validation, 3 x 32 x 32, 2 classes" in text


def test_streamed_images_take_no_memory_on_the_device():
    streamed = describe(read_experiment([MAIN], ["Data.preload=no"]))
    assert float(re.search(r"about ([0-9.]+) GB on the device", streamed)[1]) < 0.5


def test_memory_of_sparse_layers_counts(tmp_path, monkeypatch):
    """76 bytes a kept weight of a prunable layer: of 3072 x 1000 of the two layers, all or at most 40 %."""
    monkeypatch.setattr(dry_run, "MODULE", tmp_path / "no driver of a GPU")
    needs = {}
    for choice in ("never", "auto", "always"):
        path = write_input(tmp_path, "Network.arch=f1000:x", f"Network.sparse={choice}")
        needs[choice] = dry_run.needs_of(plan(read_experiment([str(path)]))).network
    assert [needs[choice] - needs["never"] for choice in ("auto", "always")] == [76 * 1228800, 76 * 3072000]
    monkeypatch.setattr(dry_run, "MODULE", tmp_path)  # the driver of a GPU, which trains all layers densely
    assert dry_run.needs_of(plan(read_experiment([str(path)]))).network == needs["never"]


def test_command_needs_neither_images_nor_tensorflow_and_leaves_nothing(tmp_path):
    """As a process in which importing them would fail, and all that takes long; seeds are described one by one."""
    for name in (modules := ("tensorflow", "keras", "scipy", "matplotlib", "numba")):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported by a dry run')\n")
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sifting.run", MAIN, "--dry_run", "--seeds", "1,2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (0, "")
    for seed in (1, 2):
        changes = [f"Network.seed={seed}", f"IO.save_dir=runs/imp_3l1k/seed_{seed}"]
        assert describe(read_experiment([MAIN], changes)) in process.stdout
    assert {path.stem for path in tmp_path.iterdir()} == {*modules}


def test_rounds_that_are_there_are_counted(tmp_path):
    experiment = read_experiment([str(write_input(tmp_path, f"IO.save_dir={tmp_path}"))])
    directory = RunDirectory(experiment.io.save_dir, experiment.io.prefix)
    directory.write_input(experiment.to_text())
    for number, end in enumerate(("", "; 1 round is there", "; 2 rounds are there")):
        assert describe(experiment).endswith(f"prefix {experiment.io.prefix}{end}")
        directory.write_round(made_round(number))


@pytest.fixture
def described(tmp_path):
    """described(method, *changes): what is printed for the synthetic experiment of f4:x on 3072 inputs."""
    return lambda method, *changes: describe(read_experiment([str(write_input(tmp_path, *changes, method=method))]))


def densities(text: str) -> dict[str, str]:
    """Round to density, in percent."""
    return {row[0]: row[1] for row in table(text, "round") if row[0].isdigit()}


def test_levels(described, tmp_path):
    """Round 0, then one round a level, however they are given; without the dense training rounds still count from 1."""
    whole = {"0": "100.000", "1": "50.000", "2": "10.000"}
    for method in ("OneShot", "SNIP", "SynFlow", "Random", "GraSP"):
        assert densities(described(method)) == whole
    assert densities(described("SNIP", "SNIP.dense=no")) == {"1": "50.000", "2": "10.000"}
    by_ratio = described("SNIP", "SNIP.sparsity", "SNIP.prune_ratio=0.3", "SNIP.rounds=2", "Network.init_sparsity=0.2")
    assert densities(by_ratio) == {"0": "80.000", "1": "56.000", "2": "39.200"}
    assert densities(described("Cavity")) == {"0": "100.000", "1": "70.000", "2": "49.000"}


def test_that_one_pool_says_nothing_of_a_single_layer(described):
    note = "density of all pruned layers together"
    assert note in described("IMP", "IMP.scope=global") and note in described("SNIP")
    assert note not in described("IMP") and note not in described("Random")


def test_rounds_that_the_file_does_not_tell(described, tmp_path):
    directory = RunDirectory(tmp_path / "a", "IMP")
    directory.folder.mkdir()
    for number in (0, 1):
        directory.write_round(made_round(number))
    for method, changes in (("LayerByLayer", []), ("Random", ["Random.sparsity", f"Random.like={directory.folder}"])):
        expected = f"rounds     as many as it takes: [{method}] decides while it runs"
        assert expected in described(method, *changes)


def test_how_many_rounds_the_screen_expects(tmp_path):
    """None where there are more than can be shown: then a stop_ratio is likely to end the run. Round 0 counts where it
    is left out, too: rounds - number - 1 is what the ETA takes for those that follow."""
    many = ["Random.sparsity", "Random.prune_ratio=0.1"]
    for method, changes, rounds in [
        ("IMP", [], 3),
        ("IMP", ["IMP.max_iterations=9", "IMP.stop_density=0.2401"], 5),  # 0.7^4 is 0.2401
        ("IMP", ["IMP.max_iterations=9", "IMP.stop_density=0.23"], 6),
        ("SNIP", ["SNIP.dense=no"], 3),
        ("Random", [*many, "Random.rounds=39"], 40),
        ("Random", [*many, "Random.rounds=40"], None),
        ("LayerByLayer", [], None),
    ]:
        experiment = read_experiment([str(write_input(tmp_path, *changes, method=method))])
        assert dry_run.expected_rounds(experiment) == rounds


def test_weights_of_a_rewind_point_take_disk(described):
    """f4:x has 3072*4 + 4 + 2*3072 and 4*10 + 10 + 2*4 numbers, 18494 of 4 bytes: one checkpoint and masks a round."""
    for method in ("IMP", "SNIP", "Cavity"):
        assert "disk       about 0.1 MB a round, 0.1 MB more for round 0" in described(method)
    assert "0.2 MB a round" in described("IMP", "IMP.prune_step=10")
