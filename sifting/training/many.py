"""Working off many runs, alone or beside other processes that do the same in the same folders.

Each run is taken by one process, which holds its lock: whoever finds it locked takes the next one, comes back for it
when it is free again, and waits when nothing else is left. A run that was finished meanwhile is known by its files.
"""

import concurrent.futures
import contextlib
import functools
import gc
import io
import math
import os
import pickle
import shlex
import signal
import sys
import time
import traceback
from abc import ABC, abstractmethod
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sifting.base import locks
from sifting.base.cores import cores
from sifting.base.signals import Signals
from sifting.errors import InputError, Interrupted, RunLocked, RunsFailed, SiftingError, one_line
from sifting.experiment.experiment import Experiment
from sifting.training import launch
from sifting.training.plan import Plan, directory_of, is_finished, plan

if TYPE_CHECKING:
    from sifting.training.board import Board
    from sifting.training.processes import Processes

AUTO = "auto"


@dataclass(eq=False)
class Task:
    """One of many runs.

    Attributes:
        experiment: what is run.
        name: how it is called on the screen.
        arguments: of sifting.run, that do just this run.
        overwrite: as of plan.
        needs: tasks whose runs this one starts from.
        done: whether it is finished; error: why it cannot be.
    """

    experiment: Experiment
    name: str
    arguments: Sequence[str] = ()
    overwrite: bool = False
    needs: list["Task"] = field(default_factory=list)
    done: bool = False
    error: BaseException | None = None
    _elsewhere: locks.Holder | None = None  # who works on it, or has been seen to

    @functools.cached_property
    def plan(self) -> Plan:
        """Raises as plan.plan."""
        return plan(self.experiment, self.overwrite)

    @property
    def open(self) -> bool:
        return not self.done and self.error is None

    def is_ready(self) -> bool:
        """Whether it can be run now: not finished, what it needs is, and nobody else works on it.

        Raises:
            SiftingError: it cannot be run.
        """
        for need in self.needs:
            if need.error is not None:
                raise InputError(f"needs {need.name}, which failed")
        if not all(need.done for need in self.needs):
            return False
        holder = self.plan.directory.holder
        if holder is not None:
            self._elsewhere = holder
            return False
        if not self.overwrite or self._elsewhere:  # else another process has overwritten it just now
            self.done = is_finished(self.plan)
        if not self.done and self._elsewhere and (failed := self.plan.directory.read_record().get("failed")):
            raise SiftingError(f"{failed} (in {self._elsewhere})")
        return not self.done


class Workers(ABC):
    """What runs experiments, `slots` at once.

    Attributes:
        not_now: errors after which a run is taken up again.
    """

    slots: float = 1
    not_now: tuple[type[BaseException], ...] = (RunLocked,)

    @abstractmethod
    def submit(self, task: Task) -> Any:
        """A future: `done()`, `cancel()`, and `result()`, which raises, or gives, what the run raised."""

    @abstractmethod
    def wait(self, futures: Sequence[Any]) -> None:
        """Until one of them is done, or some time has passed."""

    def line(self, text: str) -> None:
        """Show it."""
        print(text, flush=True)

    def finished(self, task: Task) -> None:  # noqa: B027
        """Show that a run is, if it has not said so."""


@dataclass(frozen=True)
class How:
    """How many runs are worked off, as the flags say.

    Attributes:
        jobs: processes at once; None: in this process, one after the other.
        keep_going: after a run that failed, with the others.
        cluster: address of a scheduler of Dask, whose workers run them, or slurm: its jobs do.
        commands: print a command for each run, and do nothing.
        runs: the folder of all relative save_dirs.
    """

    jobs: int | None = None
    keep_going: bool = True
    cluster: str | None = None
    commands: bool = False
    runs: str | None = None


def jobs_of(text: str | None) -> int | None:
    """Of --jobs. auto: one a GPU or, without any, one a core."""
    if text is None:
        return None
    if text == AUTO:
        from sifting.training.processes import gpus

        return len(gpus()) or cores()
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--jobs {text}: accepted: a whole number >= 1, or {AUTO}")
    return int(text)


def add_options(parser: ArgumentParser) -> None:
    """The flags of How, for parsers of argparse."""
    parser.add_argument("--jobs", metavar="N", help="runs at once; auto: one a GPU, or else one a core")
    parser.add_argument("--cluster", metavar="slurm|ADDRESS", help="run on Slurm, or on Dask at tcp://HOST:PORT")
    parser.add_argument("--nokeep_going", action="store_true", help="end with the first failure; default: go on")
    parser.add_argument("--keep_going", action="store_false", dest="nokeep_going", help=SUPPRESS)
    parser.add_argument("--commands", action="store_true", help="print a command for each unfinished run, and stop")
    parser.add_argument("--runs", metavar="DIR", help="folder of relative save_dirs; default: this one")


