"""What all commands but sifting.run share: problems are one line on stderr and exit code 2, never a traceback.

The line begins with "sifting: ", whichever command prints it.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NoReturn

from sifting.base.files import atomic_write
from sifting.errors import Interrupted, RunDirectoryError, SiftingError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"sifting: {message}; see {self.prog} --help\n")


def run_command(command: Callable[[argparse.Namespace], None], parser: Parser, arguments: Sequence[str] | None) -> int:
    """Parse `arguments` (default: those of the process), run the command and return the exit code."""
    try:
        command(parser.parse_args(arguments))
        sys.stdout.flush()
    except (SiftingError, Interrupted) as error:
        print(f"sifting: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("sifting: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[IO[bytes]]:
    """files.atomic_write of a result, whose folder is made.

    Raises:
        RunDirectoryError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            yield file
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be written ({error.strerror or error}); accepted: a file in a writable folder with room"
        ) from None
