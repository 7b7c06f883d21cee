"""Many runs: shared with other processes by locks, beside each other in processes of their own, with failures told."""

import contextlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from synthetic import made_round, write_input
from test_locks import DEAD, another

import sifting
import sifting.training.many as many
from sifting.base import locks
from sifting.datasets import cache
from sifting.errors import Interrupted, RunDied, TrainingDiverged
from sifting.inputs import read_experiment
from sifting.runs.directory import RunDirectory
from sifting.training import launch
from sifting.training.board import Board
from sifting.training.many import How, Task, work_off
from sifting.training.plan import is_finished, plan
from sifting.training.processes import THREADS, VISIBLE, Processes, gpus, shares

HERE = Path(__file__).parent
TINY = """
[IO]
save_dir = runs
cache_dir = cache
checkpoint_seconds = 0.1
[Data]
dataset = EdgeCollage32
collage_images = 400
collage_val_images = 50
[Network]
arch = f8:f8:x
steps = 60
batch_size = 20
val_size = 50
validate_step = 20
jit_compile = false
[IMP]
prune = T:T:F
weights_step = 10
max_iterations = 2
"""


# --- in this process, with something in place of training


@pytest.fixture
def tasks(tmp_path):
    """Three seeds of the synthetic input file."""
    path = str(write_input(tmp_path, "IO.cache_dir"))

    def task(seed, *changes):
        changes = [f"Network.seed={seed}", f"IO.save_dir={tmp_path / f'seed_{seed}'}", *changes]
        return Task(read_experiment([path], changes), f"seed {seed}")

    return [task(seed) for seed in (1, 2, 3)]


def store(plan):
    """What a finished run leaves."""
    with plan.directory.lock():
        plan.directory.write_input(plan.experiment.to_text())
        plan.directory.write_round(made_round(0))
        plan.directory.write_record({"finished": True, "image_format": cache.FORMAT})


@pytest.fixture
def trained(monkeypatch):
    """Seeds in the order in which they were run; a dict of what is to happen instead, by seed, comes with it."""
    seeds, instead = [], {}

    def run(plan, signals, screen_of=None):
        seed = plan.experiment.network.seed
        seeds.append(seed)
        instead.pop(seed, store)(plan)

    monkeypatch.setattr(launch, "run", run)
    monkeypatch.setattr(Processes, "run", lambda self, name, job: run(plan(*pickle.loads(job)), None))
    monkeypatch.setattr(locks, "POLL", 0.0)
    return seeds, instead


def test_what_is_finished_is_known_without_training(tasks, trained):
    seeds, _ = trained
    store(tasks[1].plan)
    assert work_off(tasks, How()) == [] and seeds == [1, 3]
    assert work_off(tasks, How()) == [] and seeds == [1, 3]
    changed = tasks[0].experiment.replace("IMP", max_iterations=9)
    assert not is_finished(Task(changed, "more rounds").plan)


def hold(task, **record):
    task.plan.directory.folder.mkdir(exist_ok=True)
    task.plan.directory.path("lock").write_text(json.dumps(another(**record)))


def test_what_others_work_on_comes_last(tasks, trained, capsys, monkeypatch):
    """Seed 1 is another process's, and finished while this one waits; seed 2 is dead."""
    seeds, _ = trained
    hold(tasks[0])
    hold(tasks[1], pid=DEAD)
    waits = []

    def wait(seconds):
        if waits:
            tasks[0].plan.directory.path("lock").unlink()
            store(tasks[0].plan)
        waits.append(seconds)

    monkeypatch.setattr(many.time, "sleep", wait)
    assert work_off(tasks, How()) == [] and seeds == [2, 3] and len(waits) == 2
    assert capsys.readouterr().out.count(f"waiting for seed 1 (process {os.getppid()} on ") == 1


