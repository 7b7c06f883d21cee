"""The figures of P&B: what is drawn are the arrays, the JSON says what is drawn, and problems are one line.

The run that the TF1 code wrote (8x8 images, f48:f32:x, rounds 0 to 5) takes every role: it has no input file beside it.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_images, shrinking_rounds
from synthetic import REFERENCE, input_text, made_round, stored_run

from postprocess import locality
from postprocess.activations import most_activating
from postprocess.command_line import plain
from postprocess.connectivity import connection_histogram, input_connections, select_nodes
from postprocess.evaluation import removal_curve, removal_order
from postprocess.figures import FIGURES, base, drawing, figure_module
from postprocess.figures.__main__ import draw_figure, list_figures, main, runs_by_role
from postprocess.figures.shown import Shown, at_densities, show
from postprocess.locality import displacement_maps
from postprocess.masks import image_plate, layer_masks, pixel_map
from postprocess.seeds import Seeds, good_rounds, pruned_layer, read_seeds
from sifting import datasets
from sifting.architecture import LayerSpec
from sifting.datasets.image_set import ImageSet
from sifting.datasets.semantic import IMAGENET_NAMES
from sifting.errors import DataError, InputError, RunDirectoryError
from sifting.inputs import read_experiment
from sifting.network import plates
from sifting.network.rounds import density
from sifting.runs.directory import RunDirectory

PELLEGRINI = [name for name in FIGURES if name.startswith("pb-")]


@pytest.fixture
def other(tmp_path) -> RunDirectory:
    """Another copy of the reference run."""
    return RunDirectory(shutil.copytree(REFERENCE, tmp_path / "other"), "IMP")


def make_run(folder: Path, *changes: str, method: str = "IMP") -> RunDirectory:
    """The reference's rounds beside an input file of ours."""
    run = RunDirectory(shutil.copytree(REFERENCE, folder), "IMP")
    run.write_input(input_text(folder, *changes, method=method))
    return run


@pytest.fixture
def images(monkeypatch) -> ImageSet:
    """Images for the reference run, whatever its input file would say."""
    rng = np.random.default_rng(1)
    pixels, labels = rng.integers(0, 256, (60, 192), np.uint8), rng.integers(0, 10, 60).astype(np.int32)
    mean = pixels[:30].mean(axis=0, dtype=np.float32)
    found = ImageSet(pixels[:30], labels[:30], pixels[30:], labels[30:], mean, (3, 8, 8), 10, "random")
    monkeypatch.setattr(base, "load_images", lambda run, options: found)
    return found


def draw(name: str, run: RunDirectory, **options):
    """The figure, its numbers as JSON has them, with `run` in every role."""
    module = figure_module(name)
    with drawing.figure_style():
        figure, numbers = module.draw({role: [run] for role in module.ROLES}, base.Options(**options))
        figure.draw_without_rendering()  # no layout problem: warnings are errors
    return figure, json.loads(json.dumps(plain(numbers), allow_nan=False))


def shown_maps(figure) -> list[np.ndarray]:
    """The maps S(d) as drawn, d = 0 of S_sc nan; in the order of the figure."""
    images = [image for ax in figure.axes for image in ax.images if image.get_array().ndim == 2]
    assert all(image.get_clim()[0] == 0 and image.get_clim()[1] == max(image.get_array().max(), 1) for image in images)
    return [np.ma.filled(image.get_array().astype(float), np.nan) for image in images]


def stored_maps(numbers) -> list[np.ndarray]:
    """All maps in the JSON."""
    if isinstance(numbers, dict):
        if "map" in numbers:
            return [np.array(numbers["map"], float)]
        return [one for value in numbers.values() for one in stored_maps(value)]
    return [one for value in numbers for one in stored_maps(value)] if isinstance(numbers, list) else []


def same_arrays(first, second) -> bool:
    """Whether both hold equal arrays, in any order."""
    return sorted(array.tobytes() for array in first) == sorted(array.tobytes() for array in second)


# --- every figure


@pytest.mark.parametrize("name", PELLEGRINI)
def test_maps_in_the_json_are_those_drawn(name, reference, images):
    figure, numbers = draw(name, reference)
    assert same_arrays(shown_maps(figure), stored_maps(numbers))


