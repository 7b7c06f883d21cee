"""The table and the figures of runs: numbers on the axes are those of the arrays, and problems are one line."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
from synthetic import REFERENCE, made_round, masked_run, stored_run

from postprocess.connectivity import binomial_histogram, connection_histogram, input_connections
from postprocess.figures import drawing, quickstart
from postprocess.locality import displacement_maps, locality_index
from postprocess.receptive_field import rf_width
from postprocess.summary import format_table, main, round_table, summarise
from sifting.architecture import LayerSpec
from sifting.base import input_files
from sifting.errors import RunDirectoryError
from sifting.inputs import read_experiment
from sifting.run import print_results
from sifting.runs.directory import RunDirectory


def write_input(run: RunDirectory, name: str = "quickstart", *changes: str) -> RunDirectory:
    """Say that the run is one of inputs/NAME.in; changes: "Section.key=value"."""
    run.write_input(read_experiment([str(input_files.ROOT / "inputs" / f"{name}.in")], changes).to_text())
    return run


def test_table_of_the_reference_run(reference):
    """Line by line: counted density, best validation accuracy (as in the log), all nodes connected, L3, RF width."""
    lines = [line.split() for line in round_table([reference]).splitlines()]
    assert len(lines) == 7
    accuracies = ["93.25", "93.50", "94.00", "93.00", "93.50", "94.25"]
    for number, (line, accuracy) in enumerate(zip(lines[1:], accuracies, strict=True)):
        result = reference.read_round(number)
        weights = [result.masks[layer].W for layer in range(2)]
        u = 100 * sum(map(np.sum, weights)) / sum(weight.size for weight in weights)
        width = f"{rf_width(weights[0]):.2f}"
        assert line == [str(number), f"{u:.2f}", accuracy, "100.0", f"{locality_index(weights[0]):.2f}", width]


def test_each_pickle_is_read_once(reference, monkeypatch):
    read = []
    original = RunDirectory.read_round
    monkeypatch.setattr(RunDirectory, "read_round", lambda run, number: read.append(number) or original(run, number))
    summarise([reference])
    assert read == [0, 1, 2, 3, 4, 5]


def test_several_seeds_are_pooled(tmp_path):
    """Errors 0.4 and 0.5: mean accuracy 55 %, sample s.d. 100 * 0.1 / sqrt(2); the longer run goes on alone."""
    runs = [masked_run(tmp_path / "a", True, 0.4), masked_run(tmp_path / "b", True, 0.5, rounds=4)]
    summary = summarise(runs)
    mean, sd = summary.mean_and_sd("accuracy")
    np.testing.assert_allclose(mean, [0.55, 0.56, 0.57, 0.53], rtol=1e-6)
    np.testing.assert_allclose(sd[:3], 0.1 / np.sqrt(2), rtol=1e-5)
    assert np.isnan(sd[3])
    assert summary.shown == 2  # the last that both have
    assert summary.mask.shape == (768, 24)
    assert "55.00 ± 7.07" in format_table(summary)


def test_seeds_may_differ_in_what_does_not_change_the_experiment(tmp_path):
    """Seed, place, speed, when the run ends, and the runs that each of them begins with; a run of the TF1 code has no
    input file."""
    runs = [masked_run(tmp_path / name, True, 0.4) for name in "abc"]
    write_input(runs[0])
    changes = ["Network.seed=2", "IO.save_dir=b", "Data.preload=false", "Network.jit_compile=false"]
    write_input(runs[1], "quickstart", *changes, "IMP.max_iterations=5", "IMP.stop_ratio=0.1")
    assert summarise(runs).mask.shape == (768, 36)
    for seed, run in enumerate(runs, 1):
        like = f"Random.like=runs/imp_3l1k/seed_{seed}"
        write_input(run, "pb/random", f"Network.seed={seed}", "Random.sparsity=", like)
    assert summarise(runs).mask.shape == (768, 36)


@pytest.mark.parametrize(
    "name, changes, expected",
    [
        ("quickstart_clone", [], "([Data] clone = none there, gaussian here)"),
        ("quickstart", ["Network.learning_rate=0.1"], "([Network] learning_rate = 0.3 there, 0.1 here)"),
        ("pb/oneshot", [], "([IMP] there, [OneShot] here)"),
        (
            "quickstart",
            ["Network.learning_rate=0.1", "Network.steps=1000", "Network.batch_size=5", "Data.data_ratio=0.5"],
            "([Data] data_ratio = 1.0 there, 0.5 here; [Network] steps = 1500 there, 1000 here; "
            "[Network] batch_size = 100 there, 5 here and 2 more)",
        ),
    ],
)
def test_runs_of_another_experiment_are_no_seeds(tmp_path, capsys, name, changes, expected):
    """Nothing pools them: each experiment has a table and a figure of its own."""
    runs = [write_input(masked_run(tmp_path / folder, True, 0.4, rounds=2)) for folder in "ac"]
    other = write_input(masked_run(tmp_path / "b", False, 0.4, rounds=1), name, *changes)
    advice = "to see both: python -m postprocess.compare A B"
    with pytest.raises(RunDirectoryError) as error:
        summarise([runs[0], other])
    assert str(error.value) == f"{other}: is not another seed of {runs[0]} {expected}; {advice}"
    folders = [str(tmp_path / folder) for folder in "abc"]
    assert main(folders) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"2 seeds of one experiment: {runs[0]}, {runs[1]}",
        *round_table(runs).splitlines(),
        str(runs[0].path("summary.png")),
        str(other),
        *round_table([other]).splitlines(),
        str(other.path("summary.png")),
    ]
    assert main([*folders, "--output", str(tmp_path / "x.png")]) == 2
    assert "x.png: accepted with one experiment; several go to their default places" in capsys.readouterr().err


def test_the_figure_lies_where_the_user_has_named_it(tmp_path, capsys):
    """Of a folder of seeds in that folder, not beside the first seed's own; so name the commands that runs end with."""
    seeds = [masked_run(tmp_path / f"seed_{seed}", True, 0.4, rounds=2) for seed in (1, 2)]
    for directories, named, figure in [
        (seeds, tmp_path, tmp_path / "IMP_summary.png"),
        (seeds[:1], seeds[0], seeds[0].path("summary.png")),
    ]:
        print_results(directories)
        assert capsys.readouterr().out.splitlines()[-1] == f"figures    python -m postprocess.summary {named}"
        before = set(tmp_path.glob("**/*"))
        assert main([str(named)]) == 0
        assert set(tmp_path.glob("**/*")) - before == {figure}
        assert capsys.readouterr().out.splitlines()[-1] == str(figure)