def test_what_others_leave_unfinished_is_taken_up_unless_it_failed(tasks, trained, monkeypatch):
    seeds, _ = trained
    for task in tasks[:2]:
        hold(task)

    def wait(seconds):
        for task in tasks[:2]:
            task.plan.directory.path("lock").unlink()
        tasks[0].plan.directory.write_record({"failed": "round 0, step 7: the loss is nan"})

    monkeypatch.setattr(many.time, "sleep", wait)
    assert work_off(tasks, How()) == [tasks[0]] and seeds == [3, 2]
    assert str(tasks[0].error).startswith("round 0, step 7: the loss is nan (in process ")


def test_a_run_that_is_taken_between_look_and_lock_is_come_back_to(tasks, trained, capsys):
    seeds, instead = trained

    def locked(plan):
        with plan.directory.lock():
            store(plan)

    instead[1] = locked
    assert work_off(tasks, How()) == [] and seeds == [1, 1, 2, 3]
    assert "seed_1/IMP: another process works on this run (process " in capsys.readouterr().out


def diverge(plan):
    raise TrainingDiverged("round 1, step 5: the loss is nan")


def break_down(plan):
    raise ValueError("a mistake\nin two lines")


def test_failures_are_told_at_the_end_with_their_exit_codes(tasks, trained, capsys):
    seeds, instead = trained
    instead.update({1: diverge, 2: break_down})
    failed = work_off(tasks, How())
    assert failed == tasks[:2] and seeds == [1, 2, 3]
    assert "ValueError: a mistake" in capsys.readouterr().out  # the traceback
    with pytest.raises(many.RunsFailed, match="2 of 3 runs failed") as error:
        many.told(failed, 3)
    assert error.value.exit_code == 1
    assert capsys.readouterr().err.splitlines() == [
        "sifting: seed 1: round 1, step 5: the loss is nan (exit code 1)",
        "sifting: seed 2: a mistake (exit code 1)",
    ]
    with pytest.raises(TrainingDiverged):  # one run alone fails as it always did
        many.told(failed[:1], 1)


@pytest.mark.parametrize("problem", [diverge, break_down])
def test_the_first_failure_ends_all_where_that_is_asked_for(tasks, trained, problem):
    seeds, instead = trained
    instead[2] = problem
    with pytest.raises((TrainingDiverged, ValueError)):
        work_off(tasks, How(keep_going=False))
    assert seeds == [1, 2]


def test_a_run_that_starts_from_another_one_comes_after_it(tmp_path, tasks, trained):
    """Though it is named first, and cannot be planned yet."""
    seeds, instead = trained
    path = str(write_input(tmp_path, "IO.cache_dir", method="OneShot"))
    changes = [f"OneShot.dense_run={tasks[0].experiment.io.save_dir}", f"IO.save_dir={tmp_path / 'oneshot'}"]
    oneshot = Task(read_experiment([path], [*changes, "Network.seed=9"]), "oneshot")
    assert work_off([oneshot, *tasks], How()) == [] and seeds == [1, 9, 2, 3]
    again = [Task(task.experiment, task.name, overwrite=True) for task in (oneshot, *tasks)]
    instead[1] = diverge
    assert work_off(again, How()) == again[:2]
    assert str(again[0].error) == "needs seed 1, which failed"


def test_two_runs_in_one_place_are_refused(tasks):
    with pytest.raises(many.InputError, match="again and seed 1 would both be .*--runs DIR"):
        work_off([*tasks, Task(tasks[0].experiment, "again")], How())


def test_an_interrupt_ends_all(tasks, trained):
    seeds, instead = trained

    def interrupted(plan):
        os.kill(os.getpid(), signal.SIGTERM)

    instead[2] = interrupted
    with pytest.raises(Interrupted) as error:
        work_off(tasks, How())
    assert error.value.exit_code == 143 and seeds == [1, 2]


@pytest.mark.parametrize("error", [Interrupted("SIGTERM: saved", 15), RunDied("dead", 3, ["Traceback", "dead"])])
def test_errors_come_whole_from_another_process(error):
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(("code", "exit_code"), [(0, 1), (3, 3)])
def test_a_process_that_ends_without_a_word_has_failed(code, exit_code, tmp_path, monkeypatch):
    """Though it says that all is well, as after sys.exit() in an extension."""
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\necho last words >&2; exit {code}")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(RunDied, match="its process ended: last words") as error:
        Processes([os.environ], Board(io.StringIO())).run("", b"")
    assert error.value.exit_code == exit_code