@pytest.mark.parametrize("name", ["pb-1", "pb-3", "pb-15", "pb-17", "redman-2", "redman-4", "table-1"])
def test_images_that_are_not_known(name, reference, refusal):
    line = refusal(main, name, *(f"{role}={reference.folder}" for role in figure_module(name).ROLES))
    assert "images are not known" in line


# --- single figures


def lines_of(ax) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in ax.lines}


def test_figure_1(reference, images):
    figure, numbers = draw("pb-1", reference)
    accuracy, histogram, removal = figure.axes
    rounds = [reference.read_round(number) for number in range(6)]
    u = [100 * density(result.masks, result.specs) for result in rounds]
    best = [100 * (1 - result.best_validation_error) for result in rounds]
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), np.transpose([u, best]), rtol=1e-6)
    assert accuracy.get_xscale() == "log" and accuracy.get_xlim()[0] > accuracy.get_xlim()[1]
    np.testing.assert_allclose(numbers["a"]["runs"], np.array(best)[:, None] / 100, rtol=1e-6)

    # All three densities of the paper lie below this run's, so that its last round is the only one.
    (one,) = numbers["b"]
    assert (one["round"], one["paper_u"]) == (5, 0.04)
    connections = input_connections(rounds[5].masks[0].W)
    edges, nodes = connection_histogram(connections)
    drawn = histogram.patches[0].get_data()
    np.testing.assert_array_equal(drawn.values, nodes)
    np.testing.assert_array_equal(drawn.edges, edges)
    assert (one["edges"], one["nodes"]) == (edges.tolist(), nodes.tolist())
    triangle = next(line for line in histogram.lines if line.get_marker() == "^")
    assert triangle.get_xdata()[0] == connections.mean() == one["n0_u"]
    assert "(paper: 4 %)" in histogram.get_legend().get_texts()[0].get_text()

    order = removal_order(input_connections(rounds[5].masks[0].W), "least")
    sizes = numbers["c"]["sizes"]
    assert (sizes[0], sizes[-1], numbers["c"]["round"]) == (0, 48, 5)  # 94.25 %, the best
    curve = removal_curve(rounds[5], images, order, sizes, normalise="batch")
    np.testing.assert_allclose(lines_of(removal)["least connected first"], np.transpose([sizes, curve.relative]))
    np.testing.assert_allclose(numbers["c"]["least"]["relative"], curve.relative)


def test_figure_2(reference):
    figure, numbers = draw("pb-2", reference, round=3)
    maps = displacement_maps(reference.read_round(3).masks[0].W)
    same, different = shown_maps(figure)
    assert np.isnan(same[7, 7])
    np.testing.assert_array_equal(np.nan_to_num(same), maps.same[1:-1, 1:-1])
    np.testing.assert_array_equal(different, maps.different[1:-1, 1:-1])
    assert numbers["b"][0]["S_dc"]["maximum"] == maps.different.max()


def test_figure_3(reference, images):
    figure, numbers = draw("pb-3", reference)
    result = reference.read_round(5)
    mask = result.masks[0].W
    assert numbers["a"]["nodes"] == select_nodes(input_connections(mask)).tolist()
    nodes = numbers["b"]["nodes"]
    top = most_activating(result, images, 0, nodes, 3)
    assert numbers["b"]["images"] == top.rows.tolist()
    plate = figure.axes[1].images[0].get_array()
    tile = 33  # 8 pixels enlarged to 32, and a gap
    for column, node in enumerate(nodes):
        expected = mask[:, node].reshape(3, 8, 8).transpose(1, 2, 0)
        left = column * tile
        np.testing.assert_array_equal(plate[:32:4, left : left + 32 : 4], expected)
        for row in range(3):
            shown = plate[(2 + row) * tile :, left:][:32:4, :32:4]
            image = images.val_images[top.rows[column, row]].reshape(3, 8, 8).transpose(1, 2, 0)
            np.testing.assert_allclose(shown, image / 255, rtol=1e-6)


