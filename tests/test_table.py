"""The table of runs: which of them are seeds of one experiment, what its lines say, and the figure of a column."""

import csv
import io
import json
import re

import numpy as np
import pytest
from synthetic import masked_run, write_input

from postprocess import table
from postprocess.differences import seed_groups
from postprocess.locality import locality_index
from postprocess.observables import OBSERVABLES, Observable
from postprocess.table import draw, main, rows_of
from sifting.errors import InputError
from sifting.inputs import read_experiment
from sifting.runs.find import runs_below


@pytest.fixture
def made(tmp_path):
    """made(place, *changes, error=0.4): a run of three rounds whose input file has these changes."""

    def made(place, *changes, error=0.4, method="IMP", **options):
        run = masked_run(tmp_path / "runs" / place, True, error, **options)
        given = [f"IO.save_dir={run.folder}", *changes]
        run.write_input(read_experiment([str(write_input(tmp_path, *given, method=method))]).to_text())
        run.write_record({"finished": True})
        return run

    return made


@pytest.fixture
def sweep(made, tmp_path):
    """Two seeds of each of three learning rates; errors 0.4, 0.5; 0.3, 0.4; 0.2, 0.3."""
    for place, rate in enumerate((0.05, 0.1, 0.3)):
        for seed in (1, 2):
            changes = f"Network.learning_rate={rate}", f"Network.seed={seed}"
            made(f"learning_rate={rate}/seed_{seed}", *changes, error=0.3 - 0.1 * place + 0.1 * seed)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("changes", "pooled"),
    [
        (["IO.checkpoint_seconds=9", "IO.prefix=other"], True),
        (["Data.dataloc=elsewhere"], True),
        (["Network.learning_rate=0.2"], False),
        (["IMP.max_iterations=9"], False),
        (["Network.tf32=true"], False),
        (["Network.steps=30"], False),
    ],
)
def test_seeds_are_pooled_only_where_all_else_is_equal(made, changes, pooled):
    runs = [made("a", "Network.seed=1"), made("b", "Network.seed=2", *changes)]
    groups = seed_groups(runs)
    assert [group.seeds for group in groups] == ([[1, 2]] if pooled else [[1], [2]])


def test_other_runs_of_the_same_seed_are_equal(made):
    """Each seed has the densities of another run, of its own seed; those of another experiment are another setting."""
    names = ["runs/imp/seed_1", "runs/imp/seed_2", "runs/snip/seed_3"]
    runs = [
        made(f"{seed}", f"Network.seed={seed}", "Random.sparsity", f"Random.like={name}", method="Random")
        for seed, name in enumerate(names, 1)
    ]
    assert [group.seeds for group in seed_groups(runs)] == [[1, 2], [3]]


def test_of_runs_without_an_input_file_folders_decide(tmp_path):
    runs = [masked_run(tmp_path / name, True, 0.4) for name in ("a/seed_1", "a/seed_2", "b", "c")]
    groups = seed_groups(runs)
    assert [len(group.runs) for group in groups] == [2, 1, 1]
    assert list(map(str, groups)) == [str(tmp_path / "a"), str(runs[2]), str(runs[3])]
    assert [row.settings["run"] for row in rows_of(runs)] == list(map(str, groups))


def test_a_line_is_mean_and_sd_over_the_seeds_of_one_round(sweep, capsys):
    """Rounds have densities 1, 0.3 and 0.09, and their errors fall by 0.01; s.d. of two is their distance / sqrt(2)."""
    assert main([str(sweep)]) == 0
    titles, *lines, note = capsys.readouterr().out.splitlines()
    assert re.split("  +", titles.strip())[:4] == ["learning_rate", "seeds", "round", "best error [%]"]
    expected = [["0.05", "43.00"], ["0.1", "33.00"], ["0.3", "23.00"]]
    for line, (rate, error) in zip(lines, expected, strict=True):
        mask = runs_below([sweep])[0].read_round(2).masks[0].W
        cells = re.split("  +", line.strip())
        assert cells[:6] == [rate, "2", "2", f"{error} \u00b1 7.07", "9.01 \u00b1 0.00", "100.0 \u00b1 0.0"]
        assert cells[6] == f"{locality_index(mask):.2f} \u00b1 0.00"
    assert note.startswith("6 runs; seeds of which all else is equal are pooled") and note.endswith("all have")


def test_the_round_at_a_density_is_the_nearest_on_a_log_scale(sweep, capsys):
    runs = runs_below([sweep])
    assert [row.round for u in (0.6, 0.5, 0.1, 0.01) for row in rows_of(runs[:1], u)] == [0, 1, 2, 2]
    assert main([str(sweep), "--at_density", "0.2"]) == 0
    assert capsys.readouterr().out.endswith("Warning: 3 of 3 lines have no round within 25 % of u = 0.2\n")


