"""`postprocess.analyse`: what the arrays hold, when they are computed anew, what the user is told."""

import dataclasses
import json
import os
import re
import shutil
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from random_networks import random_images, random_round, shrinking_rounds
from rich.console import Console
from synthetic import REFERENCE, stored_run

from postprocess import analyse, cache
from postprocess.activations import layer_inputs
from postprocess.analyse import PARTS, Analysis, Options, main
from postprocess.cavity import cavity_row, pruning_round
from postprocess.components import image_components
from postprocess.connectivity import input_connections
from postprocess.evaluation import evaluate
from postprocess.kurtosis import image_kurtosis
from postprocess.locality import displacement_maps, locality_index
from postprocess.masks import effective_mask
from postprocess.observables import observables
from sifting import datasets
from sifting.errors import DataError, RunDirectoryError
from sifting.network.rounds import connected_fraction, density
from sifting.network.statistics import ImageBlocks

SHAPE, CLASSES = (3, 8, 8), 4


@pytest.fixture
def rounds():
    return shrinking_rounds("f9:f7:x", SHAPE, CLASSES, 3)


@pytest.fixture
def run(rounds, tmp_path, monkeypatch):
    """A run with images; only their loading is replaced, and the components need not converge."""
    few = partial(image_components, max_iterations=2)
    monkeypatch.setattr("postprocess.components.image_components", few)
    images = random_images(SHAPE, CLASSES, count=150, val_count=150)
    monkeypatch.setattr(datasets, "load", lambda experiment, report: images)
    every = random_images(SHAPE, CLASSES, count=150, val_count=600)
    monkeypatch.setattr(datasets, "load_complete", lambda experiment, report: every)
    return open_run(stored_run(tmp_path / "run", *rounds))


def open_run(directory, freeze="mask", **options):
    """A run whose experiment is no more than what analyse asks of it."""
    experiment = SimpleNamespace(
        to_text=lambda: "images of this test",
        data="images of this test",
        network=SimpleNamespace(val_size=150),
        method=SimpleNamespace(freezes_weights=freeze == "mask_and_weights"),
    )
    lines = []
    run = Analysis(directory, experiment, Options(**options), lines.append)
    run.lines = lines
    return run


def test_arrays_are_those_of_the_functions(run, rounds):
    """Every part holds what the function of its observable gives for the round."""
    found = analyse.analyse(run)
    assert set(found) == set(PARTS)
    images = run.image_set
    for number, result in enumerate(rounds):
        arrays = found["masks"][number]
        assert arrays["density"] == density(result.masks, result.specs)
        assert arrays["connected"] == connected_fraction(result.masks, result.specs)
        masks = [mask.W for mask in result.masks.values()]
        deeper = effective_mask(masks[:2])
        np.testing.assert_array_equal(arrays["l2_C_in"], input_connections(masks[1]))
        np.testing.assert_array_equal(arrays["l2_C_in_effective"], input_connections(deeper))
        np.testing.assert_array_equal(arrays["l2_S_dc"], displacement_maps(deeper).different)
        assert arrays["l1_L3"] == locality_index(masks[0])
        assert "l3_C_in" in arrays and "l3_S_sc" not in arrays  # the output layer is no feature
        accuracy = evaluate(result, images)
        assert (found["accuracy"][number]["top1"], found["accuracy"][number]["top5"]) == accuracy
    rewind, masks = rounds[0].checkpoints[0], [result.masks[0].W for result in rounds]
    for number, result in enumerate(rounds):
        expected = image_kurtosis(rounds[0], images, 0, rewind.step, result.masks)
        np.testing.assert_array_equal(found["kurtosis"][number]["over_all"], expected.over_all)
        assert found["kurtosis"][number]["mean_within_class"] == expected.mean_within_class
    inputs = layer_inputs(rewind, ImageBlocks(images.images, images.mean))
    for number, mask in enumerate(masks):
        expected = cavity_row(inputs, rewind.parameters[0].W, mask, pruning_round(masks), 3)._asdict()
        for name, values in expected.items():
            np.testing.assert_allclose(found["cavity"][number][name], values, rtol=1e-12)
        scaled = expected["weights_left"] * expected["mean"]
        np.testing.assert_allclose(found["cavity"][number]["scaled"], scaled, rtol=1e-12)
    assert found["cavity"][0]["images"] == 150
    batch = evaluate(rounds[0], images, normalise="batch").top1
    assert found["removal"]["round"] == 0 and found["removal"]["most_top1"][0] == batch
    assert found["activations"]["l2_images"].shape == (7, 3)
    # of all 600 validation images, not of the first 150
    assert found["components"]["ica_weights"].shape == (2, *SHAPE)