def test_comparison(reference):
    """Squares at the best rounds; errors as stored, training errors averaged between validations."""
    figure, numbers = draw("pb-6", reference)
    accuracy = figure.axes[0]
    squares = [line.get_xydata()[0] for line in accuracy.lines if line.get_marker() == "s"]
    result = reference.read_round(5)
    expected = [100 * density(result.masks, result.specs), 94.25]
    np.testing.assert_allclose(squares, [expected] * 4, rtol=1e-6)
    training, validation = figure.axes[3:5]
    steps = np.array(result.validation_steps)
    assert len(steps) < 15  # so that the window is a single validation
    for line in validation.lines:
        np.testing.assert_allclose(line.get_xydata(), np.transpose([steps, 100 * result.validation_errors])[1:])
    for line in training.lines:
        first = np.mean(result.training_errors[1 : steps[1] + 1], dtype=float)
        np.testing.assert_allclose(line.get_xydata()[0], [steps[1], 100 * first])
    assert numbers["c"]["sgd_0.1"]["validation"]["step"] == steps[1:].tolist()


def test_random_nodes_need_no_run(tmp_path, capsys):
    output = tmp_path / "random.svg"
    assert main(["pb-9", "--output", str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(output), str(tmp_path / "random.json")]
    maps = json.loads((tmp_path / "random.json").read_text())["numbers"]["maps"]
    assert [one["connections"] for one in maps] == [3072, 922, 307, 92, 31, 9]
    # k connections make k (k - 1) / 2 pairs, each counted at d and -d, and fewer in one channel.
    assert 0 < np.nansum(np.array(maps[-1]["S_sc"]["map"], float)) <= 9 * 8


def test_pixels(reference):
    figure, numbers = draw("pb-10", reference, round=4)
    expected = pixel_map(reference.read_round(4).masks[0].W)
    for ax in figure.axes:
        np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    np.testing.assert_array_equal(numbers["imp"]["C_out"]["image"], expected)


def test_effective_masks(reference):
    figure, numbers = draw("pb-12", reference)
    assert [one["layer"] for one in numbers["plates"]] == [1, 2, 1, 2]  # this network has two hidden layers
    result = reference.read_round(5)
    effective = layer_masks([result.masks[layer].W for layer in (0, 1)], "effective")[1]
    nodes = select_nodes(input_connections(effective), count=30)
    assert numbers["plates"][1]["nodes"] == nodes.tolist() and len(numbers["plates"][0]["nodes"]) == 45  # full rows
    expected = image_plate(drawing.mask_images(effective[:, nodes], (3, 8, 8)), 15)
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), expected)


def test_gain(reference):
    figure, numbers = draw("pb-18", reference)
    lines = lines_of(figure.axes[0])
    best = np.array([93.25, 93.5, 94, 93, 93.5, 94.25])
    np.testing.assert_allclose(lines["random"][:, 1], best - 93.25, atol=1e-5)
    assert numbers["b"]["random"] == {"dense": pytest.approx(0.9325), "best": pytest.approx(0.9425), "round": 5}
    np.testing.assert_allclose(draw("pb-19", reference)[1]["b"]["largest_gain"], [0.01] * 7, atol=1e-7)


def test_connection_ranges(reference):
    """The nodes of a range are those of its map, and every range has some."""
    figure, numbers = draw("pb-11", reference, round=5)
    mask = reference.read_round(5).masks[0].W
    incoming = input_connections(mask)
    bins = numbers["imp"]["bins"]
    assert sum(one["nodes"] for one in bins) == np.count_nonzero(incoming >= 2)
    for ax, one in zip(figure.axes, bins, strict=False):
        inside = (incoming >= one["first"]) & (incoming <= one["last"])
        assert 0 < inside.sum() == one["nodes"] and ax.get_xlabel().endswith(f"({one['nodes']})")
        drawn = np.nan_to_num(np.array(one["S_sc"]["map"], float))
        np.testing.assert_array_equal(drawn, displacement_maps(mask[:, inside]).same[1:-1, 1:-1])


def test_same_nodes_under_every_method(reference):
    figure, numbers = draw("pb-4", reference)
    rows = numbers["rows"]
    assert [row["round"] for row in rows] == [0, 4, 5, 5, 5, 5]  # u = 24 %, and nearest to 4 %, 10 %
    assert figure.axes[0].texts[len(rows) + 1].get_text() == "93.3 %"
    plate = figure.axes[0].images[0].get_array()
    for row, one in enumerate(rows[1:], 1):
        mask = reference.read_round(one["round"]).masks[0].W
        for column, node in enumerate(numbers["nodes"]):
            tile = plate[33 * row :, 33 * column :][:32:4, :32:4]
            np.testing.assert_array_equal(tile, mask[:, node].reshape(3, 8, 8).transpose(1, 2, 0))