def test_lines_are_in_the_order_of_their_settings_and_methods_have_their_own(made, tmp_path):
    """OneShot has no max_iterations; a prune_step that follows steps is no setting."""
    for rounds in (10, 9):
        made(f"imp_{rounds}", f"IMP.max_iterations={rounds}")
    made("longer", "Network.steps=30", "IMP.max_iterations=9")
    made("oneshot", method="OneShot")
    settings = [tuple(row.settings.items()) for row in rows_of(runs_below([tmp_path / "runs"]))]
    assert [[value for _, value in line] for line in settings] == [
        ["IMP", "20", "9"],
        ["IMP", "20", "10"],
        ["IMP", "30", "9"],
        ["OneShot", "20", "-"],
    ]
    assert [key for key, _ in settings[0]] == ["method", "steps", "max_iterations"]


def test_csv_and_json_have_the_numbers_of_the_table(sweep, capsys):
    rows = rows_of(runs_below([sweep]))
    assert main([str(sweep), "--json"]) == 0
    captured = capsys.readouterr()
    entries = json.loads(captured.out)
    assert captured.err.startswith("6 runs; ")
    assert entries[0]["settings"] == {"learning_rate": "0.05"} and entries[0]["seeds"] == [1, 2]
    assert entries[0]["runs"] == [str(run) for run in rows[0].group.runs]
    assert main([str(sweep), "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    for row, entry, line in zip(rows, entries, lines, strict=True):
        for name in table.columns():
            mean, sd = row.mean_and_sd(name)
            assert (entry[name]["mean"], entry[name]["sd"]) == (mean, sd)
            assert (float(line[name]), float(line[f"{name}_sd"])) == (mean, sd)
        assert (line["seeds"], line["round"]) == ("2", "2")


def test_what_is_not_defined_is_empty(tmp_path, capsys, monkeypatch):
    """Among it an observable of the user's; what is no observable is refused."""
    monkeypatch.setitem(OBSERVABLES, "own", Observable("own", lambda result: np.nan))
    masked_run(tmp_path, True, 0.4)
    for options, shown in ([], "  -\n1 run;"), (["--csv"], ",,\n"), (["--json"], '"mean": null'):
        assert main([str(tmp_path), *options]) == 0
        assert shown in capsys.readouterr().out
    monkeypatch.setitem(OBSERVABLES, "own", "len")
    with pytest.raises(InputError, match=re.escape("OBSERVABLES['own'] is 'len'; accepted: a function of a round, or")):
        rows_of(runs_below([tmp_path]))


def test_what_is_not_as_it_seems_is_said(made, tmp_path, capsys):
    made("a", "Network.seed=1")
    made("b", "Network.seed=1").write_record({"finished": False})
    assert main([str(tmp_path / "runs")]) == 0
    notes = capsys.readouterr().out.splitlines()[2:]
    folder = tmp_path / "runs"
    assert notes[1:] == [
        f"Warning: one seed several times: {folder / 'a' / 'IMP'}, {folder / 'b' / 'IMP'}",
        f"Warning: not finished: {folder / 'b' / 'IMP'}",
    ]


def test_runs_are_found_at_any_depth_and_once(sweep):
    for seed in (1, 2):
        (sweep / "learning_rate=0.1" / f"seed_{seed}").rename(sweep / f"seed_{11 - seed}")
    runs = runs_below([sweep / "learning_rate=0.3", sweep, sweep / "seed_9" / "IMP"])
    names = [str(run.folder.relative_to(sweep)) for run in runs]
    assert names[-2:] == ["seed_9", "seed_10"] and len(set(names)) == len(names) == 6


def test_a_figure_has_a_line_for_each_of_the_other_settings(made, tmp_path, sweep, capsys):
    made("steps", "Network.learning_rate=0.1", "Network.steps=30", error=0.9)
    figure = draw(rows_of(runs_below([sweep])), "error", "learning_rate")
    (ax,) = figure.axes
    first, second = ax.get_lines()
    np.testing.assert_allclose(first.get_xydata(), [[0.05, 43], [0.1, 33], [0.3, 23]], rtol=1e-5)
    np.testing.assert_allclose(second.get_xydata(), [[0.1, 88]], rtol=1e-5)
    assert [line.get_label() for line in (first, second)] == ["steps = 20", "steps = 30"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.05", "0.1", "0.3"]
    output = tmp_path / "figures" / "error.pdf"
    plot = ["--plot", "error", "--over", "Network.learning_rate", "--output", str(output)]
    assert main([str(sweep), *plot]) == 0
    assert output.read_bytes().startswith(b"%PDF") and capsys.readouterr().out.endswith(f"{output}\n")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--at_density", "5"], "--at_density 5: accepted: a number > 0 and < 1, such as 0.05"),
        (["--plot", "acc", "--over", "x"], "--plot acc: accepted: error, density, connected, locality, rf_width"),
        (["--plot", "error"], "--plot COLUMN and --over KEY go together; accepted: both or none"),
        (
            ["--plot", "error", "--over", "Network.arch"],
            "--over Network.arch: is equal in all runs, or unknown; accepted: learning_rate",
        ),
    ],
)
def test_refusals(sweep, capsys, options, line):
    assert main([str(sweep), *options]) == 2
    assert capsys.readouterr() == ("", f"sifting: {line}\n")
