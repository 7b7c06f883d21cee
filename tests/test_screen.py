"""What a run shows: plain lines in a log, one live line on a terminal."""

from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from synthetic import made_round

from sifting.network.rounds import RoundInProgress
from sifting.training.board import Board
from sifting.training.child import Line, State
from sifting.training.screen import Screen, duration


def in_progress(result, step=0):
    """The round before a step: the batches before it had errors of 0.5 and 0, the last one included."""
    so_far = replace(
        result,
        training_errors=np.resize(np.float32([0.5, 0]), step)[::-1] if step else np.zeros(0, np.float32),
        validation_errors=np.float32([0.4, 0.3]),
    )
    return RoundInProgress.of(so_far, 10, step=step)


@pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (750, "12:30"), (3723, "1:02:03"), (59.6, "1:00")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_log_has_plain_lines():
    """No escape codes, no carriage returns; a line at the end of a round, and one every few seconds within it."""
    stream = StringIO()
    screen = Screen(rounds=2, stream=stream)
    result = made_round(0)
    screen.begin_round(in_progress(result), 11)
    begin = stream.getvalue()
    screen.update(in_progress(result, 5), 100.0)
    assert stream.getvalue() == begin
    screen._last_line -= 60
    screen.update(in_progress(result, 6), 100.0)
    screen.end_round(result, 3.0)
    progress, end = stream.getvalue().removeprefix(begin).splitlines()
    assert "error 0.250 val 0.300 best 0.300" in progress and progress.endswith("100 steps/s  6/11")
    assert f"best {result.best_validation_error:.4f}" in end and end.endswith("0:03")
    assert "\x1b" not in stream.getvalue() and "\r" not in stream.getvalue()


def test_layers_that_train_by_their_kept_weights_are_named():
    stream = StringIO()
    progress = in_progress(made_round(3))
    progress.sparse = (1,)
    Screen(stream=stream).begin_round(progress, 11)
    lines = [line for line in stream.getvalue().splitlines() if "  layer " in line]
    assert [line.endswith(" connected, sparse") for line in lines] == [number == 1 for number in range(len(lines))]


