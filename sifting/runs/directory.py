"""RunDirectory: every file of a run.

A run is (save_dir, prefix). Its files:

    PREFIX_out.dat        the reference's log
    PREFIX_itdata_N.pkl   round N, the reference's list of 10
    PREFIX_findata.pkl    the reference's list of 3
    PREFIX_input.in       the resolved input file, seed included; it runs as it stands
    PREFIX_input_until_N.in  the same for the rounds before N, where a restart changed settings
    PREFIX_run.json       versions, device, image source, seconds of each round
    PREFIX_history.csv    a line for every validation, see history.py
    PREFIX_tensorboard/   event files of every round, see tensorboard.py
    PREFIX_checkpoint.pkl the round in progress
    PREFIX_lock           there while a process works on the run, see base.locks
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sifting.base import checksums
from sifting.base.files import atomic_write, refused_if_not_written, remove_left
from sifting.base.locks import Held, Holder, Lock, holder, locked
from sifting.base.pickles import dump_pickle, load_pickle
from sifting.errors import DataError, RunDirectoryError, RunLocked
from sifting.network.rounds import Round, RoundInProgress
from sifting.runs.reference import (
    CHECKSUM,
    MALFORMED,
    read_round_file,
    round_from_lists,
    round_to_lists,
)

EVENT_FILE = re.compile(r"events\.out\.tfevents\.(?P<round>\d{6,})(\.from_\d+)?")  # that TensorBoard reads
WRITTEN = r"itdata_\d+\.pkl|findata\.pkl|checkpoint\.pkl|out\.dat|input\.in|run\.json|history\.csv"
WHOLE = "what was written before is whole; accepted: a writable folder with room, then the same command again"
PROGRESS = "checkpoint.pkl"
SEAL = "\nchecksum "  # behind the pickle of a checkpoint, where unpickling has ended


def event_file_name(number: int, start: str | None = None) -> str:
    """Of the finished round, or of its training from step `start` on: a number, or a pattern for glob."""
    return f"events.out.tfevents.{number:06d}" + ("" if start is None else f".from_{start}")


class RunDirectory:
    """The files of one run. Reading needs nothing; writing is for the process that holds `lock()`.

    Attributes:
        folder: Path of save_dir.
        prefix: str.
    """

    def __init__(self, folder: str | Path, prefix: str):
        self.folder = Path(folder)
        self.prefix = prefix
        self._lock: Lock | None = None

    def __str__(self) -> str:
        return str(self.folder / self.prefix)

    def path(self, name: str) -> Path:
        """The file PREFIX_`name`."""
        return self.folder / f"{self.prefix}_{name}"

    @property
    def recorded_input(self) -> Path | None:
        """The input file of the run; None where there is none, as in runs of the TF1 code."""
        path = self.path("input.in")
        return path if path.exists() else None

    def round_path(self, number: int) -> Path:
        return self.path(f"itdata_{number}.pkl")

    # --- rounds

    def rounds(self) -> list[int]:
        """Numbers of the stored rounds, in order."""
        pattern = re.compile(re.escape(self.prefix) + r"_itdata_(\d+)\.pkl")
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return sorted(int(match[1]) for match in map(pattern.fullmatch, names) if match)

    def read_round(self, number: int) -> Round:
        """Raises DataError if it is missing or damaged."""
        result = read_round_file(self.round_path(number))
        with contextlib.suppress(RunDirectoryError, KeyError, TypeError, ValueError):  # nothing, or nonsense, says it
            channels, height, width = map(int, self.read_record()["image_shape"])
            return dataclasses.replace(result, recorded_shape=(channels, height, width))
        return result

    def write_round(self, result: Round, record: dict[str, Any] | None = None) -> None:
        """Store a finished round, and drop what was saved on the way to it.

        Args:
            record: run.json as it will be; takes the checksum, and is written first. None: there is nothing to say.
        """
        content = dump_pickle(round_to_lists(result))
        if record is not None:
            record["rounds"][str(result.number)][CHECKSUM] = checksums.of_bytes(content)
            self.write_record(record)
        self.write(f"itdata_{result.number}.pkl", content)
        self.remove_progress()

    def remove_rounds(self, first: int) -> None:
        """Delete the stored rounds from `first` on, the round in progress, and what the records say of them.

        Findata and history go, too: they cover all rounds, and follow from those that stay once the run goes on.

        Raises:
            RunDirectoryError: rounds before `first` stay, and run.json is damaged, when nothing is deleted; a file
                cannot be deleted.
        """
        record = self.read_record() if first else {}
        for number in self.rounds():
            if number >= first:
                _remove(self.round_path(number))
        for path in (self.progress_path, *map(self.path, ("findata.pkl", "history.csv", "run.json"))):
            _remove(path)
        for path in [path for path, number in self.event_files().items() if number >= first]:
            _remove(path)
            with contextlib.suppress(OSError):  # others' files are in it
                path.parent.rmdir()
        if record:
            timings = record.get("rounds", {})
            self.write_record({**record, "rounds": {n: timing for n, timing in timings.items() if int(n) < first}})

    def keep_input(self, first: int) -> None:
        """Keep the input file that the rounds before `first` were made with, as PREFIX_input_until_`first`.in."""
        if first and self.path("input.in").exists():
            with refused_if_not_written(kept := self.path(f"input_until_{first}.in"), WHOLE):
                os.replace(self.path("input.in"), kept)

    # --- log, records

    def append_log(self, content: str) -> None:
        path = self.path("out.dat")
        with refused_if_not_written(path, WHOLE), open(path, "a", newline="") as file:
            file.write(content)

    @property
    def tensorboard_folder(self) -> Path:
        return self.path("tensorboard")

    def event_files(self) -> dict[Path, int]:
        """Those that are there, and the round of each."""
        paths = sorted(self.tensorboard_folder.glob("*/*"))
        return {path: int(name["round"]) for path in paths if (name := EVENT_FILE.fullmatch(path.name))}

    def write_input(self, content: str) -> None:
        self.write("input.in", content.encode())

    def read_record(self) -> dict[str, Any]:
        """run.json; empty where there is none. Raises RunDirectoryError if it is damaged."""
        path = self.path("run.json")
        if not path.exists():
            return {}
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("rounds", {}), dict):
            raise RunDirectoryError(f"{path}: is damaged; remove it to continue without the records of earlier rounds")
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        self.write("run.json", (json.dumps(record, indent=2) + "\n").encode())

    # --- the round in progress

    @property
    def progress_path(self) -> Path:
        return self.path(PROGRESS)

    def write_progress(self, progress: RoundInProgress, seconds: float, state: Mapping[str, np.ndarray]) -> None:
        """Store the round in progress. `seconds`: spent on it so far; `state`: of network and optimizer, by name."""
        content = {
            "number": progress.number,
            "round": round_to_lists(progress.so_far()),
            "step": progress.step,
            "seconds": seconds,
            "state": dict(state),
            "sparse": progress.sparse,
        }
        raw = dump_pickle(content)
        self.write(PROGRESS, raw + f"{SEAL}{checksums.of_bytes(raw)}".encode())

    def remove_progress(self) -> None:
        _remove(self.progress_path)

    def read_progress(self, steps: int = 0) -> RoundInProgress | None:
        """The round in progress, of so many steps, if there is one. Raises RunDirectoryError if it is damaged."""
        if not self.progress_path.exists():
            return None
        try:
            raw, _, seal = self.progress_path.read_bytes().rpartition(SEAL.encode())
            if raw and checksums.of_bytes(raw).encode() != seal:
                raise DataError("its checksum is another one")
            content = load_pickle(self.progress_path)
            partial = round_from_lists(content["round"], content["number"])
            more = {name: content[name] for name in ("step", "seconds", "state")}
            sparse = content.get("sparse", ())  # earlier versions had no such layers
            return RoundInProgress.of(partial, steps, **more, sparse=sparse)
        except (OSError, DataError, *MALFORMED):
            raise RunDirectoryError(f"{self.progress_path}: is damaged; remove it to train its round anew") from None

    # --- writing

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Make the folder, and keep other processes off this run in the body.

        Folders in which the body leaves nothing, as after a refusal, go with the lock.

        Raises:
            RunLocked: another process works on the run.
            RunDirectoryError: the folder cannot be made or written.
        """
        made = [folder for folder in (self.folder, *self.folder.parents) if not os.path.exists(folder)]
        with contextlib.ExitStack() as stack:
            try:
                with refused_if_not_written(self.folder, "accepted as [IO] save_dir: a writable folder"):
                    stack.callback(_remove_empty, made)
                    self._lock = stack.enter_context(locked(self.path("lock")))
                    remove_left(self.folder, f"{re.escape(self.prefix)}_({WRITTEN})")
            except Held as held:
                raise RunLocked(
                    f"{self}: another process works on this run ({held.holder}); accepted: one at a time"
                ) from None
            stack.callback(setattr, self, "_lock", None)
            yield

    @property
    def holder(self) -> Holder | None:
        """Which process works on the run, if one does."""
        return holder(self.path("lock"))

    def write(self, name: str, content: bytes) -> None:
        """The file PREFIX_`name`, in place of what it was. Raises RunDirectoryError, or RunLocked by an overtaker."""
        if self._lock is not None and self._lock.lost:
            raise RunLocked(f"{self}: nothing was heard of this process for long, and another one took over")
        path = self.path(name)
        with refused_if_not_written(path, WHOLE), atomic_write(path) as file:
            file.write(content)


def _remove(path: Path) -> None:
    with refused_if_not_written(path, WHOLE):
        path.unlink(missing_ok=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