def how(options: Namespace) -> How:
    """What the flags say. Raises InputError."""
    return How(jobs_of(options.jobs), not options.nokeep_going, options.cluster, options.commands, options.runs)


def in_folder(experiment: Experiment, folder: str | None) -> Experiment:
    """With relative paths of runs below `folder`: its own, and those of others that are not in the current folder."""
    if folder is None:
        return experiment
    experiment = experiment.replace("IO", save_dir=os.path.join(folder, experiment.io.save_dir))
    others = {
        key: os.path.join(folder, path)
        for key, path in experiment.method.other_runs().items()
        if os.path.exists(os.path.join(folder, path)) or not os.path.exists(path)
    }
    return experiment.replace(experiment.method_name, **others) if others else experiment


def show_commands(tasks: Sequence[Task]) -> None:
    """Print, for each run that is not finished, a line for a shell that does this run and nothing else."""
    for task in tasks:
        if task.needs or not is_finished(task.plan):
            print(shlex.join([sys.executable, "-m", "sifting.run", *task.arguments]))


def prepared(tasks: Sequence[Task]) -> None:
    """Find out which runs need which others, and plan those that need none: refused before the first one starts.

    Raises:
        InputError: two runs in one place. SiftingError: as plan.
    """
    places: dict[Path, Task] = {}
    for task in tasks:
        directory = directory_of(task.experiment)
        place = directory.path("").absolute()
        if place in places:
            raise InputError(
                f"{task.name} and {places[place].name} would both be {directory}; accepted: a [IO] save_dir for each, "
                "or --runs DIR for all"
            )
        places[place] = task
    named = {task: [Path(path).absolute() for path in task.experiment.method.other_runs().values()] for task in tasks}
    for task in tasks:
        task.needs = [
            other
            for place, other in places.items()
            if other is not task and any(path in (place.parent, Path(str(place)[:-1])) for path in named[task])
        ]
        if not task.needs:
            _ = task.plan


def work_off(
    tasks: Sequence[Task],
    how: How,
    announce: Callable[[Task], None] | None = None,
    workers: Workers | None = None,
) -> list[Task]:
    """Run all that is not finished.

    Args:
        announce: called before a run that this process does itself; default: print its number and name.
        workers: who runs them; None: as `how` says. See also Given.

    Returns:
        Those that failed, in order; they have an `error`.

    Raises:
        SiftingError: as `prepared` refuses; what was wrong with the first that failed, if not how.keep_going.
        Interrupted: a signal came; everything was saved.
    """
    prepared(tasks)
    running: dict[Any, Task] = {}

    def number(task: Task) -> None:
        over = sum(not other.open for other in tasks)
        print(f"\nrun {over + 1} of {len(tasks)}: {task.name}", flush=True)

    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals().handled())
        if workers is None:
            workers = stack.enter_context(_workers(tasks, how, signals, announce or number))
        stack.callback(lambda: [future.cancel() for future in running])  # those that have not begun
        _work_off(tasks, running, workers, how.keep_going)
    return [task for task in tasks if task.error is not None]


def _work_off(tasks: Sequence[Task], running: dict[Any, Task], workers: Workers, keep_going: bool) -> None:
    waiting = ""
    while True:
        for task in tasks:
            if len(running) == workers.slots:
                break
            if task.open and task not in running.values():
                try:
                    if task.is_ready():
                        running[workers.submit(task)] = task
                except SiftingError as error:
                    _failed(task, error, keep_going)
        if not running:
            left = [task for task in tasks if task.open]
            if not left:
                return
            held = [task for task in left if task._elsewhere]
            if not held:
                raise InputError(f"{', '.join(task.name for task in left)}: need each other")
            others = f" and {len(held) - 3} more" if len(held) > 3 else ""
            said = f"waiting for {', '.join(f'{task.name} ({task._elsewhere})' for task in held[:3])}{others}"
            if said != waiting:
                workers.line(said)
            waiting = said
        if not any(future.done() for future in running):
            workers.wait(list(running))
        for future in [future for future in running if future.done()]:
            task = running.pop(future)
            try:
                if isinstance(outcome := future.result(), BaseException):
                    raise outcome
                task.done = True
                workers.finished(task)
            except workers.not_now as error:
                workers.line(f"{task.name}: {one_line(error)}")
            except (SiftingError, Interrupted) as error:  # a signal that its process alone has got
                for line in getattr(error, "said", ()):
                    workers.line(f"{task.name}: {line}")
                _failed(task, error, keep_going)
            except Exception as error:
                if not keep_going:
                    raise
                workers.line("".join(traceback.format_exception(error)).rstrip())
                _failed(task, error, keep_going)


def _failed(task: Task, error: BaseException, keep_going: bool) -> None:
    if not keep_going:
        raise error
    task.error = error


