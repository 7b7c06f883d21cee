"""Writing files so that a reader, or a run that was killed, sees the old content or the new, never a part."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sifting.errors import RunDirectoryError, one_line


@contextlib.contextmanager
def refused_if_not_written(
    path: Path, accepted: str, errors: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Make of these errors in the body the RunDirectoryError that `path` cannot be written."""
    try:
        yield
    except errors as error:
        raise RunDirectoryError(f"{path}: cannot be written ({one_line(error)}); {accepted}") from None


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for binary writing; at the end, flush it to disk and rename it to `path`.

    If the body raises, `path` is untouched and the temporary file is removed. Each writer has a temporary file of its
    own, so several can write at once, and the last one's content stays. A process that is killed leaves its file
    behind, see `remove_left`.

    Raises:
        OSError: as open, write and rename do (no space, no permission).
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def remove_left(folder: Path, names: str) -> None:
    """Remove what killed processes left of files that nobody else writes now, of names that match."""
    for name in os.listdir(folder):
        if re.fullmatch(rf"({names})(\.[0-9a-f]{{8}})?\.tmp", name):  # earlier versions had no number
            (folder / name).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