class Engine:
    """An executor that is like those of clusters: its futures are no more than they have to be, and what is given to it
    goes through pickle. It does one thing whenever it is asked whether something is done."""

    class Future:
        def __init__(self, engine, job):
            self.engine, self.job, self.outcome = engine, job, None

        def done(self):
            if self.engine.queue and self.engine.queue[0] is self:
                function, arguments = pickle.loads(self.engine.queue.pop(0).job)
                self.outcome = pickle.loads(pickle.dumps([function(*arguments)]))
            return self.outcome is not None

        def result(self):
            return self.outcome[0]

        def cancel(self):
            self.engine.cancelled.append(self)

    def __init__(self):
        self.queue, self.cancelled = [], []

    def submit(self, function, *arguments):
        self.queue.append(self.Future(self, pickle.dumps((function, arguments))))
        return self.queue[-1]


def test_any_executor_can_run_them(tasks, trained, in_tmp_path, capsys):
    """A failure there is one here, whatever the engine does with exceptions."""
    seeds, instead = trained
    experiments = [task.experiment for task in tasks]
    instead[2] = diverge
    with pytest.raises(many.RunsFailed):
        sifting.run_experiments(experiments, executor=Engine())
    assert seeds == [1, 2, 3]
    assert "seed_2/IMP: round 1, step 5: the loss is nan (exit code 1)\n" in capsys.readouterr().err
    runs = sifting.run_experiments(experiments, executor=Engine())
    assert seeds == [1, 2, 3, 2] and [len(run) for run in runs] == [1, 1, 1]
    assert [run.experiment for run in sifting.run_experiments(experiments)] == experiments
    instead[2], engine = diverge, Engine()
    with pytest.raises(TrainingDiverged):
        sifting.run_experiments(experiments, engine, overwrite=True, keep_going=False)
    assert len(engine.cancelled) == 1  # the third


def test_what_a_signal_has_ended_elsewhere_goes_on(tasks, trained, capsys):
    """As that of a time limit; signals to this process are another matter."""
    seeds, instead = trained

    def limited(plan):
        raise Interrupted("SIGTERM: saved", 15)

    instead[1] = limited
    assert work_off(tasks[:2], How(), workers=many.Given(Engine())) == [] and seeds == [1, 2, 1]
    assert "seed 1: SIGTERM: saved\n" in capsys.readouterr().out


@pytest.fixture
def dask(monkeypatch, tmp_path):
    """In place of the packages; the calls of adapt() of what submits jobs to Slurm."""
    adapted = []

    class SLURMCluster(contextlib.AbstractContextManager):
        scheduler = SimpleNamespace()

        def __init__(self, **options):
            self.close = self.__exit__

        def job_script(self):
            return "#SBATCH -p gpu"

        def __exit__(self, *_):
            adapted.append("closed")

        def adapt(self, **options):
            adapted.append(options)

    class Client(contextlib.AbstractContextManager):
        def __init__(self, address, timeout):
            if address != "tcp://here:1" and not isinstance(address, SLURMCluster):
                raise OSError(f"Timed out trying to connect to {address}")

        def __exit__(self, *_):
            pass

        def get_executor(self):
            return Engine()

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=Client))
    monkeypatch.setitem(sys.modules, "dask_jobqueue", SimpleNamespace(SLURMCluster=SLURMCluster))
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\n[ $1 = --test-only ] && grep -q 'p gpu' || { echo no partition >&2; exit 1; }")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return adapted


def test_workers_of_dask_are_an_executor(tasks, trained, dask, capsys):
    seeds, _ = trained
    assert work_off(tasks, How(cluster="tcp://here:1")) == [] and seeds == [1, 2, 3] and dask == []
    assert capsys.readouterr().out.splitlines()[::3] == ["seed 1: submitted", "seed 1: finished"]


