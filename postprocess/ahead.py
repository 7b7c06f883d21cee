"""What runs still cost: time, disk and memory."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from postprocess.command_line import aligned
from postprocess.rates import (
    Rate,
    estimated_rounds,
    measured_rate,
    must_be_measured,
    recorded_rate,
    spread,
    training_seconds,
)
from sifting.training import many
from sifting.training.dry_run import needs_of, size_text
from sifting.training.plan import Plan, is_finished


class Ahead(ABC):
    """A run, how far it is when that is first asked, and how far it will go."""

    @property
    @abstractmethod
    def task(self) -> many.Task:
        """Raises InputError: a file or value that cannot be accepted."""

    @property
    def plan(self) -> Plan:
        """Raises as task; RunDirectoryError: there is another experiment in its place, or a damaged one."""
        return self.task.plan

    @functools.cached_property
    def done(self) -> int:
        """Rounds that are stored."""
        return len(self.plan.directory.rounds())

    @functools.cached_property
    def finished(self) -> bool:
        return is_finished(self.plan)

    @property
    def rounds(self) -> int:
        """How many there are, or probably will be."""
        return self.done if self.finished else max(estimated_rounds(self.plan), self.done)

    @property
    def rate(self) -> Rate | None:
        """Of its training, if it is known."""
        return recorded_rate(self.plan, self.plan.directory.read_record())

    @property
    def state(self) -> str:
        return "finished" if self.finished else f"{self.done} of about {self.rounds} rounds" if self.done else "missing"


class OfTask(Ahead):
    """A run whose task is there."""

    def __init__(self, task: many.Task) -> None:
        self._task = task

    @property
    def task(self) -> many.Task:
        return self._task


AnyAhead = TypeVar("AnyAhead", bound=Ahead)


class Estimate(dict[AnyAhead, float]):
    """Seconds of training that every run still needs, 0 for finished ones; `spread`: of the rates they follow from."""

    spread: tuple[float, float] | None


def estimate(
    runs: Sequence[AnyAhead], report: Callable[[str], None] = print, rates: Sequence[Rate] = ()
) -> Estimate[AnyAhead]:
    """How long runs will take.

    Args:
        report: called with one line if a rate has to be measured first.
        rates: of another device; none: those of this one, of runs that are here.
    """
    rates = [*rates] or [rate for run in runs if (rate := run.rate) is not None]
    for unknown in must_be_measured(rates, [run.plan for run in runs if not run.finished]):
        network = unknown.experiment.network
        arch = ":".join(map(str, network.arch))
        report(f"measuring the rate of {arch} at batches of {network.batch_size} ...")
        rates.append(measured_rate(unknown))
    found = Estimate(
        {run: 0.0 if run.finished else training_seconds(run.plan, rates, run.rounds - run.done) for run in runs}
    )
    found.spread = spread(rates)
    return found


def plan_lines(seconds: Estimate[AnyAhead], jobs: int = 1) -> list[str]:
    """A table of runs, their states and the time they still need, and of all together time, disk and memory.

    Args:
        jobs: how many go at once.
    """
    rows = [(run.task.name, run.state, "" if run.finished else rough_duration(left)) for run, left in seconds.items()]
    table = aligned([("run", "state", "training"), *rows], left=True).splitlines()
    missing = [run for run in seconds if not run.finished]
    if not missing:
        return [*table, f"all of {len(seconds)} finished"]
    left = sum(seconds.values())
    total = f"{len(seconds) - len(missing)} of {len(seconds)} finished, {len(missing)} to run: about "
    total += f"{rough_duration(left)} of training"
    if seconds.spread is not None:  # as other work on the machine let them be
        total += f" ({' to '.join(rough_duration(ratio * left) for ratio in seconds.spread)}, as rates have varied)"
    if jobs > 1:
        total += f"; {jobs} at once, {rough_duration(max(left / jobs, *seconds.values()))} at best"
    needs = [needs_of(run.plan) for run in missing]
    disk = sum(
        need.round * (run.rounds - run.done) + need.first * (run.done == 0)
        for run, need in zip(missing, needs, strict=True)
    )
    memory = sum(sorted((need.images + need.network for need in needs), reverse=True)[:jobs])
    return [*table, total, f"disk about {size_text(disk)}; memory about {size_text(memory)} for images and networks"]


def rough_duration(seconds: float) -> str:
    """Two digits at most: 40 s, 12 min, 3.5 h, 12 days."""
    for unit, size, least in (("days", 86400, 2), ("h", 3600, 1.5), ("min", 60, 1.5)):
        if seconds >= least * size:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{seconds:.0f} s"
