"""A run in a process of its own, started by processes.Processes.

It is told what to run by a pickle in standard input, and tells how it goes on by pickles in standard output: State,
Line, and at the end Ended. It ends, and saves before, when standard input is closed: then its parent is gone.
"""

import contextlib
import io
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from sifting.base.signals import Signals
from sifting.errors import Interrupted, SiftingError
from sifting.network.rounds import Round, RoundInProgress, density
from sifting.training import launch
from sifting.training.plan import plan
from sifting.training.screen import Screen, round_line

SECONDS = 0.5  # between two states


class State(NamedTuple):
    """How far a run is.

    Attributes:
        number, u: of the round.
        step: of `steps`; rate: steps per second.
        best: validation error of the round so far; left: seconds of the run; None: not known yet.
    """

    number: int
    u: float
    step: int
    steps: int
    rate: float
    best: float | None
    left: float | None


class Line(NamedTuple):
    """A line to show; of_round: that of a finished round."""

    text: str
    of_round: bool = False


class Ended(NamedTuple):
    """The run is over. error: why it is not finished; a SiftingError or Interrupted."""

    error: BaseException | None


class _Telling(Screen):
    """A screen that another process shows."""

    def __init__(self, rounds: int | None, tell: Callable[[Any], None]) -> None:
        super().__init__(rounds, io.StringIO())
        self._tell = tell

    def line(self, text: str) -> None:
        self._tell(Line(text))

    def detail(self, text: str) -> None:
        pass

    def begin_round(self, progress: RoundInProgress, steps: int) -> None:
        super().begin_round(progress, steps)
        self._u = density(progress.masks, progress.specs)
        self._state(progress, 0.0, None)

    def update(self, progress: RoundInProgress, rate: float) -> None:
        of_round, of_run = self._pace.left(progress.step)
        if time.monotonic() - self._told >= SECONDS:
            self._state(progress, rate, of_round if of_run is None else of_run)

    def _state(self, progress: RoundInProgress, rate: float, left: float | None) -> None:
        self._told = time.monotonic()
        best = float(min(progress.validation_errors)) if progress.validation_errors else None
        self._tell(State(progress.number, self._u, progress.step, self._steps, rate, best, left))

    def end_round(self, result: Round, seconds: float) -> None:
        self._pace.end_round(seconds)
        self._tell(Line(f"{self._label}  {round_line(result, seconds)}", of_round=True))


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing comes
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """The exit code, as of sifting.run."""
    channel, lock = os.fdopen(os.dup(1), "wb"), threading.Lock()
    os.dup2(2, 1)  # what libraries print is no message

    def tell(message: Any) -> None:
        with lock, contextlib.suppress(OSError):
            pickle.dump(message, channel)
            channel.flush()

    error: BaseException | None = None
    try:
        with Signals(patient=True).handled() as signals:
            experiment, overwrite = pickle.load(sys.stdin.buffer)
            threading.Thread(target=_end_with_parent, daemon=True).start()
            launch.run(plan(experiment, overwrite), signals, lambda rounds: _Telling(rounds, tell))
    except (SiftingError, Interrupted) as stopped:
        error = stopped
    tell(Ended(error))
    return getattr(error, "exit_code", 0)
