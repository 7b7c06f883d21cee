"""Errors whose message, one line, is all that a user needs to see. They go through pickle, which calls them with the
message alone and then restores their attributes."""

from collections.abc import Sequence


class SiftingError(Exception):
    """A problem that the user can mend: `python -m sifting.run` prints it as one line, without a traceback."""

    exit_code = 2


class InputError(SiftingError):
    """An input file, or a value in it, that cannot be accepted."""


class DataError(SiftingError):
    """Images that are missing, damaged or not what the input file says."""


class RunDirectoryError(SiftingError):
    """A run directory that cannot be read, or must not be written."""


class RunLocked(RunDirectoryError):
    """Another process works on the run."""


class TrainingDiverged(SiftingError):
    """The loss became NaN or infinite."""

    exit_code = 1


class ScoresNotFinite(SiftingError):
    """Some scores are NaN or infinite, so that no order of the weights follows from them."""

    exit_code = 1


class RunDied(SiftingError):
    """The process of a run ended without a word to sifting; `said`: its last lines, such as a traceback."""

    def __init__(self, message: str, exit_code: int = 1, said: Sequence[str] = ()):
        super().__init__(message)
        self.exit_code, self.said = exit_code, said


class RunsFailed(SiftingError):
    """Some of several runs failed."""

    exit_code = 1


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived; everything was saved. Exits as the shell expects: 128 + signal number.

    A KeyboardInterrupt, so that whoever handles ctrl-C handles it, and so no Exception: whoever handles a file that
    cannot be read must not take it for one.
    """

    def __init__(self, message: str, signal_number: int = 0):
        super().__init__(message)
        self.signal_number, self.exit_code = signal_number, 128 + signal_number


def not_utf8(error: UnicodeDecodeError) -> str:
    """Where a text that was read at once is none."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8"


def one_line(error: BaseException) -> str:
    """What an exception says, in one line: an OSError its reason alone, one without words its class."""
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__
