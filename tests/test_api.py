"""The Python interface: the same experiments, rounds and refusals as the commands."""

import base64
import contextlib
import gc
import importlib.machinery
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import made_round, write_input
from tiny_runs import files_of

import sifting
from sifting.base.quiet import native_messages_hidden
from sifting.errors import InputError, Interrupted, RunDirectoryError
from sifting.inputs import read_experiment
from sifting.network.rounds import density
from sifting.runs.directory import RunDirectory
from sifting.training import launch
from sifting.training.observers import Observer
from sifting.training.screen import Screen

ROOT = Path(__file__).parents[1]
PLAIN = "Network.jit_compile=false"  # compiling takes longer than these runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> sifting.Run:
    """A small experiment, run from Python."""
    path = write_input(tmp_path_factory.mktemp("api"), PLAIN)
    return sifting.run_experiment(sifting.load_experiment(path), quiet=True)


# --- in a notebook --------------------------------------------------------------------------------------------------


def test_objects_show_themselves(finished, tmp_path, monkeypatch):
    """An experiment what differs from the defaults, a run its rounds and the best one, a round its masks. Of the rounds
    the history is enough; without it, as in runs of the TF1 code, all are read."""
    experiment = finished.experiment._repr_html_()
    shown, _, folded = experiment.partition("<details>")
    assert "<td>[IMP] max_iterations</td><td>3</td>" in shown and "prune_ratio" not in shown
    assert "minimizer" not in shown and "minimizer = SGD" in folded
    filled_in = sifting.load_experiment("inputs/quickstart.in")._repr_html_().partition("<details>")
    assert "image_size" not in filled_in[0] and "image_size = 32" in filled_in[2]
    run = finished._repr_html_()
    best = min(finished, key=lambda result: result.best_validation_error)
    assert run.count("<tr>") == 1 + len(finished) + 1 + len(best.masks) and run.endswith(best._repr_html_())
    assert f"u = {100 * density(best.masks, best.specs):.2f} %" in run
    monkeypatch.setattr(RunDirectory, "read_round", lambda self, number: best)  # the only one that is read
    assert finished._repr_html_() == run
    monkeypatch.undo()
    copy = shutil.copytree(finished.directory.folder, tmp_path / "run")
    (history,) = copy.glob("*_history.csv")
    history.unlink()
    assert sifting.open_run(copy)._repr_html_().partition("</p>")[2] == run.partition("</p>")[2]
    picture = base64.b64decode(re.search('base64,([^"]+)', run)[1])
    with Image.open(io.BytesIO(picture)) as plate:
        nodes = min(20, best.specs[0].nodes)
        assert plate.size[0] // plate.size[1] == min(nodes, 10) // -(-nodes // 10)


def test_a_run_without_rounds_shows_its_name(tmp_path):
    assert "0 rounds" in sifting.Run(RunDirectory(tmp_path, "IMP"))._repr_html_()


def test_plot_is_the_figure_of_the_summary(finished):
    figure = finished.plot()
    assert figure.get_suptitle().startswith(str(finished.directory)) and len(figure.axes) >= 7
    with Image.open(io.BytesIO(figure._repr_png_())) as shown:  # by a notebook
        assert 500 < shown.width < 1500


# --- loading -------------------------------------------------------------------------------------------------------


def test_load_merges_files_and_changes(tmp_path):
    base = write_input(tmp_path, PLAIN)
    later = tmp_path / "later.in"
    later.write_text("[Network]\nsteps = 30\nseed = 5\n")
    changes = {"Network.seed": 7, "Network.jit_compile": True, "IMP.prune_ratio": 0.5, "IO.save_dir": tmp_path / "x"}
    experiment = sifting.load_experiment(base, str(later), changes=changes)
    assignments = [
        "Network.seed=7",
        "Network.jit_compile=true",
        "IMP.prune_ratio=0.5",
        f"IO.save_dir={tmp_path / 'x'}",
    ]
    assert experiment == read_experiment([str(base), str(later)], assignments)
    assert (experiment.network.steps, experiment.network.seed, experiment.network.jit_compile) == (30, 7, True)