def test_stored_arrays_are_used_until_something_changes(run, rounds, monkeypatch):
    """Nothing is computed twice, images are not even loaded; a round that changes makes its own arrays stale, and what
    follows from all rounds."""
    parts = ("masks", "accuracy", "cavity")
    first = analyse.analyse(run, parts)
    monkeypatch.setattr(datasets, "load", lambda *_: pytest.fail("images are not needed"))
    again = open_run(run.directory)
    second = analyse.analyse(again, parts)
    assert again.lines[0].startswith("masks        3 rounds, 3 of them stored before")
    assert again.lines[2].startswith("cavity       3 rounds, 3 of them stored before")
    for number in range(3):
        for name, values in first["masks"][number].items():
            np.testing.assert_array_equal(values, second["masks"][number][name])
    run.directory.write_round(dataclasses.replace(rounds[2], validation_errors=np.full(3, 0.25, np.float32)))
    path = run.directory.round_path(2)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # however coarse the clock
    third = open_run(run.directory)
    assert analyse.analyse(third, ("masks",))["masks"][2]["best_accuracy"] == 0.75
    assert third.lines[0].startswith("masks        3 rounds, 2 of them stored before")
    fourth = open_run(run.directory)
    monkeypatch.setattr(datasets, "load", lambda *_: random_images(SHAPE, CLASSES, count=150, val_count=150))
    analyse.analyse(fourth, ("cavity",))
    assert fourth.lines[0].startswith("cavity       3 rounds, ")
    assert "stored" not in fourth.lines[0]  # each row is grouped by what becomes of the weights in all rounds


@pytest.mark.parametrize("options", [{"images_per_class": 10}, {"normalise": "none"}])
def test_options_make_their_own_arrays(run, options):
    before = analyse.analyse(run, ("kurtosis",))["kurtosis"][1]["over_all"]
    other = open_run(run.directory, **options)
    after = analyse.analyse(other, ("kurtosis",))["kurtosis"][1]["over_all"]
    assert "stored" not in other.lines[0] and not np.array_equal(before, after)


def test_a_failed_computation_leaves_the_old_arrays(tmp_path):
    path = tmp_path / "arrays.npz"
    cache.cached(path, {"a": 1}, lambda: {"x": np.arange(3)})
    before = path.read_bytes()
    with pytest.raises(DataError):
        cache.cached(path, {"a": 2}, lambda: (_ for _ in ()).throw(DataError("no")))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["arrays.npz"]


def test_what_a_run_does_not_allow_is_left_out_and_said(tmp_path, monkeypatch):
    """Without images, without round 0, with a convolution first."""
    directory = stored_run(tmp_path / "run", *shrinking_rounds("f9:f7:x", SHAPE, CLASSES, 3)[1:])
    run = Analysis(directory, None, Options(), (lines := []).append)
    assert set(analyse.analyse(run)) == {"masks"}
    assert "accuracy     left out: the images are not known; --input FILE names them" in lines
    run = open_run(directory)
    assert "there is no round 0" in run.why_not(PARTS["kurtosis"])
    convolution = random_round("c3,4:f6:x", SHAPE, CLASSES)
    run = open_run(stored_run(tmp_path / "convolution", convolution))
    assert "convolution" in run.why_not(PARTS["cavity"])
    arrays = analyse.analyse(run, ("masks",))["masks"][0]
    assert "l2_C_in" in arrays and not any("S_sc" in name for name in arrays)


