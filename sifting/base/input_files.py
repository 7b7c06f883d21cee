"""The input files that come with the project: in a checkout those of inputs/, else the copies inside the package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_SHIPPED = _PACKAGE / "shipped"  # made by setup.py; no checkout has it
ROOT = _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent


def find(path: str | Path) -> Path:
    """The file at `path`; where there is none, that of ROOT, for a path such as inputs/quickstart.in."""
    return ROOT / path if is_missing(path) else Path(path)


def is_missing(path: str | Path) -> bool:
    """Whether there is no file at `path`, but one of this name that comes with the project."""
    path = Path(path)
    return path.parts[:1] == ("inputs",) and ".." not in path.parts and not path.exists() and (ROOT / path).is_file()