def test_the_table_of_seeds_fits_into_80_columns(tmp_path):
    """Numbers as wide as they usually are: 100.00, 14.43, and two digits before the point of a standard deviation."""
    numbers = [[[1, 1], [0.5, 0.9], [1, 1], [1, 1.1], [14.43, 13.1]]]
    summary = summarise([masked_run(tmp_path / "run", True, 0.4, rounds=1)])
    columns = dict(zip(summary.numbers, np.swapaxes(numbers, 0, 1), strict=True))
    lines = format_table(dataclasses.replace(summary, numbers=columns)).splitlines()
    assert re.split("  +", lines[1])[2:4] == ["100.00 ± 0.00", "70.00 ± 28.28"]
    assert max(map(len, lines)) <= 79


@pytest.mark.parametrize(
    ("specs", "W", "line"),
    [
        (  # inputs that are no image
            (LayerSpec("f", (10, 6), True), LayerSpec("x", (6, 2), False)),
            np.eye(10)[:, :6],
            ["0", "10.00", "75.00", "100.0", "-", "-"],
        ),
        (  # nothing is kept that could be fitted
            (LayerSpec("f", (192, 6), True), LayerSpec("x", (6, 2), False)),
            np.eye(192)[:, :6],
            ["0", "0.52", "75.00", "100.0", "-", "-"],
        ),
        (
            (LayerSpec("c", (3, 3, 3, 4, 1), True), LayerSpec("x", (144, 2), False)),
            np.ones((3, 3, 3, 4)),
            ["0", "100.00", "75.00", "100.0", "-", "-"],
        ),
    ],
)
def test_undefined_numbers_are_dashes(tmp_path, specs, W, line):
    run = stored_run(tmp_path, made_round(0, specs, (W,), 0.25))
    assert round_table([run]).splitlines()[1].split() == line
    assert main([str(tmp_path)]) == 0


# --- figures -------------------------------------------------------------------------------------------------------


def axes():
    return drawing.new_figure(3, 3).add_subplot()


def test_displacement_panel_shows_the_map():
    """Colours from 0 to the maximum without d = 0, dy downwards, d = 0 at the centre."""
    counts = np.arange(81).reshape(9, 9)
    counts[4, 4] = 1000
    ax = axes()
    drawing.map_panel(ax, counts, large=True, bar=True)
    (image,) = ax.images
    shown = image.get_array()
    assert shown.mask.sum() == 1 and shown.mask[3, 3]
    np.testing.assert_array_equal(shown[~shown.mask], counts[1:-1, 1:-1][~shown.mask])
    assert image.get_clim() == (0, 70)
    assert image.get_extent() == [-3.5, 3.5, 3.5, -3.5]


