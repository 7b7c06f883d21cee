"""What many runs show that go on at once: a table on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from rich.live import Live
from rich.table import Table

from sifting.training.child import Line, State
from sifting.training.screen import PLAIN_SECONDS, duration, plain_console

COLUMNS = ("run", "GPU", "round", "u", "step", "steps/s", "best error", "left")


class Board:
    """Shows the runs that are being worked on.

    Args:
        stream: where; None: standard output.

    Attributes:
        summary: a line below them.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = plain_console(stream or sys.stdout)
        self._live: Live | None = None
        self._runs: dict[str, tuple[str | None, State | None]] = {}  # name: GPU, state
        self._last_line = time.monotonic()
        self.summary = ""

    @contextlib.contextmanager
    def live(self) -> Iterator["Board"]:
        """In the body, the table is there and refreshes itself."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(
            console=self._console, transient=True, refresh_per_second=2, get_renderable=self._table
        ) as self._live:
            yield self
        self._live = None

    @contextlib.contextmanager
    def shown(self, name: str, gpu: str | None) -> Iterator[None]:
        """A run is being worked on in the body."""
        self._runs[name] = gpu, None
        try:
            yield
        finally:
            del self._runs[name]

    def line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def tell(self, name: str, message: object) -> None:
        """What a child process tells of its run."""
        if isinstance(message, State):
            self._runs[name] = self._runs[name][0], message
            if self._live is None and time.monotonic() - self._last_line >= PLAIN_SECONDS:
                self._last_line = time.monotonic()
                for line in self._lines():
                    self.line(line)
        elif isinstance(message, Line) and not (message.of_round and self._live):
            self.line(f"{name}: {message.text}")

    def _states(self) -> list[tuple[str, str | None, State | None]]:
        """Name, GPU and state of each run, as of now: other threads change them."""
        return [(name, *seen) for name, seen in sorted(dict(self._runs).items(), key=lambda item: item[0])]

    @staticmethod
    def _cells(name: str, gpu: str | None, state: State | None) -> list[str]:
        if state is None:
            return [name, gpu or "", "begins", *[""] * 5]
        return [
            name,
            gpu or "",
            str(state.number),
            f"{100 * state.u:.2f} %",
            f"{state.step}/{state.steps}",
            f"{state.rate:.0f}",
            "" if state.best is None else f"{state.best:.3f}",
            "" if state.left is None else duration(state.left),
        ]

    def _table(self) -> Table:
        rows = [self._cells(*state) for state in self._states()]
        shown = [number for number, title in enumerate(COLUMNS) if title != "GPU" or any(row[number] for row in rows)]
        table = Table(box=None, caption=self.summary, caption_justify="left", pad_edge=False)
        for number in shown:
            table.add_column(COLUMNS[number], justify="right" if number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(row[number] for number in shown))
        return table

    def _lines(self) -> Iterator[str]:
        """A line for each run that is in a round."""
        for name, _, state in self._states():
            if state is not None and state.rate:
                best = "" if state.best is None else f"  best {state.best:.3f}"
                left = "" if state.left is None else f"  left {duration(state.left)}"
                yield (
                    f"{name}: round {state.number}  u {100 * state.u:.2f} %{best}{left}  {state.rate:.0f} steps/s  "
                    f"{state.step}/{state.steps}"
                )
