"""What the commands share: see sifting.base.command_line."""

from collections.abc import Iterable, Sequence

from sifting.base.command_line import Parser as Parser
from sifting.base.command_line import output_file as output_file
from sifting.base.command_line import run_command as run_command


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """A table of text, one line a row, columns ranged right."""
    columns = [[text.rjust(max(map(len, texts))) for text in texts] for texts in zip(*rows, strict=True)]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
