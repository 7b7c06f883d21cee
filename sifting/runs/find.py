"""Which runs a path of the user's names."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sifting.errors import RunDirectoryError
from sifting.runs.directory import RunDirectory


def find_runs(paths: Iterable[str | Path]) -> list[RunDirectory]:
    """The runs that the user names: each path is a run directory, DIR/PREFIX where several prefixes share a folder,
    or the folder of a run over several seeds (with sub-folders seed_N).

    Raises:
        RunDirectoryError: no rounds there, or several prefixes.
    """
    runs = []
    for path in map(Path, paths):
        prefixes = _prefixes(path)
        if len(prefixes) > 1:
            raise RunDirectoryError(
                f"{path}: holds the runs {', '.join(prefixes)}; accepted: one of {path / prefixes[0]}, ..."
            )
        if prefixes:
            runs.append(RunDirectory(path, prefixes[0]))
        elif path.name in _prefixes(path.parent):
            runs.append(RunDirectory(path.parent, path.name))
        else:
            seeds = sorted(path.glob("seed_*"), key=lambda seed: _with_numbers(seed.name))
            if not seeds:
                raise RunDirectoryError(f"{path}: {_why_no_run(path)}")
            runs += find_runs(seeds)
    return runs


def runs_below(paths: Iterable[str | Path]) -> list[RunDirectory]:
    """All runs in these folders and those below them, in the order of their names, numbers by size; or DIR/PREFIX.

    Raises:
        RunDirectoryError: a path has none.
    """
    found: dict[tuple[Path, str], RunDirectory] = {}
    for path in map(Path, paths):
        folders = {file.parent for file in path.rglob("*_itdata_*.pkl")}
        runs = [RunDirectory(folder, prefix) for folder in folders for prefix in _prefixes(folder)]
        for run in runs or find_runs([path]):
            found.setdefault((run.folder.resolve(), run.prefix), run)
    return sorted(found.values(), key=lambda run: _with_numbers(str(run)))


def _with_numbers(text: str) -> list[str | int]:
    """Text and numbers in turn, so that seed_10 comes behind seed_9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", text)]


def _why_no_run(path: Path) -> str:
    """What is wrong with a path that names no run with rounds, and what would be accepted."""
    begun = _prefixes(path, _BEGUN) or [name for name in _prefixes(path.parent, _BEGUN) if name == path.name]
    if begun:
        return f"its first round is not finished yet; accepted: a run with files {begun[0]}_itdata_N.pkl"
    if not path.exists():
        beside = [f", or DIR/PREFIX, such as {path.parent / prefix}" for prefix in _prefixes(path.parent)[:1]]
        return "".join(["is not there; accepted: the save_dir of a run", *beside])
    if not path.is_dir():
        return "is a file; accepted: the save_dir of a run"
    for depth in ("*", "*/*"):
        runs = {str(file.parent) for file in path.glob(f"{depth}/*_itdata_*.pkl")}
        runs |= {str(file.parents[1]) for file in path.glob(f"{depth}/seed_*/*_itdata_*.pkl")}
        if runs:
            return f"holds runs in its folders; accepted: one of them, such as {', '.join(sorted(runs)[:3])}"
    return "holds no rounds (files PREFIX_itdata_N.pkl); accepted: the save_dir of a run"


_ROUND, _BEGUN = r"itdata_\d+\.pkl", r"input\.in|checkpoint\.pkl"


def _prefixes(folder: Path, files: str = _ROUND) -> list[str]:
    """Prefixes of the runs in a folder that have one of these files."""
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted({match[1] for match in (re.fullmatch(f"(.+)_(?:{files})", name) for name in names) if match})
