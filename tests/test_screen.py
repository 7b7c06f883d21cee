"""What a run shows: plain lines in a log, one live line on a terminal."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from synthetic import made_round

from sifting.screen import Screen, duration


@pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (750, "12:30"), (3723, "1:02:03"), (59.6, "1:00")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_log_has_plain_lines():
    """No escape codes, no carriage returns; a line at the end of a round, and one every few seconds within it."""
    stream = StringIO()
    screen = Screen(rounds=2, stream=stream)
    result = made_round(0)
    screen.begin_round(result, 11, 0)
    screen.update(5, np.array([0.5, 0.25], np.float32), [0.4, 0.3], 100.0)
    assert stream.getvalue() == ""
    screen._last_line -= 60
    screen.update(6, np.array([0.5, 0.25], np.float32), [0.4, 0.3], 100.0)
    screen.end_round(result, 3.0)
    progress, end = stream.getvalue().splitlines()
    assert "error 0.375 val 0.300 best 0.300" in progress and progress.endswith("100 steps/s  6/11")
    assert f"best {result.best_validation_error:.4f}" in end and end.endswith("0:03")
    assert "\x1b" not in stream.getvalue() and "\r" not in stream.getvalue()


def test_errors_and_eta_fit_on_80_columns():
    screen = Screen(rounds=20)
    screen._console = Console(width=80)
    screen.begin_round(made_round(0), 100_001, 0)
    text = screen._status(50_000, 0.123, [0.5, 0.456], 1234.0)
    assert "val 0.456 best 0.456" in text[:80] and "ETA" in text[:80]