def test_rounds_that_are_no_prunings_of_one_another_have_no_cavity_table(tmp_path, rounds, run):
    """Random levels, or a round that was undone: all other parts are there. Frozen layers have no rewind point."""
    later = [dataclasses.replace(result, number=3 - result.number) for result in rounds[1:]]
    unordered = stored_run(tmp_path / "unordered", rounds[0], *later)
    other = open_run(unordered)
    found = analyse.analyse(other)
    assert set(found) == set(PARTS) - {"cavity"}
    assert any(line.startswith("cavity       left out: weights that were pruned come back") for line in other.lines)
    frozen = open_run(run.directory, freeze="mask_and_weights")
    assert "frozen" in frozen.why_not(PARTS["kurtosis"]) and "frozen" in frozen.why_not(PARTS["cavity"])


def test_few_validation_images(run, monkeypatch):
    """Two of them: fewer images a node, no components, and everything else."""
    images = random_images(SHAPE, CLASSES, count=150, val_count=2)
    for load in ("load", "load_complete"):
        monkeypatch.setattr(datasets, load, lambda experiment, report: images)
    found = analyse.analyse(run)
    assert found["activations"]["l1_images"].shape == (9, 2) and "components" not in found
    assert run.lines[-1].startswith("components   left out: components need at least 250 validation images")


def test_the_table(run, rounds):
    """Numbers of the arrays, in percent where the title says so; the pooled score of what outlives a pruning."""
    found = analyse.analyse(run, ("masks", "accuracy", "kurtosis", "cavity"))
    first, second = (PARTS[name].table(run, found) for name in ("masks", "kurtosis"))
    line = first.splitlines()[2].split()
    assert line[:3] == ["0", "100.00", f"{100 * (1 - rounds[0].best_validation_error):.2f}"]
    assert line[3] == f"{100 * found['accuracy'][0]['top1']:.2f}"
    line = second.splitlines()[2].split()
    assert line[1] == f"{found['kurtosis'][0]['mean']:.2f}"
    cavity = found["cavity"][0]
    assert line[-2] == f"{cavity['mean'][1]:.5f}"
    later = np.sum(cavity["mean"][2:] * cavity["scored"][2:]) / np.sum(cavity["scored"][2:])
    assert line[-1] == f"{later:.5f}"


def test_every_column_is_defined_in_the_documentation(run):
    """Under its own name, in the first cell of a row."""
    page = (Path(__file__).parent.parent / "docs" / "postprocess.md").read_text(encoding="utf-8")
    section = page.partition("\n## The columns of the tables\n")[2].partition("\n## ")[0]
    defined = set(re.findall(r"^\| (.+?) \|", section, re.MULTILINE))
    found = analyse.analyse(run, ("masks", "accuracy", "kurtosis", "cavity"))
    tables = [PARTS[name].table(run, found) for name in ("masks", "kurtosis")]
    titles = [title for table in tables for title in re.split("  +", table.splitlines()[1].strip())]
    titles += [observable.title for observable in observables().values()]
    assert len(titles) > 20 and set(titles) - {"round"} <= defined


def test_deeper_layers_are_normalised_anew(run):
    """Stored moments do not go with the masks of later rounds: `batch` serves by default, `stored` is refused."""
    assert analyse.analyse(open_run(run.directory, layer=2), ("kurtosis",))["kurtosis"]
    with pytest.raises(DataError, match="accepted: normalise = 'batch' or 'none'"):
        analyse.analyse(open_run(run.directory, layer=2, normalise="stored"), ("kurtosis",))


# --- the command


def test_the_run_of_the_tf1_code(tmp_path, capsys):
    """As it is: masks of all rounds, the rest left out; nothing but analysis files is added."""
    folder = shutil.copytree(REFERENCE, tmp_path / "run")
    before = set(os.listdir(folder))
    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("left out: the images are not known") == len(PARTS) - 1
    assert printed.splitlines()[-2] == f"arrays     {folder / 'IMP_analysis_*.npz'}"
    assert "94.25" in printed  # best accuracy of round 5, as in its log
    assert all(name.startswith("IMP_analysis_masks_") for name in set(os.listdir(folder)) - before)