def test_other_seeds_are_no_same_nodes(reference, other):
    reference.write_record({"seed": 1})
    other.write_record({"seed": 2})
    module = figure_module("pb-4")
    with pytest.raises(RunDirectoryError, match="accepted: one seed"):
        module.draw({role: [other if role == "snip" else reference] for role in module.ROLES}, base.Options())


def test_hierarchy(reference, images):
    """Every node of layer 1 below a node of layer 2 is connected to it; the images are the most activating ones."""
    _, numbers = draw("pb-15", reference)
    result = reference.read_round(5)
    for one in numbers["layer_1"]:
        feeds = (result.masks[1].W[:, one["node"]] != 0) & result.masks[0].W.any(axis=0)
        assert sorted(one["features"]) == np.flatnonzero(feeds).tolist()
    top = most_activating(result, images, 1, numbers["nodes"], 3, normalise="batch")
    assert numbers["images"] == top.rows.tolist()


def test_layer_by_layer(reference):
    """Rounds belong to the last layer that is pruned; white dots are the last rounds that are no worse than dense."""
    u = np.array([[1, 1], [0.5, 1], [0.2, 1], [0.5, 0.6], [0.5, 0.3]])[:, None]
    accuracy = np.array([0.5, 0.6, 0.4, 0.5, 0.3])[:, None]
    curve = Seeds(tuple(range(5)), tuple(range(5)), u[:, :, 0], accuracy, u, ())
    layers = pruned_layer(curve)
    assert layers.tolist() == [0, 0, 0, 1, 1]
    assert good_rounds(curve, layers) == {0: 1, 1: 3}

    figure, numbers = draw("pb-16", reference)  # here all layers are pruned at once: all rounds are of the last one
    line = lines_of(figure.axes[0])["layer 2"]
    np.testing.assert_allclose(line[:, 1], [93.5, 94, 93, 93.5, 94.25], rtol=1e-6)
    assert numbers["b"]["round"] == 5
    upper, lower = numbers["b"]["levels"]
    mask = reference.read_round(5).masks[1].W
    assert upper["nodes"] == [numbers["b"]["node"]]
    assert set(lower["nodes"]) <= set(np.flatnonzero(mask[:, numbers["b"]["node"]]))


def test_tree():
    """Node 0 has one node below it, node 1 two that three inputs reach, node 2 two that two inputs reach."""
    first = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]])
    second = np.array([[1, 0, 1], [0, 1, 0], [0, 1, 1], [0, 0, 0]])
    node, (lower, upper) = figure_module("pb-16").tree([first, second])
    assert node == 1 and lower.tolist() == [1, 2] and upper.tolist() == [1]


def test_samples_of_classes(images):
    """The first image of each pair of classes; black where there is none."""
    random = dataclasses.replace(images, labels=(images.labels + np.arange(30, dtype=np.int32) % 2) % 10)
    rows = figure_module("pb-17").sample_rows(images, random)
    for k, pair in enumerate(zip(random.labels, images.labels, strict=True)):
        assert 0 <= rows[pair] <= k
        assert (random.labels[rows[pair]], images.labels[rows[pair]]) == pair
    assert np.count_nonzero(rows >= 0) == len(set(zip(random.labels, images.labels, strict=True)))
    with pytest.raises(DataError, match="other images"):
        figure_module("pb-17").sample_rows(images, dataclasses.replace(random, images=images.images[::-1]))


def words_of(figure) -> list[str]:
    (table,) = figure.axes[0].tables
    return [cell.get_text().get_text() for cell in table.get_celld().values()]


def test_table_1(tmp_path, images, monkeypatch):
    run = make_run(tmp_path / "run", "Data.dataset=ImageNet32", "Data.reclass=semantic")
    monkeypatch.setattr(base, "load_images", lambda *_: dataclasses.replace(images, class_names=IMAGENET_NAMES))
    figure, numbers = draw("table-1", run)
    words = words_of(figure)
    head, *lines, total = (words[k : k + 6] for k in range(0, len(words), 6))
    assert head[2:] == ["classes\nP&B", "classes\nImageNet32", "images\nP&B", "images\nImageNet32"]
    counts = np.bincount(images.labels, minlength=10)
    assert lines[0] == ["0", "DOG", "118", "118", "147873", str(counts[0])]
    assert [line[3] for line in lines] == [line[2] for line in lines]  # as many classes as in the paper
    assert [line[5] for line in lines] == [*map(str, numbers["images"])] == [*map(str, counts)]
    assert total == ["", "TOTAL", "1000", "1000", "1281167", "30"]
    assert numbers["paper"]["images"][8:] == [122701, 124282] and sum(numbers["paper"]["classes"]) == 1000


