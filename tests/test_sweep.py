"""Sweeps: which runs a grid makes and where, what is refused before the first one starts, and what runs again."""

import re

import pytest
from synthetic import made_round, write_input

from postprocess import ahead
from postprocess.rates import Rate
from sifting.datasets import cache
from sifting.errors import InputError
from sifting.inputs import read_experiment
from sifting.sweep import axes_of, main, plans_of, points_of, seeds_of
from sifting.training.plan import Plan


@pytest.fixture
def path(tmp_path):
    """An input file whose runs are in tmp_path/run."""
    return str(write_input(tmp_path))


@pytest.fixture
def trained(monkeypatch):
    """In place of training, runs are stored as if they had been; the names of their folders, in order."""
    folders = []

    def run(one: Plan, signals) -> None:
        folders.append(str(one.directory.folder.relative_to(one.directory.folder.parents[1])))
        one.directory.folder.mkdir(parents=True, exist_ok=True)
        one.directory.write_input(one.experiment.to_text())
        one.directory.write_round(made_round(0, error=0.4 if one.experiment.network.seed == 1 else 0.2))
        one.directory.write_record({"finished": True, "image_format": cache.FORMAT})

    monkeypatch.setattr("sifting.training.launch.run", run)
    return folders


def grid(*assignments):
    return points_of(axes_of([], assignments))


@pytest.mark.parametrize(
    ("assignments", "names"),
    [
        ([], [""]),
        (["Network.learning_rate=0.1, 0.3"], ["learning_rate=0.1", "learning_rate=0.3"]),
        (["network.Learning_Rate=1e-1,0.10,.3"], ["learning_rate=0.1", "learning_rate=0.3"]),
        (
            ["Network.steps=10,1e2", "IMP.prune_ratio=0.3,0.5"],
            [f"steps={steps},prune_ratio={ratio}" for steps in (10, 100) for ratio in (0.3, 0.5)],
        ),
        (["Network.steps=10", "Scale.steps=2"], ["Network.steps=10,Scale.steps=2.0"]),
        (["Network.arch=f8:f4:x,x"], ["arch=f8-f4-x", "arch=x"]),
        (["Data.reclass=m,2;n"], ["reclass=m+2", "reclass=n"]),
        (["OneShot.sparsity=0.5,0.9;0.3;"], ["sparsity=0.5+0.9", "sparsity=0.3", "sparsity=unset"]),
        (["Random.like=runs/a/imp,runs/b/imp"], ["like=runs_a_imp-890bfa04", "like=runs_b_imp-17633586"]),
    ],
)
def test_folders_are_named_by_what_varies(assignments, names):
    assert [point.name for point in grid(*assignments)] == names


def test_names_are_short_and_differ():
    values = ["f128:" * 40 + "x", "f129:" + "f128:" * 39 + "x", "f1 28:x"]
    names = [point.name for point in grid(*[f"Data.dataloc={','.join(values)}"])]
    assert len(set(names)) == 3 and all(re.fullmatch(r"dataloc=[\w.+-]{1,40}", name) for name in names)


def test_a_section_says_the_same_as_the_flags(path, tmp_path):
    (tmp_path / "sweep.in").write_text(
        "[Sweep]\nNetwork.learning_rate = 0.1, 0.3  # two\nIMP.prune_ratio = 0.5\nseeds = 4, 2\n"
    )
    files = [path, str(tmp_path / "sweep.in")]
    assert points_of(axes_of(files)) == grid("Network.learning_rate=0.1,0.3", "IMP.prune_ratio=0.5")
    assert seeds_of(files, None) == [4, 2] and seeds_of(files, "1") == [1] and seeds_of([path], None) is None
    assert points_of(axes_of(files, ["Network.learning_rate=0.7"]))[0].name == "learning_rate=0.7,prune_ratio=0.5"
    with pytest.raises(InputError, match=re.escape("accepted: python -m sifting.sweep")):
        read_experiment(files)
    fixed = read_experiment(files, ["Network.learning_rate=0.1", "IMP.prune_ratio=0.5"])
    assert fixed.network.learning_rate == 0.1  # as a run of the sweep