def test_bad_input_is_one_line(in_tmp_path, refusal, rounds):
    folder = stored_run(in_tmp_path / "run", *rounds).folder
    (in_tmp_path / "empty").mkdir()
    (in_tmp_path / "other.in").write_text(
        "[Data]\ndataset = EdgeCollage32\ncollage_images = 100\ncollage_val_images = 100\n"
        "[Network]\narch = f9:x\nval_size = 50\n[IMP]\n"
    )
    for arguments, message in [
        ("empty", "holds no rounds"),
        ("run --layer 9", "layer 9 does not exist, or is not dense; accepted: 1, 2, 3"),
        ("run --parts masks,nonsense", "'nonsense' is unknown; accepted: masks"),
        ("run --images_per_class 1", "images_per_class 1: accepted: 2 or more"),
        ("run --input missing.in", "missing.in: cannot be read"),
        ("run --parts kurtosis --input other.in", "images of shape (3, 32, 32) give layer 1 3072 inputs"),
        # a part that is named and impossible, before anything is computed
        ("run --parts masks,kurtosis", "IMP: kurtosis left out: the images are not known; --input FILE names them\n"),
    ]:
        assert message in refusal(main, *arguments.split())
    (folder / "IMP_itdata_0.pkl").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    assert "names os.system" in refusal(main, folder)


def test_what_is_known_is_shown_whatever_comes_later(run, monkeypatch, capsys):
    """A part without enough memory is left out, with its reason, and a crash comes after the tables."""
    monkeypatch.setattr(analyse, "Analysis", lambda *_: run)
    run.report = print

    def fail(error: type[BaseException]) -> None:
        def compute(run: Analysis) -> None:
            raise error("Unable to allocate 5.69 GiB")

        monkeypatch.setitem(PARTS, "removal", analyse.Part(compute))

    fail(MemoryError)
    assert main([str(run.directory.folder), "--parts", "masks,kurtosis"]) == 0
    assert main([str(run.directory.folder)]) == 0
    assert "removal      left out: Unable to allocate 5.69 GiB" in capsys.readouterr().out
    fail(SystemExit)
    with pytest.raises(SystemExit):
        main([str(run.directory.folder)])
    printed = capsys.readouterr().out
    assert printed.index("accuracy") < printed.index("top-1 [%]") < printed.index("cavity  ") < printed.index("IPR")


def test_too_few_images_for_a_part_that_is_named(run, monkeypatch):
    monkeypatch.setattr(datasets, "load_complete", lambda *_: random_images(SHAPE, CLASSES, count=150, val_count=2))
    monkeypatch.setattr(analyse, "recorded_experiment", lambda *_: run.experiment)
    with pytest.raises(RunDirectoryError, match="components left out: components need at least 250 validation"):
        analyse.stored_part(run.directory, "components")


@pytest.mark.parametrize(("part", "shown"), [("masks", "0%"), ("components", "components: PCA, then ICA")])
def test_the_bar_of_a_single_task_moves(run, part, shown):
    """It says what it does and for how long, and no percentage that would stay at 0."""
    console = Console(file=StringIO(), force_terminal=True, width=120)
    analyse.analyse(run, (part,), console)
    drawn = console.file.getvalue()
    assert shown in drawn and ("0:00:00" in drawn) and ("%" in drawn) == (part == "masks")


def test_a_round_that_does_not_exist(run):
    with pytest.raises(Exception, match="has no round 7; accepted: one of 0, 1, 2"):
        analyse.analyse(open_run(run.directory, round=7), ("removal",))


def test_key_is_readable(run):
    """What arrays depend on stands beside them, as JSON."""
    analyse.analyse(run, ("masks",))
    with np.load(run.directory.path("analysis_masks_0.npz")) as file:
        depends = json.loads(str(file["depends_on"]))
    assert depends["rounds"][0][0] == "IMP_itdata_0.pkl"


def test_masks_of_one_layer(tmp_path):
    """A network of the output layer alone is its own first layer."""
    run = open_run(stored_run(tmp_path / "run", random_round("x", SHAPE, CLASSES)))
    assert analyse.analyse(run, ("masks",))["masks"][0]["l1_sigma_x"].shape == (CLASSES,)