def test_table_1_of_other_classes(tmp_path, images, monkeypatch):
    """The families of the embedded images are not in the paper; images in their own classes have no table."""
    monkeypatch.setattr(base, "load_images", lambda *_: dataclasses.replace(images, class_names=tuple("abcdefghij")))
    run = make_run(tmp_path / "run", "Data.reclass=semantic")
    figure, numbers = draw("table-1", run)
    assert "paper" not in numbers and numbers["classes"] == [10] * 10
    assert words_of(figure)[4:8] == ["0", "a", "10", str(numbers["images"][0])]
    with pytest.raises(RunDirectoryError, match="does not learn semantic classes; .*run inputs/pb/classes_semantic.in"):
        draw("table-1", make_run(tmp_path / "plain"))


def test_wide_histograms_have_wider_bins():
    ax = drawing.new_figure(3, 3).add_subplot()
    connections = np.arange(0, 500, 5)
    found = drawing.connections_panel(ax, connections, 3072)
    assert np.all(np.diff(found["edges"]) == 10) and len(found["nodes"]) == 50
    np.testing.assert_array_equal(ax.patches[0].get_data().values, found["nodes"])
    assert ax.lines[0].get_ydata().sum() == pytest.approx(100, rel=1e-3)


# --- curves and rounds


def test_seeds_are_averaged(reference, other):
    """A second run that ends earlier, with another error: mean and s.d. where both are, its rounds the common ones."""
    other.round_path(5).unlink()
    curve = read_seeds([reference, other])
    assert curve.common == (0, 1, 2, 3, 4) and curve.rounds == (0, 1, 2, 3, 4, 5)
    assert curve.best == 2  # 94 %; round 5 of the one run does not count
    np.testing.assert_allclose(curve.mean[5], 0.9425, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(curve.sd), [False] * 5 + [True])
    assert curve.nearest(1e-9) == 4


def test_curves_end_where_the_first_run_does(reference, other):
    """The band of the accuracy, here 96 % +- 5.7 %, ends at 100 %."""
    other.round_path(5).unlink()
    seeds = dataclasses.replace(read_seeds([reference, other]), accuracy=np.tile([0.92, 1.0], (6, 1)))
    ax = drawing.new_figure(3, 3).add_subplot()
    drawing.density_curve(ax, seeds)
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_ydata(), [96] * 5)
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == 100
    assert ax.get_xlim()[0] > ax.get_xlim()[1]  # the dense network on the left


def test_several_densities_share_a_round(reference):
    """A run of u = 100, 4 and 1.2 % only."""
    u = np.array([1, 0.04, 0.012])[:, None]
    shown = Shown(Seeds((0, 1, 2), (0, 1, 2), u, u, u[:, :, None], ()), 0)
    few = at_densities(shown, (0.04, 0.01, 0.003))
    assert [(one.number, one.wanted) for one in few] == [(1, 0.04), (2, 0.01)]
    assert few[1].label == "u = 1.2 %"
    assert shown.seeds.nearest(0.3) == 0  # nearer to 100 % than to 4 %: on a log scale
    (far,) = at_densities(shown, (0.003,))
    assert far.label == "u = 1.2 % (paper: 0.3 %)"
    with pytest.raises(RunDirectoryError, match="--round 7: accepted: one of 0, 1, 2"):
        show([reference], base.Options(round=7))


def test_json_has_no_nan():
    content = {"a": np.array([1.5, np.nan]), "b": (np.int64(2), range(2)), 3: np.bool_(True)}
    assert plain(content) == {"a": [1.5, None], "b": [2, [0, 1]], "3": True}


