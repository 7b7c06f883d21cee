"""reproduce: it needs the runs that the papers show, trains what is missing and nothing else, and says how long."""

import json
import shlex
from pathlib import Path

import pytest
from absl.testing import flagsaver
from synthetic import made_round

import sifting.run
from postprocess import ahead, rates, reproduce
from postprocess.ahead import rough_duration
from postprocess.figures import FIGURES, figure_module
from postprocess.rates import Rate, estimated_rounds, must_be_measured, step_seconds, step_work
from postprocess.reproduce import NeededRun, main, runs_of
from sifting.datasets import cache
from sifting.errors import Interrupted, TrainingDiverged
from sifting.runs.directory import RunDirectory
from sifting.training import launch
from sifting.training.dry_run import needs_of, size_text

TINY = [
    "Scale.width=0.01",
    "Scale.steps=0.0002",
    "Scale.images=0.01",
    "Network.validate_step=10",
    "IMP.max_iterations=3",
]
SETS = [word for assignment in TINY for word in ("--set", assignment)]


@pytest.fixture(autouse=True)
def elsewhere(in_tmp_path):
    """Runs and figures go below the current folder."""


@pytest.fixture
def no_measurement(monkeypatch):
    """Machines differ; here a step takes a microsecond per thousand multiplications."""
    monkeypatch.setattr(ahead, "measured_rate", lambda experiment: Rate(work := step_work(experiment), work * 1e-9))


def test_a_figure_needs_the_seeds_that_the_paper_shows():
    runs = runs_of("redman-4", "small")
    assert list(runs) == ["imp", "oneshot", "random"]
    assert [run.seed for run in runs["oneshot"]] == [1, 2, 3]
    assert runs["imp"][0].files == ("inputs/redman/imp.in", "inputs/small.in", "inputs/redman/small.in")
    assert str(runs["imp"][1].plan.directory) == str(RunDirectory("runs/redman/imp/seed_2", "small"))
    assert runs_of("pb-2", "full")["imp"] == [NeededRun(("inputs/imp_3l1k.in",), 1)]
    assert [run.seed for run in runs_of("pb-1", "full", [7, 9])["imp"]] == [7, 9]


@pytest.mark.parametrize("name", [name for name in FIGURES])
@pytest.mark.parametrize("scale", ["full", "small"])
def test_all_runs_of_every_figure_are_accepted(name, scale):
    for runs in runs_of(name, scale).values():
        assert runs, f"{name} has a role without runs"
        for run in runs:
            assert run.plan
            assert run.plan.experiment.network.seed == run.seed


def test_a_figure_is_interrupted_continued_drawn_and_not_trained_again(monkeypatch, capsys, no_measurement, refusal):
    """The second of two runs is stopped; the same command finds the first one finished."""
    trained = []
    really = launch.run

    def run(plan, signals):
        trained.append(plan.experiment.network.seed)
        if trained == [1, 2]:
            raise Interrupted("SIGINT: everything finished is saved", 2)
        return really(plan, signals)

    monkeypatch.setattr(launch, "run", run)
    command = ["pb-2", "--scale", "small", "--seeds", "1,2", *SETS]
    assert main(command) == 130
    out, error = capsys.readouterr()
    assert "missing" in out and "0 of 2 finished" in out and "everything finished is saved" in error
    assert not Path("figures").exists()
    picture = Path("figures/small/pb-2.png")
    for finished, seeds in (("1 of 2 finished, 1 to run", [1, 2, 2]), ("all of 2 finished", [1, 2, 2])):
        assert main(command) == 0
        assert finished in capsys.readouterr().out and trained == seeds
        assert json.loads(picture.with_suffix(".json").read_text())["figure"] == "pb-2"
        assert RunDirectory("runs/imp_3l1k/seed_1", "small").rounds() == [0, 1, 2]
        picture.unlink()
    line = refusal(main, *command, "--set", "Network.learning_rate=0.3")
    assert "runs/imp_3l1k/seed_1/small: holds another experiment" in line and "learning_rate" in line


@pytest.fixture
def stored(monkeypatch):
    """In place of training, runs are stored as if they had been; their folders come in order. Seed 2 diverges."""
    folders = []

    def run(plan, signals):
        folders.append(str(plan.directory.folder))
        if plan.experiment.network.seed == 2:
            raise TrainingDiverged("round 0, step 7: the loss is nan")
        plan.directory.folder.mkdir(parents=True)
        plan.directory.write_input(plan.experiment.to_text())
        plan.directory.write_round(made_round(0))
        plan.directory.write_record({"finished": True, "image_format": cache.FORMAT})

    monkeypatch.setattr(launch, "run", run)
    monkeypatch.setattr(reproduce, "draw_figure", lambda name, runs, options, output: [name])
    return folders


