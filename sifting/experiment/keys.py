"""The keys of an input file: kinds of values, and dataclass fields that carry type, range, default and help."""

import configparser
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class Kind:
    """How a key's text becomes a value. `parse` raises ValueError for text that it does not accept; what that says is
    shown behind `accepts`."""

    parse: Callable[[str], Any]
    accepts: str
    format: Callable[[Any], str] = str


def integer(minimum: int, maximum: int = LARGEST_INTEGER) -> Kind:
    """Whole numbers, also written as 1e5."""

    def parse(text: str) -> int:
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise ValueError from None
        if not (number.is_finite() and minimum <= number <= maximum and number == number.to_integral_value()):
            raise ValueError
        return int(number)

    lower = "" if minimum == -LARGEST_INTEGER else f" >= {minimum}"
    upper = "" if maximum == LARGEST_INTEGER else f" and <= {maximum}"
    return Kind(parse, f"a whole number{lower}{upper}, such as 100 or 1e2")


def number(accepts: str, within: Callable[[float], bool]) -> Kind:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError from None
        if not (within(value) and abs(value) < float("inf")):
            raise ValueError
        return value

    return Kind(parse, accepts, repr)


def boolean() -> Kind:
    states = configparser.ConfigParser.BOOLEAN_STATES

    def parse(text: str) -> bool:
        if text.lower() not in states:
            raise ValueError
        return states[text.lower()]

    return Kind(parse, "true or false", lambda value: str(value).lower())


def choice(*options: str) -> Kind:
    def parse(text: str) -> str:
        if text not in options:
            raise ValueError
        return text

    return Kind(parse, " or ".join(options))


def whole_choice(*options: int) -> Kind:
    """One of a few whole numbers."""

    def parse(text: str) -> int:
        value: int = integer(min(options), max(options)).parse(text)
        if value not in options:
            raise ValueError
        return value

    return Kind(parse, " or ".join(map(str, options)))


def text(accepts: str, within: Callable[[str], bool] = bool) -> Kind:
    """One printable line, without what would begin a comment: the recorded input file must read as the same text."""

    def parse(value: str) -> str:
        if not (within(value) and value.isprintable() and " #" not in f" {value}"):
            raise ValueError
        return value

    return Kind(parse, accepts)


def path(accepts: str, within: Callable[[str], bool] = bool) -> Kind:
    """The same for a path. It may begin with ~ or ~USER, also behind tfds: of [Data] dataloc."""
    line = text(accepts, within)

    def parse(value: str) -> str:
        line.parse(value)
        if os.path.expanduser(home := value.removeprefix("tfds:")).startswith("~"):
            raise ValueError(f"no home folder {home.partition('/')[0]} is known here")
        return value

    return Kind(parse, accepts)


def _parse_prune(value: str) -> tuple[bool, ...]:
    flags = {"T": True, "F": False}
    try:
        return tuple(flags[part.strip()] for part in value.split(":"))
    except KeyError:
        raise ValueError from None


PRUNE = Kind(
    _parse_prune,
    "T or F for each layer of arch, joined by ':', such as T:T:F",
    lambda flags: ":".join("T" if flag else "F" for flag in flags),
)
POSITIVE = number("a number > 0", lambda value: value > 0)
RATIO = number("a number > 0 and < 1", lambda value: 0 < value < 1)
FRACTION = number("a number >= 0 and < 1", lambda value: 0 <= value < 1)


def _parse_sparsities(value: str) -> tuple[float, ...]:
    levels = tuple(RATIO.parse(part) for part in value.split(","))
    if any(later <= earlier for earlier, later in zip(levels, levels[1:], strict=False)):
        raise ValueError
    return levels


SPARSITIES = Kind(
    _parse_sparsities,
    "increasing numbers > 0 and < 1, joined by ',', such as 0.3, 0.51, 0.972",
    lambda levels: ", ".join(map(repr, levels)),
)


def optional(kind: Kind) -> Kind:
    """The same, or nothing: an empty value unsets what an earlier file has set."""
    return Kind(lambda value: kind.parse(value) if value else None, f"{kind.accepts}; or empty, for unset", kind.format)


def key(
    default: Any,
    kind: Kind,
    help: str,
    scaled: str = "",
    least: int = 1,
    continues: Callable[[Any, Any], bool] = operator.eq,
    run: bool = False,
) -> Any:
    """A dataclass field for one key.

    Args:
        default: of None: unset, or settled later, as the help says.
        scaled: the factor of [Scale] that multiplies the value; a positive one stays at least `least`.
        continues: (recorded value, new value) -> whether a run may go on with the new one.
        run: whether it names the directory of another run.
    """
    return field(
        default=default,
        metadata={"kind": kind, "help": help, "scaled": scaled, "least": least, "continues": continues, "run": run},
    )


def anything(recorded: Any, new: Any) -> bool:
    """For keys that say where things are, how fast to compute, or when to stop."""
    return True


def extension(recorded: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> bool:
    """For lists of levels, which may become longer. A shorter list would leave no record of the levels trained."""
    if recorded is None or new is None:
        return recorded == new
    return new[: len(recorded)] == recorded