def test_a_notebook_has_one_line_that_is_written_over(monkeypatch):
    """Between carriage returns; blank when the round ends; no escape codes, though ipykernel asks for colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")

    class Cell(StringIO):  # as what ipykernel puts into the place of standard output
        __module__ = "ipykernel.iostream"

    stream = Cell()
    screen = Screen(rounds=2, stream=stream)
    result = made_round(0)
    screen.begin_round(in_progress(result), 11)
    begin = len(stream.getvalue())
    for step in (5, 6):
        screen.update(in_progress(result, step), 100.0)
    screen.end_round(result, 3.0)
    first, second, blank, end = filter(None, stream.getvalue()[begin:].split("\r"))
    assert first.rstrip().endswith("5/11") and second.rstrip().endswith("6/11") and blank == 120 * " "
    assert end.startswith("  val. error best") and "\x1b" not in stream.getvalue()


def test_a_stream_that_only_writes_is_no_terminal():
    """As what a user may put into the place of standard output."""
    written = []
    screen = Screen(stream=SimpleNamespace(write=written.append, flush=lambda: None))
    screen.begin_round(in_progress(made_round(0)), 11)
    assert "round 0" in "".join(written) and "\x1b" not in "".join(written)


def screen_of(width, monkeypatch):
    """A screen on a terminal, in a round that began at second 0; it shows nothing before it is asked."""
    times = iter([0.0, 40.0, 60.0])
    monkeypatch.setattr("sifting.training.screen.time", SimpleNamespace(monotonic=lambda: next(times)))
    screen = Screen(rounds=20)
    screen._console = Console(width=width, force_terminal=True, file=StringIO())
    screen.begin_round(in_progress(made_round(0)), 100_001)
    return screen


def test_compilation_is_not_part_of_the_time_that_is_left(monkeypatch):
    """40 seconds for the first 100 steps, then 20 for 1000: 98,901 steps more take 33 minutes."""
    screen = screen_of(120, monkeypatch)
    assert "ETA" not in screen._status(100, 0.123, [0.5], 2.5)
    assert "ETA 32:58  run 11:06:18  50 steps/s" in screen._status(1100, 0.123, [0.5], 50.0)


@pytest.mark.parametrize("width", range(40, 130, 3))
def test_a_narrow_terminal_gets_whole_fields(width, monkeypatch):
    screen = screen_of(width, monkeypatch)
    screen._status(100, 0.123, [0.5], 2.5)
    text = screen._status(50_000, 0.123, [0.5, 0.456], 1234.0)
    assert len(text) <= width
    fields = ["u 100.00 %", "]", "best 0.456", "ETA 0:20", "run 13:02", "1234 steps/s", "50000/100001"]
    assert text.endswith(tuple(fields))
    if width == 79:
        assert "best 0.456" in text and "ETA" in text and "run" in text


def masked(result, *kept):
    """The round with so many weights left in each layer, the first ones."""
    masks = {
        layer: mask._replace(W=(np.arange(mask.W.size) < count).astype(np.float32).reshape(mask.W.shape))
        for (layer, mask), count in zip(result.masks.items(), kept, strict=True)
    }
    return replace(result, masks=masks)


def lines_of(result, first_step=0):
    stream = StringIO()
    Screen(stream=stream).begin_round(in_progress(result, first_step), 11)
    return stream.getvalue().splitlines()


def test_every_round_begins_with_a_table_of_its_layers():
    """Layer, weights kept and in total, density, connected nodes; u is that of the prunable layer, the first one."""
    assert lines_of(masked(made_round(2), 2, 40)) == [
        "round 2  u 0.02 %",
        "  layer 1  2 of 12,288 weights    0.02 %    2 of 4 nodes connected",
        "  layer 2     40 of 40 weights  100.00 %  10 of 10 nodes connected",
    ]


def test_a_layer_without_weights_is_announced_and_a_round_that_goes_on():
    assert lines_of(made_round(1), 7)[0] == "round 1  u 100.00 %: continuing at step 7"
    lines = lines_of(masked(made_round(2), 0, 40))
    assert lines[-1] == "Warning: layer 1 has no weights left" and "0 of 4 nodes connected" in lines[1]
    assert not any("Warning" in line for line in lines_of(masked(made_round(2), 1, 1)))


def test_a_board_shows_a_table_on_a_terminal_and_lines_in_a_log():
    """Finished rounds are lines of a log alone; GPUs are shown where there are some."""
    state = State(3, 0.343, 50, 101, 20.4, 0.25, 75.0)
    for terminal in (True, False):
        board = Board()
        options = {"color_system": None, "highlight": False, "soft_wrap": True}
        board._console = Console(width=100, force_terminal=terminal, file=StringIO(), **options)
        board._last_line -= 60
        with board.live(), board.shown("seed 1", "2"), board.shown("seed 2", "0"):
            board.summary = "1 of 4 finished"
            board.tell("seed 1", Line("round 2  val. error best 0.3", of_round=True))
            board.tell("seed 1", Line("Warning"))
            board.tell("seed 1", state)
            with board._console.capture() as capture:
                board._console.print(board._table())
        written = board._console.file.getvalue()
        assert ("seed 1: round 2  val. error best 0.3\n" in written) != terminal and "seed 1: Warning" in written
        line = "seed 1: round 3  u 34.30 %  best 0.250  left 1:15  20 steps/s  50/101\n"
        assert (line in written) != terminal
    first, *rows, last = (line.split() for line in capture.get().splitlines())
    assert first == ["run", "GPU", "round", "u", "step", "steps/s", "best", "error", "left"]
    assert rows == [
        ["seed", "1", "2", "3", "34.30", "%", "50/101", "20", "0.250", "1:15"],
        ["seed", "2", "0", "begins"],
    ]
    assert last == ["1", "of", "4", "finished"]
    with board.shown("seed 1", None):
        assert board._table().columns[1].header == "round" and board._states() == [("seed 1", None, None)]
