"""One process at a time works on a run."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from sifting.errors import RunDirectoryError


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file PREFIX_lock, whose folder is created, and so keep other processes off this run.

    The lock goes with the process. If the body leaves no file of the run, as after a refusal, the lock file and the
    folders made for it go, too.

    Raises:
        RunDirectoryError: the folder cannot be made or written, or another process works on the run.
    """
    folder = path.parent
    made = [parent for parent in (folder, *folder.parents) if not os.path.exists(parent)]
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_locked_file(path))
            stack.callback(_remove_lock_of_nothing, path, made)
            file.truncate(0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as error:
            raise RunDirectoryError(
                f"{folder}: cannot be written ({error.strerror}); accepted as [IO] save_dir: a writable folder"
            ) from None
        yield


def _locked_file(path: Path) -> IO[str]:
    """The lock file, made and locked. Raises RunDirectoryError if another process has locked it; OSError."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(path, "a+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                run, holder = path.with_name(path.name.removesuffix("_lock")), file.read().strip()
                raise RunDirectoryError(
                    f"{run}: another process works on this run ({holder}); accepted: one at a time"
                ) from None
            if os.fstat(file.fileno()).st_nlink:  # else its holder removed it before it was locked here
                stack.pop_all()
                return file


def _remove_lock_of_nothing(path: Path, made: Iterable[Path]) -> None:
    """For the holder of the lock: remove it if it is the run's only file, then the folders, if they are empty."""
    prefix = path.name.removesuffix("lock")
    with contextlib.suppress(OSError):
        if not any(name.startswith(prefix) and name != path.name for name in os.listdir(path.parent)):
            path.unlink()
            for empty in made:
                empty.rmdir()