def named(failed: Sequence[Task]) -> None:
    """Name what failed, each with its line and exit code."""
    for task in failed:
        assert task.error is not None
        code = getattr(task.error, "exit_code", 1)
        print(f"sifting: {task.name}: {one_line(task.error)} (exit code {code})", file=sys.stderr)


def told(failed: Sequence[Task], of: int) -> None:
    """The same. Raises RunsFailed, if anything has; of one run alone what was wrong with it."""
    if of == 1 and failed and failed[0].error is not None:
        raise failed[0].error
    named(failed)
    if failed:
        raise RunsFailed(f"{len(failed)} of {of} runs failed")


# --- who runs them -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _workers(tasks: Sequence[Task], how: How, signals: Signals, announce: Callable[[Task], None]) -> Iterator[Workers]:
    if how.cluster is not None:
        from sifting.training.cluster import client

        with client(how.cluster, how.jobs or len(tasks)) as connected:
            yield Given(connected.get_executor())
        return
    if how.jobs is None or len(tasks) == 1:
        yield _Here(signals, announce)
        return
    from sifting.training.board import Board
    from sifting.training.processes import Processes, shares

    jobs = min(how.jobs, len(tasks))
    with Board().live() as board:
        processes = Processes(shares(jobs), board)
        with signals.deferred():
            try:
                yield _Beside(tasks, jobs, processes, board, signals)
            except Interrupted:  # all have ended, or this is a second signal, which does not wait
                processes.interrupt(signal.SIGKILL)
                raise
            except BaseException:
                processes.interrupt(signal.SIGTERM)
                raise
            finally:
                processes.close()


class _Here(Workers):
    """This process, one run after the other."""

    def __init__(self, signals: Signals, announce: Callable[[Task], None]) -> None:
        self._signals, self._announce = signals, announce

    def submit(self, task: Task) -> "concurrent.futures.Future[None]":
        self._announce(task)
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            launch.run(task.plan, self._signals)
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)
        gc.collect()  # traced functions refer to themselves, and to the images on the device
        return future

    def wait(self, futures: Sequence[Any]) -> None:
        time.sleep(locks.POLL)


class _Beside(Workers):
    """Processes on this machine."""

    def __init__(
        self, tasks: Sequence[Task], slots: float, processes: "Processes", board: "Board", signals: Signals
    ) -> None:
        self._tasks, self.slots, self._processes, self._board = tasks, slots, processes, board
        self._signals = signals

    def line(self, text: str) -> None:
        self._board.line(text)

    def submit(self, task: Task) -> "concurrent.futures.Future[None]":
        return self._processes.submit(task.name, task.experiment, task.overwrite)

    def wait(self, futures: Sequence[Any]) -> None:
        finished, failed = (sum(task.done for task in self._tasks), sum(task.error is not None for task in self._tasks))
        self._board.summary = f"{finished} of {len(self._tasks)} finished" + (f", {failed} failed" if failed else "")
        until = time.monotonic() + locks.POLL
        while time.monotonic() < until and not any(future.done() for future in futures):
            if self._signals.received:
                self._board.line(f"{self._signals.received.name}: {len(futures)} runs save and end")
                self._processes.interrupt(self._signals.received)
                concurrent.futures.wait(futures)
                self._signals.interrupt("")
            concurrent.futures.wait(futures, 0.2)
            if not futures:
                time.sleep(0.2)


class Given(Workers):
    """An executor of the user's, such as of a cluster: all runs that can begin are given to it at once.

    Args:
        executor: has `submit` as of concurrent.futures.Executor, for functions that can be pickled.
    """

    slots = math.inf
    not_now = RunLocked, Interrupted  # such as by the time limit of the job of a worker

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, task: Task) -> Any:
        self.line(f"{task.name}: submitted")
        return self._executor.submit(run_there, os.getcwd(), pickle.dumps((task.experiment, task.overwrite)))

    def wait(self, futures: Sequence[Any]) -> None:
        until = time.monotonic() + locks.POLL
        while time.monotonic() < until and not any(future.done() for future in futures):
            time.sleep(0.1)

    def finished(self, task: Task) -> None:
        self.line(f"{task.name}: finished")


def run_there(folder: str, job: bytes) -> BaseException | None:
    """Run an experiment where an executor has its workers, and show nothing: in a process of its own, which saves when
    the worker is told to end, or killed, and takes its memory with it.

    Args:
        folder: the current one of the run.
        job: as of Processes.run.

    Returns:
        What was wrong, if anything was: engines differ in what they make of exceptions.
    """
    from sifting.training.board import Board
    from sifting.training.processes import Processes

    try:
        Processes([os.environ], Board(io.StringIO()), folder).run("", job)
    except (SiftingError, Interrupted) as error:
        return error
    return None