# --- the command


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_equal_data_give_equal_bytes(kind, reference, tmp_path):
    files = [draw_figure("pb-2", {"imp": [reference]}, output=tmp_path / f"{n}.{kind}") for n in range(2)]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_default_output_is_beside_the_run(reference, capsys):
    assert main(["pb-2", str(reference.folder)]) == 0
    picture, numbers = (reference.path(f"pb-2.{kind}") for kind in ("png", "json"))
    assert capsys.readouterr().out.splitlines() == [str(picture), str(numbers)]
    about = json.loads(numbers.read_text())
    lines = list_figures().splitlines()
    assert len(lines) == len(FIGURES) and lines[0].startswith("pb-1 ") and lines[0].endswith("[imp]")
    assert list(FIGURES)[:3] == ["pb-1", "pb-2", "pb-3"]  # not pb-1, pb-10
    assert about["figure"] == "pb-2"
    assert about["runs"] == {"imp": {"input": "inputs/imp_3l1k.in", "seeds": [None]}}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_runs_by_role(reference, other):
    roles = {"a": "", "b": "", "c": ""}
    found = runs_by_role("x", roles, [f"b={other.folder}", str(reference.folder), f"b={reference}"])
    assert {role: [str(run) for run in runs] for role, runs in found.items()} == {
        "a": [str(reference)],
        "b": [str(other), str(reference)],
    }
    seeds = runs_by_role("x", {"a": ""}, [str(reference), str(other)])
    assert [str(run) for run in seeds["a"]] == [str(reference), str(other)]
    with pytest.raises(InputError, match="accepted: at most 3, for a, b, c"):
        runs_by_role("x", roles, [str(reference)] * 4)


def test_runs_that_do_not_fit(tmp_path):
    roles = {"imp": "inputs/imp_3l1k.in", "snip": "inputs/pb/snip.in"}
    imp, snip = make_run(tmp_path / "imp"), make_run(tmp_path / "snip", method="SNIP")
    base.check_runs("pb-x", roles, {"imp": [imp], "snip": [snip]})
    with pytest.raises(RunDirectoryError, match=r"is a run of \[SNIP\], not of \[IMP\].*run inputs/imp_3l1k.in"):
        base.check_runs("pb-x", roles, {"imp": [snip], "snip": [imp]})
    roles = {"all": "inputs/imp_3l1k.in", "part": "inputs/pb/fraction_30.in"}
    part = make_run(tmp_path / "part", "Data.data_ratio=0.3")
    base.check_runs("pb-x", roles, {"all": [imp], "part": [part]})
    with pytest.raises(RunDirectoryError, match="looks like inputs/pb/fraction_30.in, which is part"):
        base.check_runs("pb-x", roles, {"all": [part], "part": [imp]})
    # Of another scale than small.in's: keys that are scaled do not say which experiment it is.
    wide = make_run(tmp_path / "wide", "Network.arch=f512:f512:f512:x", "Network.steps=100000", "IMP.prune=T:T:T:F")
    widths = {"3l1k": "inputs/imp_3l1k.in", "3l512": "inputs/pb/widths_3l512.in"}
    base.check_runs("pb-x", widths, {"3l1k": [wide], "3l512": [imp]})
    small = RunDirectory(shutil.copytree(REFERENCE, tmp_path / "small"), "IMP")
    files = [str(base.INPUTS / name) for name in (widths["3l512"], "inputs/small.in")]
    small.write_input(read_experiment(files).to_text())
    with pytest.raises(RunDirectoryError, match="looks like inputs/pb/widths_3l512.in, which is 3l512"):
        base.check_runs("pb-x", widths, {"3l1k": [small], "3l512": [small]})
    departures = base.describe_runs(roles, {"all": [part]})["all"]["departures"]
    assert "Data.data_ratio = 0.3" in departures