def test_jobs_of_slurm_are_workers_of_dask(tasks, trained, dask):
    """As many as runs, or --jobs; they end with the command."""
    seeds, _ = trained
    for number, jobs in enumerate([None, 2]):
        assert work_off(tasks[number:], How(jobs, cluster="slurm")) == []
    assert seeds == [1, 2, 3]
    assert dask == [{"maximum_jobs": jobs, "target_duration": "1ms"} if jobs else "closed" for jobs in (3, 0, 2, 0)]


ACCEPTED = "accepted: the address of a scheduler, or slurm with a jobqueue.yaml, see docs/cluster.md"
INSTALL = 'accepted: pip install "sifting[cluster]" first'


def test_signals_stay_ours(tasks, dask, tmp_path, monkeypatch):
    """dask_jobqueue handles SIGINT as soon as it is imported, and would end the command with exit code 0."""
    (tmp_path / "dask_jobqueue.py").write_text(
        "from signal import SIGINT, getsignal, signal\n"
        "signal(SIGINT, print)\n"
        "def SLURMCluster(**options):\n"
        "    raise ValueError(f'SIGINT calls {getsignal(SIGINT)}')\n"
    )
    monkeypatch.delitem(sys.modules, "dask_jobqueue")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(many.InputError, match="SIGINT calls <bound method Signals"):
        work_off(tasks[:1], How(cluster="slurm"))


def unconfigured(**options):
    raise ValueError("You must specify how much cores and memory per job you want to use\n...")


def misconfigured(**options):
    return SimpleNamespace(job_script=str, close=dict)


