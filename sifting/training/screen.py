"""What a run shows: one live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from sifting.architecture import LayerSpec
from sifting.network.rounds import LayerCount, Mask, Round, RoundInProgress, connected_fraction, density, layer_counts

PLAIN_SECONDS = 10.0  # between two lines of a log


def plain_console(stream: TextIO) -> Console:
    """Without colours; also in a notebook, whose cells rich would send one HTML block a line, whatever the stream, and
    which is a terminal to rich, since ipykernel sets FORCE_COLOR."""
    terminal = getattr(stream, "isatty", bool)()  # what stands in for standard output may only write
    return Console(file=stream, highlight=False, soft_wrap=True, force_jupyter=False, force_terminal=terminal)


def duration(seconds: float) -> str:
    """Such as 0:07, 12:30 or 1:02:03."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def layer_table(counts: Sequence[LayerCount], sparse: Collection[int] = ()) -> list[str]:
    """One line a layer, counted from 1, in aligned columns: weights that are left, their density, connected nodes;
    `sparse`: layers that train by these weights alone, which is said behind them."""
    rows = [
        (
            f"  layer {count.layer + 1}",
            f"{count.kept:,} of {count.total:,} weights",
            f"{100 * count.density:.2f} %",
            f"{count.connected:,} of {count.nodes:,} nodes connected",
        )
        for count in counts
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [line + ", sparse" * (count.layer in sparse) for line, count in zip(lines, counts, strict=True)]


def round_label(number: int, masks: Mapping[int, Mask], specs: tuple[LayerSpec, ...]) -> str:
    return f"round {number}  u {100 * density(masks, specs):.2f} %"


def round_line(result: Round, seconds: float) -> str:
    """How a finished round was, in one line; it took so long."""
    return (
        f"val. error best {result.best_validation_error:.4f} last {result.validation_errors[-1]:.4f}  "
        f"connected {100 * connected_fraction(result.masks, result.specs):.1f} %  {duration(seconds)}"
    )


class Pace:
    """How long a run will take, from how long it took.

    Args:
        rounds: number of rounds to expect, None if unknown.
    """

    def __init__(self, rounds: int | None) -> None:
        self._rounds = rounds
        self._round_seconds: float | None = None  # of the last whole round

    def begin_round(self, number: int, steps: int) -> None:
        """A round of `steps` starts, or goes on."""
        self._number, self._steps = number, steps
        self._timed_from: tuple[int, float] | None = None  # step and time

    def end_round(self, seconds: float) -> None:
        self._round_seconds = seconds

    def left(self, step: int) -> tuple[float | None, float | None]:
        """Seconds that are left of the round, and of the run; None: not known."""
        # The first call of a round compiles, so the time that is left follows from those after it.
        if self._timed_from is None:
            self._timed_from = step, time.monotonic()
        first, began = self._timed_from
        if step <= first:
            return None, None
        per_step = (time.monotonic() - began) / (step - first)
        left = (self._steps - step) * per_step
        if self._rounds is None:
            return left, None
        per_round = self._round_seconds or self._steps * per_step
        return left, left + per_round * (self._rounds - self._number - 1)


class Screen:
    """Shows the progress of a run.

    Args:
        rounds: number of rounds to expect, None if unknown.
        stream: where to write.
    """

    def __init__(self, rounds: int | None = None, stream: TextIO | None = None):
        self._console = plain_console(stream or sys.stdout)
        self._pace = Pace(rounds)
        self._live: Live | None = None
        # A notebook lets a line be written over, and has no terminal for more.
        self._notebook = "ipykernel" in type(stream or sys.stdout).__module__

    def line(self, text: str) -> None:
        """One line of plain text."""
        self._console.print(text, markup=False)

    def detail(self, text: str) -> None:
        """The same, of what matters less where many runs are shown."""
        self.line(text)

    def begin_round(self, progress: RoundInProgress, steps: int) -> None:
        """A round of `steps` starts, or goes on."""
        self._label = round_label(progress.number, progress.masks, progress.specs)
        self._steps = steps
        self._pace.begin_round(progress.number, steps)
        self._last_line = time.monotonic()
        counts = layer_counts(progress.masks, progress.specs)
        self.detail(self._label + (f": continuing at step {progress.step}" if progress.step else ""))
        self.detail("\n".join(layer_table(counts, progress.sparse)))
        for count in counts:
            if count.kept == 0:
                self.line(f"Warning: layer {count.layer + 1} has no weights left")
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()

    def update(self, progress: RoundInProgress, rate: float) -> None:
        """Some steps are done. `rate`: steps per second."""
        last = progress.training_errors[max(0, progress.step - 100) : progress.step]
        text = self._status(progress.step, float(np.mean(last)), progress.validation_errors, rate)
        if self._live is not None:
            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
        elif self._notebook:
            self._write_over(text)
        elif time.monotonic() - self._last_line >= PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self.line(text)

    def end_round(self, result: Round, seconds: float) -> None:
        self.close()
        self._pace.end_round(seconds)
        self.line(f"  {round_line(result, seconds)}")

    def close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._notebook:
            self._write_over("")

    def _write_over(self, text: str) -> None:
        self._console.file.write(f"\r{text:<120}\r")  # past rich, which takes carriage returns out
        self._console.file.flush()

    def _status(self, step: int, training_error: float, validation_errors: Sequence[np.floating], rate: float) -> str:
        of_round, of_run = self._pace.left(step)
        eta = [] if of_round is None else [f"ETA {duration(of_round)}"]
        eta += [] if of_run is None else [f"run {duration(of_run)}"]
        validation = f" val {validation_errors[-1]:.3f} best {min(validation_errors):.3f}" if validation_errors else ""
        fields = [f"error {training_error:.3f}{validation}", *eta, f"{rate:.0f} steps/s", f"{step}/{self._steps}"]
        if not self._console.is_terminal:
            return "  ".join([self._label, *fields])
        # What matters less stands at the end, where a narrow terminal has no room; the bar makes room first.
        text = self._label + (f" [{'#' * round(8 * step / self._steps):<8}]" if self._console.width >= 100 else "")
        for field in fields:
            if len(text) + 2 + len(field) > self._console.width:
                break
            text += "  " + field
        return text