def test_departures_from_the_input_file_are_said(tmp_path, reference):
    """pb-2 from a run of rotated images; a run without input file, of the TF1 code, has none to depart from."""
    lines = []
    run = make_run(tmp_path / "rotated", "Data.rotate=30")
    draw_figure("pb-2", {"imp": [run]}, base.Options(report=lines.append))
    (note,) = [line for line in lines if line.startswith("note: ")]
    assert note.startswith(f"note: {run} departs from inputs/imp_3l1k.in: ") and "Data.rotate = 30.0" in note
    lines.clear()
    draw_figure("pb-2", {"imp": [reference]}, base.Options(report=lines.append))
    assert not any(line.startswith("note: ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("pb-2", "pb-2: no run for imp: python -m sifting.run inputs/imp_3l1k.in; then give the folders"),
        ("pb-14 snip=run", "pb-14: no run for synflow: python -m sifting.run inputs/pb/synflow.in"),
        (
            "redman-4 run",
            "for oneshot: python -m sifting.run inputs/redman/oneshot.in; random: python -m sifting",
        ),
        ("table-1 run", "as IMP_input.in is missing; accepted: its input file, as IMP_input.in"),
        ("pb-2 run/none", "none: is not there"),
        ("pb-2 foo=run", "'foo' is no role of pb-2; accepted: imp"),
        ("pb-14 snip=run sinflow=run", "'sinflow' is no role of pb-14; accepted: snip, synflow"),
        ("pb-2 run/a=b", "a=b: is not there"),
        ("pb-0 run", "'pb-0' is not a figure; accepted: pb-1, pb-2"),
        ("", "no figure named; accepted: pb-1"),
        ("pb-2 run --round 9", "--round 9: accepted: one of 0, 1, 2, 3, 4, 5"),
        ("pb-2 run --output run/x.gif", "unknown format"),
        ("pb-14 run run run", "3 RUN_DIRs without a role"),
        ("movies", "movies: no run for imp: python -m sifting.run inputs/imp_3l1k.in"),
        ("movies run --output run/x.png", "x.png: unknown format; accepted: a name that ends in .gif"),
        ("movies run --round 9", "--round 9: accepted: one of 0, 1, 2, 3, 4, 5"),
    ],
)
def test_problems_are_one_line(arguments, message, reference, in_tmp_path, refusal):
    assert message in refusal(main, *arguments.split())


# --- images that are not in colour ---------------------------------------------------------------------------------


def test_grey_images_have_no_pairs_of_different_colours(tmp_path):
    """Their masks are drawn in grey."""
    specs = LayerSpec("f", (64, 6), True), LayerSpec("x", (6, 2), False)
    mask = np.random.default_rng(0).random((64, 6)) < 0.3
    run = stored_run(tmp_path / "grey", made_round(0, specs, (mask,)))
    figure, numbers = draw("pb-2", run)
    (found,) = numbers["b"]
    expected = displacement_maps(mask, (1, 8, 8)).same[1:-1, 1:-1]
    np.testing.assert_array_equal(np.nan_to_num(np.array(found["S_sc"]["map"], float)), expected)
    assert found["S_dc"] == {} and any("grey" in text.get_text() for ax in figure.axes for text in ax.texts)


@pytest.mark.parametrize("shape", [(3, 2, 8), (12, 2, 2)])
@pytest.mark.parametrize("name", ["pb-2", "pb-3", "pb-11", "pb-12", "pb-15", "pb-16", "pb-22", "redman-5", "movies"])
def test_no_panel_guesses_the_shape_of_images(name, shape, tmp_path, monkeypatch):
    """They are as many numbers as 3 x 4 x 4."""

    def told(inputs, given=None):
        assert given == shape or inputs != 48
        return given

    run = stored_run(tmp_path / "run", *shrinking_rounds("f9:f7:f6:x", shape, 4, 3))
    run.write_record({"image_shape": shape, "rounds": {}})
    run.write_input(input_text(tmp_path, "Network.arch=f9:f7:f6:x", "IMP.prune=T:T:T:F"))
    found = random_images(shape, 4, count=150, val_count=90)
    monkeypatch.setattr(base, "load_images", lambda run, options: found)
    monkeypatch.setattr(datasets, "load", lambda experiment, report: found)
    monkeypatch.setattr(plates, "image_shape", told)
    monkeypatch.setattr(locality, "image_shape", told)
    module = figure_module(name)
    module.draw({role: [run] for role in module.ROLES}, base.Options())


@pytest.mark.parametrize("name", ["pb-1", "pb-2", "pb-11", "pb-17", "pb-19", "movies"])
@pytest.mark.parametrize("first", [LayerSpec("f", (50, 6), True), LayerSpec("c", (3, 3, 3, 6, 1), True)])
def test_a_first_layer_that_does_not_look_at_images_is_refused(name, first, tmp_path, images):
    """Images that the number of its inputs is not that of, and a convolution."""
    specs = first, LayerSpec("x", (6, 10), False)
    run = stored_run(tmp_path / "other", made_round(0, specs))
    with pytest.raises(RunDirectoryError, match="other/IMP: its first layer does not look at images pixel by pixel"):
        draw(name, run)
