"""Writing files so that a reader, or a run that was killed, sees the old content or the new, never a part."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for binary writing; at the end, flush it to disk and rename it to `path`.

    If the body raises, `path` is untouched and the temporary file is removed. The temporary name is fixed
    (`path` + ".tmp"), so that what a killed process left behind is overwritten by the next one: callers make sure
    that only one process writes a given path (a run's lock; a cache entry's lock).

    Raises:
        OSError: as open, write and rename do (no space, no permission).
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
