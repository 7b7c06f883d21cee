"""What the commands of postprocess share: problems are one line on stderr and exit code 2, never a traceback."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from sifting.errors import SiftingError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def run_command(command: Callable[[argparse.Namespace], None], parser: Parser, arguments: Sequence[str] | None) -> int:
    """Parse `arguments` (default: those of the process), run the command and return the exit code."""
    try:
        command(parser.parse_args(arguments))
    except SiftingError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