@pytest.mark.parametrize(
    ("address", "lacks", "line"),
    [
        ("there", {}, f"Timed out trying to connect to there; {ACCEPTED}"),
        ("there", {"distributed": None}, f"import of distributed halted; None in sys.modules; {INSTALL}"),
        ("slurm", {"dask_jobqueue": None}, f"import of dask_jobqueue halted; None in sys.modules; {INSTALL}"),
        ("slurm", {"PATH": ""}, f"there is no sbatch here; {ACCEPTED}"),
        (
            "slurm",
            {"dask_jobqueue": SimpleNamespace(SLURMCluster=unconfigured)},
            f"You must specify how much cores and memory per job you want to use; {ACCEPTED}",
        ),
        (
            "slurm",
            {"dask_jobqueue": SimpleNamespace(SLURMCluster=misconfigured)},
            f"no partition; {ACCEPTED}",
        ),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(tasks, trained, dask, monkeypatch, address, lacks, line):
    for name, value in lacks.items():
        if name == "PATH":
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.setitem(sys.modules, name, value)
    with pytest.raises(many.InputError) as error:
        work_off(tasks[:1], How(cluster=address))
    assert str(error.value) == f"--cluster {address}: {line}" and trained[0] == []


def test_each_process_has_its_share_of_cores_or_a_gpu(monkeypatch):
    monkeypatch.setattr("sifting.training.processes.cores", lambda: 7)
    monkeypatch.setattr("sifting.training.many.cores", lambda: 7)
    for name in (*THREADS, VISIBLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # the user's
    monkeypatch.setenv(VISIBLE, "GPU-a, GPU-b")
    assert gpus() == ["GPU-a", "GPU-b"] and many.jobs_of("auto") == 2
    found = shares(3)
    assert [share[VISIBLE] for share in found] == ["GPU-a", "GPU-b", "GPU-a"]
    assert {(share["TF_NUM_INTRAOP_THREADS"], share["OMP_NUM_THREADS"]) for share in found} == {("2", "5")}
    monkeypatch.setenv(VISIBLE, "-1")
    assert gpus() == [] and many.jobs_of("auto") == 7 and many.jobs_of("3") == 3 and many.jobs_of(None) is None
    with pytest.raises(many.InputError, match="--jobs 0: accepted: a whole number >= 1, or auto"):
        many.jobs_of("0")


@pytest.mark.parametrize(("folder", "expected"), [(None, ("runs/a", "there")), ("/all", ("/all/runs/a", "/all/there"))])
def test_all_runs_can_go_below_one_folder(tmp_path, folder, expected):
    path = str(write_input(tmp_path, method="OneShot"))
    experiment = read_experiment([path], ["IO.save_dir=runs/a", "OneShot.dense_run=there"])
    moved = many.in_folder(experiment, folder)
    assert (moved.io.save_dir, moved.method.dense_run) == expected
    absolute = experiment.replace("IO", save_dir="/elsewhere")
    assert many.in_folder(absolute, folder).io.save_dir == "/elsewhere"


# --- real processes


def start(folder, *arguments, module="sifting.run", **options):
    """A command in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".pkl", ".dat", ".csv")
    }


SEEDS = "tiny.in", "--seeds=1,2,3"


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory):
    """The files of all seeds, run one after the other."""
    folder = tmp_path_factory.mktemp("turn")
    (folder / "tiny.in").write_text(TINY)
    process = start(folder, *SEEDS)
    _, error = process.communicate()
    assert process.returncode == 0, error
    return contents(folder / "runs")


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.in").write_text(TINY)
    return tmp_path


def begun(folder, command, *seeds):
    """Wait until these seeds have begun to train, or are about to; the first one's directory."""
    directories = [RunDirectory(folder / "runs" / f"seed_{seed}", "IMP") for seed in seeds]
    while not all(directory.holder and directory.recorded_input for directory in directories):
        assert command.poll() is None
        time.sleep(0.02)
    return directories[0]


@pytest.mark.heavy
def test_one_interrupt_saves_all_and_two_commands_in_one_folder_share_what_is_left(tiny, in_turn):
    """One of them works on two at once. All ends in the same bits."""
    command = start(tiny, *SEEDS, "--jobs=2", start_new_session=True)
    begun(tiny, command, 1, 2)
    os.killpg(command.pid, signal.SIGINT)  # what a terminal does
    out, error = command.communicate()
    assert command.returncode == 130 and error.startswith("sifting: SIGINT: everything finished is saved")
    assert not list((tiny / "runs").glob("*/*_lock")) and "SIGINT: 2 runs save and end" in out
    commands = [start(tiny, *SEEDS, *jobs) for jobs in ([], ["--jobs=2"])]
    said = [command.communicate() for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said
    trained = sorted(
        line.partition(", into ")[0][-6:] for out, _ in said for line in out.splitlines() if ", into " in line
    )
    assert trained == ["seed 1", "seed 2", "seed 3"]  # each once
    assert contents(tiny / "runs") == in_turn


@pytest.mark.slow
def test_a_killed_child_is_told_and_a_killed_command_takes_its_children_along(tiny, in_turn):
    """Then the same command goes on with all of them, to the same bits."""
    command = start(tiny, *SEEDS, "--jobs=2")
    os.kill(begun(tiny, command, 1).holder.pid, signal.SIGKILL)
    _, error = command.communicate()
    assert command.returncode == 1
    assert "seed 1: its process was ended by SIGKILL" in error and "(exit code 137)\n" in error
    assert error.endswith("sifting: 1 of 3 runs failed\n")
    command = start(tiny, *SEEDS, "--jobs=2")
    directory = begun(tiny, command, 1)
    command.kill()
    command.communicate()
    while directory.holder:
        time.sleep(0.02)
    command = start(tiny, *SEEDS, "--jobs=2")
    assert command.communicate() and command.returncode == 0
    assert contents(tiny / "runs") == in_turn


@pytest.mark.slow
def test_printed_commands_do_the_same(tiny, in_turn):
    arguments = "tiny.in", "--seeds=1,2", "--commands"
    lines, error = start(tiny, *arguments).communicate()
    assert error == "" and len(lines.splitlines()) == 2 and not (tiny / "runs").exists()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = ["xargs", "-I{}", "sh", "-c", "{}"]
    subprocess.run(command, input=lines, text=True, cwd=tiny, env=environment, capture_output=True, check=True)
    made = contents(tiny / "runs")
    assert made and made == {name: in_turn[name] for name in in_turn if name[:6] in ("seed_1", "seed_2")}
    assert start(tiny, *arguments).communicate() == ("", "")