def test_lists_and_nothing(tmp_path):
    """Levels as a list of numbers; None is an empty value, which unsets a key."""
    path = write_input(tmp_path, method="SNIP")
    assert sifting.load_experiment(path, changes={"SNIP.sparsity": [0.5, 0.9]}).method.sparsity == (0.5, 0.9)
    changes = {"SNIP.sparsity": None, "SNIP.prune_ratio": 0.5, "SNIP.rounds": 2}
    assert sifting.load_experiment(path, changes=changes).method.sparsity is None
    for flags_of_layers in ([False, True], (False, True), "F:T"):
        experiment = sifting.load_experiment(path, changes={"SNIP.prune": flags_of_layers})
        assert experiment.method.prune == (False, True)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"Network.steps": 1.5}, r"changes: \[Network\] steps = '1.5': accepted: a whole number >= 1"),
        ({"Network.stepz": 1}, r"changes: \[Network\] stepz = '1': unknown key; accepted: arch, steps"),
        ({"steps": 1}, "changes 'steps=1': accepted: Section.key=value"),
        ({"IMP.weights_step": 20}, r"changes: \[IMP\] weights_step = '20': accepted: a whole number >= 0 and < 20"),
    ],
)
def test_refused_changes_are_called_so(tmp_path, changes, line):
    with pytest.raises(InputError, match=line):
        sifting.load_experiment(write_input(tmp_path, PLAIN), changes=changes)
    with pytest.raises(InputError, match=r"changes: method section: found none"):
        sifting.load_experiment(changes={"Network.arch": "f4:x"})


def test_no_input_file():
    """Nothing is refused in one line; changes alone can be an experiment."""
    with pytest.raises(InputError) as error:
        sifting.load_experiment()
    assert str(error.value) == 'no input file; accepted: load_experiment("inputs/quickstart.in")'
    changes = {"Network.arch": "f4:x", "IMP.weights_step": 5}
    assert sifting.load_experiment(changes=changes).method.weights_step == 5


# --- running -------------------------------------------------------------------------------------------------------


def test_it_stores_what_the_command_stores(finished, command, tmp_path):
    assert command(write_input(tmp_path, PLAIN))[0] == 0
    by_command = sifting.open_run(tmp_path / "run")
    assert files_of(finished.directory) == files_of(by_command.directory)
    assert finished.experiment == by_command.experiment.replace("IO", **vars(finished.experiment.io))


def test_an_observer_is_called_at_its_steps_and_told_of_each_round(tmp_path):
    seen, ended = [], []

    class Mine(Observer):
        def steps(self, progress):
            return {0, 7, 20}

        def before_step(self, progress):
            seen.append((progress.number, progress.step, len(progress.validation_errors)))

        def end(self, result, seconds):
            ended.append((result.number, len(result.training_errors)))

    changes = {"IMP.max_iterations": 2}
    experiment = sifting.load_experiment(write_input(tmp_path, PLAIN), changes=changes)
    sifting.run_experiment(experiment, quiet=True, observers=[Mine()])
    assert seen == [
        (n, step, count) for n in (0, 1) for step, count in ((0, 1), (7, 1), (20, 3))
    ]  # validated at 0, 10, 20
    assert ended == [(0, 21), (1, 21)]


def test_the_same_call_again_trains_nothing(finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.directory.folder.glob("*itdata*")}
    again = sifting.run_experiment(finished.experiment)
    assert "All rounds were there already." in capsys.readouterr().out
    sifting.run_experiment(finished.experiment, quiet=True)
    assert capsys.readouterr().out == "" and again.directory.folder == finished.directory.folder
    assert {path: path.stat().st_mtime_ns for path in finished.directory.folder.glob("*itdata*")} == before


