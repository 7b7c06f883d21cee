"""SIGINT and SIGTERM: at once while nothing is at stake, at the next safe point during training."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from sifting.errors import Interrupted

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Both signals are handled so in the body; in the main thread, to which alone Python hands them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in NUMBERS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """In the body, which imports, both signals wait, however often they come; at its end they do what they would have.

    An import that was broken off cannot be done again in the same process: TensorFlow registers its parts only once.
    """
    arrived: list[int] = []
    try:
        with _handled(lambda number, frame: arrived.append(number)):
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])


class Signals:
    """Turns SIGINT and SIGTERM into Interrupted.

    Outside of `deferred` the exception is raised where the program stands: every file is written atomically, so
    nothing is lost. Inside, the signal waits until `received` is read; a second one does not wait.

    Args:
        patient: a second one is ignored, as where several processes pass the same one on.
    """

    def __init__(self, patient: bool = False) -> None:
        self.received: signal.Signals | None = None
        self._patient = patient
        self._deferred = False

    @contextlib.contextmanager
    def handled(self) -> Iterator["Signals"]:
        """Handle both signals in the body. Only the main thread gets any; in another one a run goes on to its end."""
        with _handled(self._handle):
            yield self

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None
        if again and self._patient:
            return
        self.received = signal.Signals(number)
        if again or not self._deferred:
            self.interrupt("")

    def interrupt(self, where: str) -> NoReturn:
        """Raise Interrupted for the signal that arrived."""
        assert self.received is not None
        raise Interrupted(
            f"{self.received.name}{where}: everything finished is saved; the same command continues the run",
            int(self.received),
        )
