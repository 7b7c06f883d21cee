"""What the commands share: see sifting.base.command_line."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sifting.base.command_line import Parser as Parser
from sifting.base.command_line import output_file as output_file
from sifting.base.command_line import run_command as run_command
from sifting.network.observables import decimal as decimal


def aligned(rows: Iterable[Sequence[str]], left: bool = False) -> str:
    """A table of text, one line a row, columns ranged right or left."""
    columns = [
        [f"{text:{'<' if left else '>'}{max(map(len, texts))}}" for text in texts] for texts in zip(*rows, strict=True)
    ]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def write_json(path: Path, content: Any) -> None:
    """Write `content` atomically: arrays as lists, nan as null.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    text = json.dumps(plain(content), indent=1, allow_nan=False)
    with output_file(path) as file:
        file.write(text.encode() + b"\n")


def plain(value: Any) -> Any:
    """`value` in types that JSON has."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(one) for one in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
