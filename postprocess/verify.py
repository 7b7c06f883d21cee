"""What of a run is damaged, and what can be made again: `python -m postprocess.verify RUN_DIR ...`.

Rounds and the checkpoint of the round in progress are compared with their checksums; log, findata and history of a
finished run, if its rounds are whole, with what follows from them; event files and stored analyses have checksums of
their own; input files and run.json must be readable. Of runs of earlier versions and of the TF1 code, which have no
checksums, rounds are read. Changes nothing; the exit code is 1 if anything is damaged.
"""

import argparse
import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from postprocess.cache import stored_arrays
from postprocess.command_line import Parser, run_command
from sifting.base.quiet import native_messages_hidden
from sifting.datasets import cache
from sifting.errors import InputError, RunDirectoryError, SiftingError
from sifting.inputs import read_experiment
from sifting.runs.directory import RunDirectory, event_file_name
from sifting.runs.find import runs_below
from sifting.runs.following import Following
from sifting.runs.reference import check_round_file


class Damaged(SiftingError):
    """Something is."""

    exit_code = 1


def damages(run: RunDirectory) -> Iterator[tuple[Path, str]]:
    """The damaged files of a run, and how each can be made again."""
    again = "remove it, and the run's command makes it again"
    round_again = "remove it, and the run's command trains its round anew"
    if run.recorded_input is None:
        again = round_again = "it cannot be made again: no input file says how"
    else:
        for path in sorted(run.folder.glob(f"{glob.escape(run.prefix)}_input*.in")):
            try:
                read_experiment([str(path)])
            except InputError:
                last = path == run.recorded_input
                yield (
                    path,
                    "the input file that the run was started with makes it again" if last else "nothing reads it",
                )
    record = {}
    try:
        record = run.read_record()
    except RunDirectoryError:
        yield run.path("run.json"), f"{again}, without times and checksums of rounds"
    stored = {int(number) for number, entry in record.get("rounds", {}).items() if "layers" in entry}
    rounds = Following()
    whole = bool(record.get("finished"))
    for number in sorted(stored.union(run.rounds())):
        path = run.round_path(number)
        try:
            whole &= check_round_file(path)
            rounds.add(run.read_round(number))
        except SiftingError:
            whole = False
            yield path, round_again if path.exists() else "missing: the run's command trains it anew"
    try:
        run.read_progress()
    except RunDirectoryError:
        yield run.progress_path, round_again
    for name, content in rounds.files().items() if whole else ():
        path = run.path(name)
        if not path.exists() or _without_own(name, path.read_bytes(), content) != content:
            yield path, "the run's command makes it again from the rounds"
    # That of a round in progress may end anywhere.
    if events := [path for path, number in run.event_files().items() if path.name == event_file_name(number)]:
        with native_messages_hidden():
            from sifting.training.tensorboard import is_whole
        yield from ((path, again) for path in events if not is_whole(path))
    for path in sorted(run.folder.glob(f"{glob.escape(run.prefix)}_analysis_*.npz")):
        if stored_arrays(path) is None:
            yield path, "postprocess.analyse makes it again"


def _without_own(name: str, stored: bytes, content: bytes) -> bytes:
    """A history without the user's observables, its last columns, which no file of the run says."""
    if name != "history.csv":
        return stored
    columns = content.partition(b"\n")[0].count(b",") + 1
    return b"\n".join(b",".join(line.split(b",")[:columns]) for line in stored.split(b"\n"))


def damaged_entries(folder: Path) -> Iterator[tuple[Path, str]]:
    """The same of prepared images in a cache folder."""
    for path in sorted(folder.glob("*/entry.json")):
        try:
            cache.open_entry(path.parent)
        except SiftingError:
            yield path.parent, "remove it, and the next run makes it again"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.verify", description="What is damaged, and what can be made again.")
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="save_dir, DIR/PREFIX, or a folder of such folders")
    parser.add_argument(
        "--images", action="store_true", help="also all prepared images in the cache folders of the runs"
    )
    return run_command(_verify_command, parser, arguments)


def _verify_command(options: argparse.Namespace) -> None:
    count, folders = 0, set()
    for run in runs_below(options.runs):
        found = list(damages(run))
        count += _show(str(run), run.folder, f"{len(run.rounds())} rounds", found)
        if options.images and run.recorded_input not in [None, *(path for path, _ in found)]:
            folders.add(read_experiment([str(run.recorded_input)]).cache_folder)
    for folder in sorted(folders):
        count += _show(str(folder), folder, "prepared images", list(damaged_entries(folder)))
    if count:
        raise Damaged(f"{count} damaged or missing")


def _show(name: str, folder: Path, what: str, found: list[tuple[Path, str]]) -> int:
    print(f"{name}: {what}, {len(found) or 'nothing'} damaged", flush=True)
    for path, remedy in found:
        print(f"  {path.relative_to(folder)}: {remedy}", flush=True)
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