def test_what_needs_no_run_or_other_data_is_drawn_though_a_data_set_is_missing(capsys, stored, no_measurement):
    assert main(["pb-9", "pb-2", "--nokeep_going"]) == 1
    out, error = capsys.readouterr()
    assert out.splitlines() == ["no run is needed", "pb-9"] and not stored
    first, last = error.splitlines()
    assert first.startswith("sifting: pb-2: ImageNet: no such folder") and first.endswith("or use --scale small here")
    assert last == "sifting: 1 of 2 figures are not drawn"


def test_a_figure_whose_run_fails_does_not_keep_others_from_being_drawn(capsys, stored, no_measurement):
    """pb-1 shows four seeds, pb-2 the first of them."""
    assert main(["pb-1", "pb-2", "--scale", "small", "--runs", "R", "--keep_going"]) == 1
    out, error = capsys.readouterr()
    assert stored == [f"R/runs/imp_3l1k/seed_{seed}" for seed in (1, 2, 3, 4)]
    assert out.splitlines()[-1] == "pb-2" and error.splitlines() == [
        "sifting: imp_3l1k, seed 2: round 0, step 7: the loss is nan (exit code 1)",
        "sifting: pb-1: some of its runs failed",
        "sifting: 1 of 2 figures are not drawn",
    ]
    assert main(["pb-1", "--scale", "small", "--runs", "R"]) == 1  # goes on with what failed, and with one run alone
    assert stored[4:] == ["R/runs/imp_3l1k/seed_2"]
    assert capsys.readouterr().err == "sifting: round 0, step 7: the loss is nan\n"


def test_figures_that_share_a_run_both_miss_it(capsys, stored, no_measurement):
    assert main(["pb-2", "pb-3", "--scale", "small", "--seeds", "1,2"]) == 1
    assert [folder[-1] for folder in stored] == ["1", "2"]
    assert capsys.readouterr().err.splitlines()[1:] == [
        "sifting: pb-2: some of its runs failed",
        "sifting: pb-3: some of its runs failed",
        "sifting: 2 of 2 figures are not drawn",
    ]


def test_a_command_for_each_run(capsys, stored):
    """They make just the runs that the figure needs."""
    assert main(["pb-2", "--scale", "small", "--seeds", "3,1", "--commands", "--runs", "a b", *SETS]) == 0
    lines = capsys.readouterr().out.splitlines()
    needed = runs_of("pb-2", "small", [3, 1], TINY, "a b")["imp"]
    for line, run in zip(lines, needed, strict=True):
        _, _, module, *arguments = shlex.split(line)
        assert module == "sifting.run"
        with flagsaver.flagsaver():
            (task,) = sifting.run.tasks_of(sifting.run._parse_flags(["run", *arguments])[1:])
        assert task.experiment == run.task.experiment
    assert not stored and not Path("a b").exists()


def test_the_list_as_json(capsys, no_measurement):
    assert main(["--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == [*FIGURES, "all figures"] and listed["pb-9"]["full"] == {
        "runs": 0,
        "to_run": 0,
        "seconds": 0,
    }
    assert listed["pb-1"]["small"]["to_run"] == 4 and listed["pb-1"]["small"]["seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["pb-2", "pb-4", "--scale", "small", "--set", "IO.save_dir=x"],
            "would both be x/seed_1/small; accepted: a [IO]",
        ),
        (["pb-2", "--jobs", "0"], "--jobs 0: accepted: a whole number >= 1, or auto"),
        ([], "no figure named"),
        (["pb-99"], "'pb-99' is not a figure"),
        (["pb-2", "--seeds", "1,1"], "--seeds '1,1': accepted"),
        (["pb-2", "pb-3", "--output", "a.png"], "--output a.png"),
        (["pb-2", "--set", "IMP.prune_ratio=2"], "[IMP] prune_ratio"),
    ],
)
def test_refusals_are_one_line(arguments, problem, refusal, no_measurement):
    assert problem in refusal(main, *arguments)


def test_images_that_are_missing_lead_to_the_small_scale(capsys, monkeypatch):
    """Before any rate is measured."""
    monkeypatch.setattr(ahead, "measured_rate", None)
    assert main(["pb-2"]) == 2
    out, error = capsys.readouterr()
    assert out == "" and "ImageNet: no such folder" in error and error.endswith("or use --scale small here\n")


def test_a_dry_run_trains_nothing(capsys, no_measurement, monkeypatch):
    monkeypatch.setattr(launch, "run", None)
    assert main(["pb-1", "--scale", "small", "--dry_run"]) == 0
    assert "0 of 4 finished, 4 to run: about " in capsys.readouterr().out
    assert not Path("runs").exists()