def test_what_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("sifting.datasets.load", lambda *_: pytest.fail("loaded"))
    experiment = sifting.load_experiment(write_input(tmp_path, PLAIN), changes={"Network.val_size": 50})
    with pytest.raises(InputError, match="at most 40, the number of validation images"):
        sifting.run_experiment(experiment)
    assert not (tmp_path / "run").exists()
    with pytest.raises(TypeError, match=r"run_experiment\('inputs/quickstart.in'\): accepted: what load_experiment"):
        sifting.run_experiment("inputs/quickstart.in")


def test_an_interrupt_while_tensorflow_is_imported_waits_for_it(finished, tmp_path, monkeypatch, capfd):
    """However often the button is pressed: half an import would break the notebook, and shows TensorFlow's log."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # an import before this one has set it
    experiment = sifting.load_experiment(write_input(tmp_path, PLAIN))
    done = []

    @contextlib.contextmanager
    def interrupted():
        with native_messages_hidden():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            yield
            os.write(2, b"a native message\n")
            done.append(True)

    with monkeypatch.context() as patched, pytest.raises(Interrupted, match="^SIGINT: everything finished is saved"):
        patched.setattr(launch, "native_messages_hidden", interrupted)
        sifting.run_experiment(experiment, quiet=True)
    assert done == [True] and capfd.readouterr().err == ""
    assert files_of(sifting.run_experiment(experiment, quiet=True).directory) == files_of(finished.directory)


@pytest.fixture
def plain_interrupts():
    """SIGINT is KeyboardInterrupt, also where these tests run in the background of a shell, which ignores it there."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("plain_interrupts")
def test_a_plain_interrupt_while_something_is_imported(monkeypatch):
    """As run.model() in a notebook: outside of a run, and with the messages shown."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    done = []
    for shown in (False, True):
        if shown:
            monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
        with pytest.raises(KeyboardInterrupt), native_messages_hidden():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(shown)
            assert not gc.isenabled()  # nor is garbage collected meanwhile
        assert gc.isenabled()
    assert done == [False, True] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("main", "hidden"), [("sifting.run", True), ("postprocess.figures.__main__", True), (None, False)]
)
def test_only_commands_hide_from_keras_what_it_need_not_import(main, hidden, monkeypatch):
    """A notebook may want Keras's wrappers of scikit-learn later."""
    for name in ("sklearn", "matplotlib"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", loaded := types.ModuleType("matplotlib"))  # a command that draws
    own = types.ModuleType("__main__")
    own.__spec__ = main and importlib.machinery.ModuleSpec(main, None)
    monkeypatch.setitem(sys.modules, "__main__", own)
    with native_messages_hidden():
        assert ("sklearn" in sys.modules) == hidden and sys.modules["matplotlib"] is loaded
        if hidden:
            with pytest.raises(ImportError):
                import sklearn  # noqa: F401
    assert "sklearn" not in sys.modules and sys.modules["matplotlib"] is loaded


def test_an_interrupt_saves_and_the_same_call_continues(finished, tmp_path, monkeypatch):
    """Jupyter's stop button sends SIGINT."""
    experiment = sifting.load_experiment(write_input(tmp_path, PLAIN))
    update = Screen.update

    def interrupted(self, *arguments):
        os.kill(os.getpid(), signal.SIGINT)
        update(self, *arguments)

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt, match="in round 0 before step") as error:
        patched.setattr(Screen, "update", interrupted)
        sifting.run_experiment(experiment, quiet=True)
    assert error.type is Interrupted and error.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is handler
    run = sifting.run_experiment(experiment, quiet=True)
    assert files_of(run.directory) == files_of(finished.directory)


def test_it_runs_in_a_thread(finished, tmp_path):
    """Where no signal can be handled."""
    runs = []
    experiment = sifting.load_experiment(write_input(tmp_path, PLAIN))
    thread = threading.Thread(target=lambda: runs.append(sifting.run_experiment(experiment, quiet=True)))
    thread.start()
    thread.join()
    assert files_of(runs[0].directory) == files_of(finished.directory)