def test_each_run_has_its_values_seed_and_place(path, tmp_path):
    plans = plans_of([path], grid("Network.steps=20,30"), [1, 2], ["IMP.prune_ratio=0.5"])
    assert list(plans) == [f"steps={steps}/seed_{seed}" for steps in (20, 30) for seed in (1, 2)]
    for name, task in plans.items():
        network = task.experiment.network
        assert f"steps={network.steps}/seed_{network.seed}" == name and task.experiment.method.prune_ratio == 0.5
        assert task.plan.directory.folder == tmp_path / "run" / name
    assert not (tmp_path / "run").exists()
    assert list(plans_of([path], grid("Network.steps=20"))) == ["steps=20"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--grid x", "--grid 'x': accepted: Section.key=VALUE,VALUE, such as Network.learning_rate=0.1,0.3"),
        ("--grid Network.x=1", "--grid: [Network] x = '1': unknown key; accepted: arch, steps"),
        ("--grid Network.steps=10,-1", "--grid: [Network] steps = '-1': accepted: a whole number >= 1"),
        ("--grid Network.seed=1,2", "--grid: [Network] seed = '1,2': accepted: any key but those of [IO]; seeds are"),
        ("--grid IO.prefix=a,b", "--grid: [IO] prefix = 'a,b': accepted: any key but those of [IO]; seeds are"),
        ("--grid IMP.prune_step=9,30", "prune_step=30: --set or --grid: [IMP] prune_step = '30': accepted: at most"),
        ("--grid OneShot.rounds=2", "rounds=2: "),
        ("--grid Scale.width=0.5,0.51", "width=0.51: is the same experiment as width=0.5; accepted: one of them"),
        ("--grid Network.steps=20 --seeds 1,1", "--seeds '1,1': accepted: different whole numbers >= 0, such as 1,2"),
        ("--at_density 2", "--at_density 2: accepted: a number > 0 and < 1, such as 0.05"),
    ],
)
def test_a_bad_point_is_refused_before_the_first_one_starts(path, tmp_path, trained, capsys, options, line):
    assert main([path, *options.split()]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"sifting: {line}") and printed.err.count("\n") == 1
    assert not printed.out and not trained and not (tmp_path / "run").exists()


def test_a_folder_of_another_experiment_is_refused_by_its_name(path, trained, capsys):
    assert main([path, "--grid", "Network.steps=20,30"]) == 0
    assert main([path, "--grid", "Network.steps=20,30", "--set", "Network.batch_size=6"]) == 2
    assert capsys.readouterr().err.startswith("sifting: steps=20: ") and len(trained) == 2


def test_nothing_runs_twice_and_values_can_be_added(path, trained, capsys, monkeypatch):
    monkeypatch.setattr(ahead, "measured_rate", lambda plan: Rate(1.0, 1e-3))
    for rates, seeds, new in [
        ("0.1", "1", ["0.1/seed_1"]),
        ("0.1,0.3", "1,2", ["0.1/seed_2", "0.3/seed_1", "0.3/seed_2"]),
        ("0.1,0.3", "1,2", []),
    ]:
        trained.clear()
        command = [path, "--grid", f"Network.learning_rate={rates}", "--seeds", seeds]
        assert main([*command, "--dry_run"]) == 0
        printed = capsys.readouterr().out
        runs = re.findall("^(learning_rate=\\S+) +missing", printed, re.MULTILINE)
        assert runs == [f"learning_rate={name}" for name in new]
        assert ("to run: about " in printed and "disk about " in printed) == bool(new)
        assert not trained
        assert main(command) == 0
        assert trained == [f"learning_rate={name}" for name in new]
        printed = capsys.readouterr().out
    *_, first, second, _ = printed.splitlines()
    assert [line.split()[:4] for line in (first, second)] == [[rate, "2", "0", "30.00"] for rate in ("0.1", "0.3")]


def test_more_rounds_are_asked_for_and_run(path, trained):
    assert main([path, "--grid", "Network.steps=20"]) == main([path, "--grid", "Network.steps=20"]) == 0
    assert len(trained) == 1
    assert main([path, "--grid", "Network.steps=20", "--set", "IMP.max_iterations=4"]) == 0
    assert len(trained) == 2
