"""What all commands but sifting.run share: problems are one line on stderr and exit code 2, never a traceback.

The line begins with "sifting: ", whichever command prints it.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import argcomplete

from sifting.base.files import atomic_write, refused_if_not_written
from sifting.errors import Interrupted, SiftingError

COMPLETING = "_ARGCOMPLETE"  # in the environment while a shell completes a command


class _Help(argparse.HelpFormatter):
    """Help that fits a screen of 24 lines of 80 columns: the usage names what must be there, or has a place, the list
    below it has the options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=27, width=79)

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any = None) -> None:
        named = [action for action in actions if action.required or not action.option_strings]
        super().add_usage(usage, named, [], prefix)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line, and which completes what is written in a shell."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(formatter_class=_Help, add_help=False, **arguments)
        self._positionals.title = self._optionals.title = None
        self.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)

    def parse_args(self, *arguments: Any, **more: Any) -> Any:
        if COMPLETING in os.environ:
            argcomplete.autocomplete(self)
        return super().parse_args(*arguments, **more)

    def add_names(self, help: str, names: Callable[[], Iterable[str]], count: str = "*") -> None:
        """NAMEs, any number or one ("?"), which a shell completes."""
        action: Any = self.add_argument("name", nargs=count, metavar="NAME", help=help)
        action.completer = lambda **_: names()

    def add_settings(self, help: str) -> None:
        """--set, any number of times."""
        self.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help=help)

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
    with refused_if_not_written(path, "accepted: a file in a writable folder with room"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            yield file