# --- reading -------------------------------------------------------------------------------------------------------


def test_rounds_and_what_they_hold(finished):
    run = finished
    assert len(run) == 3 and run.numbers == [0, 1, 2] == [result.number for result in run]
    assert [run[-1].number, run[-3].number, run[1].number] == [2, 0, 1]
    densities = [density(result.masks, result.specs) for result in run]
    assert densities[0] == 1 and densities[1] == pytest.approx(0.7, abs=0.01)
    assert run[2].masks[0].W.shape == run[2].checkpoints[-1].parameters[0].W.shape == (3072, 4)
    assert run.record["finished"] is True and run.experiment.network.seed == 1
    assert repr(run) == f"<run {run.directory}: 3 rounds>"


def test_numbers_of_rounds(finished):
    """Whole numbers of any kind; all else is a TypeError that says so."""
    run = finished
    assert run[np.int64(1)].number == 1 and run[np.int8(-1)].number == 2
    assert [number in run for number in (0, 2, 3, -1, "1")] == [True, True, False, False, False]
    for number in (slice(None, 2), 1.0, "1", None):
        with pytest.raises(TypeError, match=r"^run\[.*\]: accepted: the whole number of a round; of several: \[run\[n"):
            run[number]


def test_history_is_the_file_as_columns(finished):
    run = finished
    table = run.history()
    expected = np.genfromtxt(run.directory.path("history.csv"), delimiter=",", names=True)
    assert tuple(table) == expected.dtype.names
    for name, column in table.items():
        np.testing.assert_allclose(column, expected[name], rtol=1e-6)
    assert table["validation_error"].dtype == np.float32 and len(table["step"]) == 9


def test_rounds_and_runs_that_are_not_there(finished, tmp_path):
    run = finished
    for number in (3, -4):
        with pytest.raises(RunDirectoryError, match=f"has no round {number}; accepted: one of 0, 1, 2"):
            run[number]
    with pytest.raises(RunDirectoryError, match="holds no rounds"):
        sifting.open_run(tmp_path)
    for seed in (1, 2):
        (tmp_path / f"seed_{seed}").mkdir()
        RunDirectory(tmp_path / f"seed_{seed}", "IMP").write_round(made_round(0))
    with pytest.raises(RunDirectoryError, match="holds 2 runs; accepted: one of them, such as .*seed_1/IMP"):
        sifting.open_run(tmp_path)
    bare = sifting.open_run(tmp_path / "seed_2")
    assert bare.record == {} and len(bare) == 1
    with pytest.raises(RunDirectoryError, match="IMP_input.in: is not there"):
        print(bare.experiment)


# --- what importing costs ------------------------------------------------------------------------------------------


def in_a_process(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_importing_sifting_imports_nothing_heavy():
    """Nor does loading an experiment, or refusing one, wait for TensorFlow."""
    code = (
        "import sys, sifting\n"
        "assert not {'numpy', 'keras', 'tensorflow', 'sifting.training.api'} & set(sys.modules)\n"
        "assert {'load_experiment', 'run_experiment', 'open_run', 'Run'} <= set(dir(sifting))\n"
        "sifting.load_experiment('inputs/quickstart.in')\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    process = in_a_process(code)
    assert process.returncode == 0, process.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sifting' has no attribute 'experiments'"):
        print(sifting.experiments)


def test_images_of_a_run_that_began_with_other_draws_are_announced(finished, tmp_path):
    run = sifting.open_run(shutil.copytree(finished.directory.folder, tmp_path / "run"))
    lines = []
    run.images(lines.append)
    assert not any("Warning" in line for line in lines)
    run.directory.write_record({**run.record, "image_format": 2})
    run.images(lines.append)
    assert lines[-1].startswith(f"Warning: {run.directory}: an earlier version of sifting drew other images")