def test_connection_panel_shows_the_histogram():
    connections = np.array([3, 4, 5, 5, 40])
    ax = axes()
    drawing.connections_panel(ax, connections, 192, legend=True)
    edges, nodes = connection_histogram(connections)
    drawn = ax.patches[0].get_data()
    np.testing.assert_array_equal(drawn.values, nodes)
    np.testing.assert_array_equal(drawn.edges, edges)
    middle, expected = ax.lines[0].get_data()
    bins = np.append(middle - 1, middle[-1] + 1).astype(int)
    np.testing.assert_allclose(expected, binomial_histogram(bins, 192, connections.mean() / 192, 5))
    assert expected.sum() == pytest.approx(5, rel=1e-3)
    assert ax.get_yscale() == "log"


def test_quickstart_figure(tmp_path):
    """The claim stands above the figure only where the numbers bear it out."""
    runs = [masked_run(tmp_path / "images", True, 0.4), masked_run(tmp_path / "clone", False, 0.5)]
    images, clone = (summarise([run]) for run in runs)
    with drawing.figure_style():
        figure = quickstart.draw_quickstart(images, clone)
        swapped = quickstart.draw_quickstart(clone, images)
    assert figure.get_suptitle().startswith("Pruning makes local receptive fields emerge")
    assert swapped.get_suptitle().startswith("What pruning keeps")
    locality = next(ax for ax in figure.axes if ax.get_title(loc="left") == "Locality")
    for line, summary in zip(locality.lines, (images, clone), strict=False):
        np.testing.assert_allclose(line.get_ydata(), summary.numbers["locality"][:, 0])
    maps = [ax.images[0].get_array() for ax in figure.axes if ax.get_xlabel().startswith("$d_x")]
    for shown, summary in zip(maps, (images, clone), strict=True):
        expected = displacement_maps(summary.mask).same[1:-1, 1:-1]
        np.testing.assert_array_equal(shown.filled(0), expected)


def test_summary_command(reference, capsys):
    """Prints the table and the path; the figure lies in the run's folder, and nothing else does that was not there."""
    before = set(reference.folder.iterdir())
    assert main([str(reference.folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:-1] == round_table([reference]).splitlines()
    assert set(reference.folder.iterdir()) - before == {reference.path("summary.png")}
    assert out[-1] == str(reference.path("summary.png"))


def test_chosen_round(reference):
    mask = summarise([reference], 2).mask
    np.testing.assert_array_equal(mask, reference.read_round(2).masks[0].W)
    assert input_connections(mask).sum() > input_connections(summarise([reference]).mask).sum()


# --- problems ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run/missing", "missing: is not there; accepted: the save_dir of a run, or DIR/PREFIX, such as"),
        ("empty", "empty: holds no rounds"),
        ("run --round 7", "has no round 7; accepted: one of 0, 1, 2, 3, 4, 5"),
        ("run --round two", "argument --round: invalid int value: 'two'"),
        ("run --output run/input.ini/figure.png", "input.ini/figure.png: cannot be written"),
        ("run --output empty", "empty: unknown format; accepted: a name that ends in .png, .pdf or .svg"),
        ("run --colour red", "unrecognized arguments: --colour red"),
        ("", "the following arguments are required: RUN_DIR"),
        ("run other", "other/IMP: has another architecture than"),
        ("damaged", "IMP_itdata_3.pkl: is not a pickle of numpy arrays, or is damaged"),
    ],
)
def test_problems_are_one_line(reference, in_tmp_path, refusal, arguments, message):
    (in_tmp_path / "empty").mkdir()
    masked_run(in_tmp_path / "other", True, 0.5)
    damaged = RunDirectory(shutil.copytree(REFERENCE, in_tmp_path / "damaged"), "IMP").round_path(3)
    damaged.write_bytes(damaged.read_bytes()[:5000])
    assert message in refusal(main, *arguments.split())


def test_quickstart_refuses_runs_in_the_wrong_order(tmp_path, refusal, capsys):
    """The right order is drawn, into a folder that is made for it."""
    images = write_input(masked_run(tmp_path / "images", True, 0.4)).folder
    clone = write_input(masked_run(tmp_path / "clone", False, 0.5, rounds=2), "quickstart_clone").folder
    output = tmp_path / "new" / "quickstart.png"
    for first, second, message in [
        (
            images,
            images,
            f"{images}/IMP: looks like inputs/quickstart.in, which is images; quickstart needs for clone: ",
        ),
        (clone, images, f"{clone}/IMP: looks like inputs/quickstart_clone.in, which is clone; quickstart needs for "),
        (images, tmp_path / "none", "none: is not there"),
    ]:
        assert message in refusal(quickstart.main, first, second, "--output", output)
    assert quickstart.main([str(images), str(clone), "--output", str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(output)]
    assert output.read_bytes().startswith(b"\x89PNG")
