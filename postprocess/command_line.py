"""What the commands share: see sifting.base.command_line."""

from collections.abc import Iterable, Sequence

import numpy as np

from sifting.base.command_line import Parser as Parser
from sifting.base.command_line import output_file as output_file
from sifting.base.command_line import run_command as run_command


def decimal(value: float | None, digits: int = 2) -> str:
    """A number of a table; '-' for what is not defined, and no sign before a zero."""
    return "-" if value is None or not np.isfinite(value) else f"{round(float(value), digits) + 0.0:.{digits}f}"


def aligned(rows: Iterable[Sequence[str]], left: bool = False) -> str:
    """A table of text, one line a row, columns ranged right or left."""
    columns = [
        [f"{text:{'<' if left else '>'}{max(map(len, texts))}}" for text in texts] for texts in zip(*rows, strict=True)
    ]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