def test_the_list_counts_shared_runs_once(no_measurement):
    lines = reproduce.list_lines()
    assert len(lines) == len(FIGURES) + 2
    total = len({run for name in FIGURES for runs in runs_of(name, "small").values() for run in runs})
    assert f"{total} to run, " in lines[-1]
    assert lines[1 + list(FIGURES).index("pb-9")].split()[:3] == ["pb-9", "no", "run"]


def test_the_number_of_rounds_is_that_of_real_runs():
    """imp_3l1k.in small: 15 rounds (seeds 1 to 4); of a list of levels, as many as there are."""
    assert estimated_rounds(runs_of("pb-1", "small")["imp"][0].plan) == 15
    assert estimated_rounds(runs_of("redman-4", "small")["random"][0].plan) == 11


def test_rates_are_fitted_and_told_apart():
    """Seconds of a step are a + b work; far beyond what was measured they have to be measured first."""
    found = [Rate(work, 2e-3 + 3e-9 * work) for work in (1e4, 1e6, 1e8)]
    for work in (1e5, 1e9):
        assert step_seconds(found, work) == pytest.approx(2e-3 + 3e-9 * work)
    with pytest.raises(ValueError, match="no rates"):
        step_seconds([], 1.0)
    small, large = (runs_of("pb-2", scale)["imp"][0].plan for scale in ("small", "full"))
    assert must_be_measured([], [large, small]) == [small, large]
    assert must_be_measured([Rate(step_work(small), 1e-3)], [small]) == []
    assert must_be_measured([Rate(step_work(small), 1e-3)], [small, large]) == [large]


def test_the_plan_adds_up(monkeypatch):
    """A run with 6 of 15 rounds needs 9 more: 9 rounds of 1500 steps at the measured 4 ms."""
    (run,) = runs_of("pb-2", "small")["imp"]
    monkeypatch.setattr(NeededRun, "done", 6)
    seconds = ahead.estimate([run], rates=[Rate(step_work(run.plan), 4e-3)])
    assert seconds[run] == pytest.approx(9 * 1500 * 4e-3)
    table = ahead.plan_lines(seconds)
    assert "6 of about 15 rounds" in table[1] and "54 s" in table[1]
    assert table[2] == "0 of 1 finished, 1 to run: about 54 s of training"
    needs = needs_of(run.plan)
    disk, memory = size_text(9 * needs.round), size_text(needs.images + needs.network)
    assert table[3] == f"disk about {disk}; memory about {memory} for images and networks"


def test_a_plan_says_how_sure_it_is_and_what_several_jobs_make_of_it():
    """Three seeds of 15 rounds of 1500 steps at 2 ms, 45 s each; rates were measured at 0.8 to 1.3 of that."""
    runs = runs_of("pb-2", "small", [1, 2, 3])["imp"]
    work = step_work(runs[0].plan)
    seconds = ahead.estimate(runs, rates=[Rate(work, 2e-3 * ratio) for ratio in (0.8, 1, 1, 1.3)])
    low, high = seconds.spread
    assert high / low == pytest.approx(1.3 / 0.8)
    fitted = sum(seconds.values())
    lines = ahead.plan_lines(seconds, jobs=2)
    duration = ahead.rough_duration
    assert f"({duration(low * fitted)} to {duration(high * fitted)}, as rates have varied)" in lines[4]
    assert lines[4].endswith(f"; 2 at once, {duration(fitted / 2)} at best")
    needs = needs_of(runs[0].plan)
    assert f"disk about {size_text(3 * (15 * needs.round + needs.first))};" in lines[5]
    assert f"memory about {size_text(2 * (needs.images + needs.network))} " in lines[5]


def test_a_network_is_really_measured(monkeypatch):
    monkeypatch.setattr(rates, "_MEASURED_IMAGES", 50)
    experiment = runs_of("pb-2", "small", None, TINY)["imp"][0].plan
    rate = rates.measured_rate(experiment)
    assert rate.work == step_work(experiment) and 0 < rate.seconds < 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "1.5 min"), (1500, "25 min"), (7200, "2.0 h"), (86400 * 13, "13 days")],
)
def test_rough_durations(seconds, text):
    assert rough_duration(seconds) == text


def test_every_figure_says_how_many_seeds():
    """Those whose captions do; the others show one."""
    several = {name: figure_module(name).SEEDS for name in FIGURES if hasattr(figure_module(name), "SEEDS")}
    assert several == {"pb-1": 4, "pb-17": 4, "pb-18": 4, "pb-19": 4, "redman-3": 3, "redman-4": 3, "redman-5": 3}
