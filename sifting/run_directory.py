"""Every file of a run, and the only place that knows the reference's lists.

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
    PREFIX_lock           held while a process works on the run
"""

import contextlib
import fcntl
import json
import os
import pickle
import pickletools
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from sifting.architecture import CONVOLUTION, DENSE, OUTPUT, POOL, LayerSpec
from sifting.errors import DataError, RunDirectoryError
from sifting.files import atomic_write
from sifting.rounds import NOTHING, Checkpoint, Mask, Moments, Parameters, Round, connected_fraction

EVENT_FILE = re.compile(r"events\.out\.tfevents\.(?P<round>\d{6,})(\.from_\d+)?")


def event_file_name(number: int, start: str | None = None) -> str:
    """Of the finished round, or of its training from step `start` on: a number, or a pattern for glob."""
    return f"events.out.tfevents.{number:06d}" + ("" if start is None else f".from_{start}")


# --- pickles -------------------------------------------------------------------------------------------------------


class _NumberType:
    """Stands for numpy.dtype in an unpickler. numpy believes a pickle about the flags inside a dtype, and a forged one
    makes it take bytes for pointers; of the pickle's word, only kind, size and byte order are used here."""

    def __init__(self, text: str, *_: object) -> None:
        if not re.fullmatch("[biufcSU][0-9]+", text):
            raise pickle.UnpicklingError(f"it holds an array of {text!r}, which are neither numbers nor text")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array in the making: unpickling calls _reconstruct, then __setstate__."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, number_type, fortran_order, values = state
        super().__setstate__((version, shape, number_type.dtype, fortran_order, values))


def _reconstruct(*_: object) -> np.ndarray:
    return _Array(0)


def _scalar(number_type: _NumberType, value: bytes) -> np.generic:
    scalar: np.generic = np.frombuffer(value, number_type.dtype, count=1)[0]
    return scalar


def _frombuffer(
    buffer: bytes, number_type: _NumberType, shape: tuple[int, ...], order: Literal["C", "F"], *_: object
) -> np.ndarray:
    """How protocol 5 spells arrays."""
    return np.frombuffer(bytearray(buffer), number_type.dtype).reshape(shape, order=order)


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 pickles of protocol <= 2 spell bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not admitted")
    return text.encode("latin1")


_ADMITTED = {
    "numpy.ndarray": "what _reconstruct makes",  # its first argument; not to be called
    "numpy.dtype": _NumberType,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _latin1,
}


class _NumpyUnpickler(pickle.Unpickler):
    """Admits numpy arrays and scalars inside plain containers, so that a stranger's file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}".replace("numpy._core.", "numpy.core.")  # numpy moved its core in version 2
        if full_name not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is neither a numpy array nor a plain container"
            )
        return _ADMITTED[full_name]


def _finished(content: Any) -> Any:
    """Plain containers and arrays, without _Array."""
    if isinstance(content, dict):
        return {key: _finished(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(map(_finished, content))
    return content.view(np.ndarray) if isinstance(content, _Array) else content


def load_pickle(path: Path, encoding: str = "ASCII") -> Any:
    """Unpickle a file of numpy arrays and plain containers; nothing else is admitted, no code is run.

    Raises:
        DataError: one line: missing, unreadable, truncated, or naming anything else.
    """
    try:
        with open(path, "rb") as file:
            return _finished(_NumpyUnpickler(file, encoding=encoding).load())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except MemoryError:
        raise DataError(f"{path}: damaged, or larger than the memory") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{path}: is not a pickle of numpy arrays, or is damaged ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """An exception in one line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def dump_pickle(content: Any) -> bytes:
    """Pickle with names that every numpy resolves: `numpy.core`, which numpy 2 itself spells `numpy._core`.

    Protocol 3, the last one without frames, so that replacing a name of another length is safe.
    """
    raw = pickle.dumps(content, protocol=3)
    pieces, start = [], 0
    for opcode, argument, position in pickletools.genops(raw):
        if opcode.name == "GLOBAL" and isinstance(argument, str) and argument.startswith("numpy._core."):
            assert position is not None  # of an opcode in bytes
            module, name = argument.split(" ")
            written = f"c{module}\n{name}\n".encode()
            pieces += [raw[start:position], written.replace(b"numpy._core", b"numpy.core")]
            start = position + len(written)
    return b"".join([*pieces, raw[start:]])


def _specs_from_lists(arch: list[Any]) -> tuple[LayerSpec, ...]:
    return tuple(LayerSpec(str(kind), tuple(int(n) for n in shape), bool(prunable)) for kind, shape, prunable in arch)


def _specs_to_lists(specs: tuple[LayerSpec, ...]) -> list[list[Any]]:
    return [[spec.kind, list(spec.shape), spec.prunable] for spec in specs]


def _fresh(values: npt.ArrayLike, dtype: type) -> np.ndarray:
    """A C-ordered copy. Pickles show which objects are the same one, and an array that was unpickled has a dtype
    object of its own: only from fresh arrays do equal rounds give equal bytes."""
    array: np.ndarray = np.empty(np.shape(values), dtype)
    array[...] = values
    return array


def _to_lists(values: Mapping[int, Parameters | Mask], layers: int) -> list[list[np.ndarray]]:
    """Copies of the arrays of every layer; an empty list for a layer without any."""
    return [[_fresh(value, np.float32) for value in values.get(layer, ()) if value.size] for layer in range(layers)]


def round_to_lists(result: Round) -> list[Any]:
    """The reference's list of 10."""
    layers = len(result.specs)
    return [
        _specs_to_lists(result.specs),
        _fresh(result.ratios, np.float64),
        [checkpoint.step for checkpoint in result.checkpoints],
        list(range(len(result.training_errors))),
        list(result.validation_steps),
        list(result.training_errors),
        list(result.validation_errors),
        [_to_lists(checkpoint.parameters, layers) for checkpoint in result.checkpoints],
        [[_fresh(np.stack(moments), np.float32) for moments in c.moments.values()] for c in result.checkpoints],
        _to_lists(result.masks, layers),
    ]


MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def round_from_lists(content: list[Any], number: int) -> Round:
    """The inverse of round_to_lists. Raises one of MALFORMED for lists of another shape."""
    arch, ratios, checkpoint_steps, _, validation_steps, training, validation, weights, moments, masks = content
    specs = _specs_from_lists(arch)
    dense = [index for index, spec in enumerate(specs) if spec.is_dense]
    checkpoints = [
        Checkpoint(
            int(step), _from_lists(Parameters, range(len(specs)), layers), _from_lists(Moments, dense, dense_moments)
        )
        for step, layers, dense_moments in zip(checkpoint_steps, weights, moments, strict=True)
    ]
    result = Round(
        number,
        specs,
        np.asarray(ratios, dtype=np.float64),
        _from_lists(Mask, range(len(specs)), masks),
        tuple(checkpoints),
        np.asarray(training, dtype=np.float32),
        tuple(int(step) for step in validation_steps),
        np.asarray(validation, dtype=np.float32),
    )
    _check_shapes(result)
    return result


def _from_lists(kind: type, layers: Iterable[int], lists: Any) -> dict[int, Any]:
    """Parameters, Mask or Moments by layer; a layer of an empty list has none."""
    return {
        layer: kind(*(np.asarray(array, dtype=np.float32) for array in arrays))
        for layer, arrays in zip(layers, lists, strict=True)
        if len(arrays)
    }


def _array_shapes(spec: LayerSpec) -> dict[type, list[tuple[int, ...]]]:
    """Shapes of one layer's arrays in the reference's lists."""
    if not spec.is_dense:
        weights = [spec.weight_shape] if spec.has_weights else []
        return {Parameters: weights, Mask: weights, Moments: []}
    n_in, n_out = spec.shape
    mask = [(n_in, n_out), (n_out,)]
    return {Parameters: [*mask, (n_in,), (n_in,)], Mask: mask, Moments: [(n_in,), (n_in,)]}


def _check_shapes(result: Round) -> None:
    """Raise ValueError unless everything has the shape that the architecture and the steps give it."""
    for spec in result.specs:
        if len(spec.shape) != {DENSE: 2, OUTPUT: 2, CONVOLUTION: 5, POOL: 2}.get(spec.kind):
            raise ValueError(f"a layer '{spec.kind}' of shape {spec.shape}")
    if result.ratios.shape != (sum(spec.prunable for spec in result.specs),):
        raise ValueError(f"ratios of shape {result.ratios.shape}, not one for each prunable layer")
    last_step = max(result.validation_steps, default=-1)
    if len(result.validation_errors) != len(result.validation_steps) or len(result.training_errors) <= last_step:
        raise ValueError("errors that do not belong to the steps")
    layers: list[tuple[type, Mapping[int, Parameters | Mask | Moments]]] = [(Mask, result.masks)]
    for checkpoint in result.checkpoints:
        layers += [(Parameters, checkpoint.parameters), (Moments, checkpoint.moments)]
    for kind, values in layers:
        for layer, spec in enumerate(result.specs):
            shapes = [array.shape for array in values.get(layer, ()) if array is not NOTHING]
            if shapes != _array_shapes(spec)[kind]:
                raise ValueError(f"{kind.__name__} of shapes {shapes} in a layer '{spec.kind}' of shape {spec.shape}")


def read_round_file(path: Path) -> Round:
    """Read an itdata pickle, ours or the reference's.

    Raises:
        DataError: missing, damaged, or not a list of 10 with these shapes.
    """
    number = re.search(r"_itdata_(\d+)\.pkl$", path.name)
    content = load_pickle(path)
    try:
        if not isinstance(content, list) or len(content) != 10:
            raise ValueError("not a list of 10")
        result = round_from_lists(content, int(number[1]) if number else 0)
        if not result.validation_steps:
            raise ValueError("no validation errors")
    except MALFORMED as error:
        raise DataError(f"{path}: is not the pickle of a round ({_reason(error)})") from None
    return result


# --- the log -------------------------------------------------------------------------------------------------------


def log_line(step: int, training_error: float, validation_error: float) -> str:
    """One validation, as the reference prints it; lines end in a carriage return."""
    return f"Step: {step:7d}, TE: {training_error:5.3f}, VE: {validation_error:5.3f}\r"


def log_summary(result: Round) -> str:
    """The line after a round."""
    return (
        f"Ratios: {result.ratios}; more than 0 connections: {connected_fraction(result.masks, result.specs)}; "
        f"Emin: {float(result.best_validation_error)}\n"
    )


def log_lines(steps: Iterable[int], training_errors: np.ndarray, validation_errors: Iterable[float]) -> str:
    return "".join(
        log_line(step, training_errors[step], error) for step, error in zip(steps, validation_errors, strict=True)
    )


@dataclass(frozen=True)
class Progress:
    """A round in progress.

    Attributes:
        partial: the round so far; its errors end before `step`, its checkpoints are those before `step`.
        step: the next step to train; nothing of it has been done.
        seconds: spent on the round so far.
        state: values of network and optimizer by name, as the trainer gives them.
    """

    partial: Round
    step: int
    seconds: float
    state: Mapping[str, np.ndarray]


# --- the directory -------------------------------------------------------------------------------------------------


class RunDirectory:
    """The files of one run. Reading needs nothing; writing is for the process that holds `lock()`.

    Attributes:
        folder: Path of save_dir.
        prefix: str.
    """

    def __init__(self, folder: str | Path, prefix: str):
        self.folder = Path(folder)
        self.prefix = prefix

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
        return read_round_file(self.round_path(number))

    def write_round(self, result: Round) -> None:
        """Store a finished round, and drop the checkpoint on the way to it."""
        self._write(self.round_path(result.number), dump_pickle(round_to_lists(result)))
        self.checkpoint_path.unlink(missing_ok=True)

    def write_findata(
        self, specs: tuple[LayerSpec, ...], ratios: Iterable[np.ndarray], best_validation_errors: Iterable[np.floating]
    ) -> None:
        """The reference's list of 3: architecture, then ratios and best validation error of every round."""
        content = [
            _specs_to_lists(specs),
            [_fresh(values, np.float64) for values in ratios],
            [np.float32(error) for error in best_validation_errors],
        ]
        self._write(self.path("findata.pkl"), dump_pickle(content))

    def remove_rounds(self, first: int) -> None:
        """Delete the stored rounds from `first` on, the round in progress, and what the records say of them.

        Findata and history go, too: they cover all rounds, and follow from those that stay once the run goes on.

        Raises:
            RunDirectoryError: rounds before `first` stay, and run.json is damaged; nothing is deleted then.
        """
        record = self.read_record() if first else {}
        for number in self.rounds():
            if number >= first:
                self.round_path(number).unlink()
        for path in (self.checkpoint_path, *map(self.path, ("findata.pkl", "history.csv", "run.json"))):
            path.unlink(missing_ok=True)
        for path in self.tensorboard_folder.glob("*/*"):
            name = EVENT_FILE.fullmatch(path.name)
            if name and int(name["round"]) >= first:
                path.unlink()
                with contextlib.suppress(OSError):  # others' files are in it
                    path.parent.rmdir()
        if record:
            timings = record.get("rounds", {})
            self.write_record({**record, "rounds": {n: timing for n, timing in timings.items() if int(n) < first}})

    def keep_input(self, first: int) -> None:
        """Keep the input file that the rounds before `first` were made with, as PREFIX_input_until_`first`.in."""
        if first and self.path("input.in").exists():
            os.replace(self.path("input.in"), self.path(f"input_until_{first}.in"))

    # --- log, records

    def write_log(self, content: str) -> None:
        """Replace the log."""
        self._write(self.path("out.dat"), content.encode())

    def append_log(self, content: str) -> None:
        with self._reporting_errors(self.path("out.dat")), open(self.path("out.dat"), "a", newline="") as file:
            file.write(content)

    def write_history(self, content: str) -> None:
        self._write(self.path("history.csv"), content.encode())

    @property
    def tensorboard_folder(self) -> Path:
        return self.path("tensorboard")

    def write_input(self, content: str) -> None:
        self._write(self.path("input.in"), content.encode())

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
        self._write(self.path("run.json"), (json.dumps(record, indent=2) + "\n").encode())

    # --- the round in progress

    @property
    def checkpoint_path(self) -> Path:
        return self.path("checkpoint.pkl")

    def write_checkpoint(self, progress: Progress) -> None:
        """Store the round in progress."""
        content = {
            "number": progress.partial.number,
            "round": round_to_lists(progress.partial),
            "step": progress.step,
            "seconds": progress.seconds,
            "state": dict(progress.state),
        }
        self._write(self.checkpoint_path, dump_pickle(content))

    def read_checkpoint(self) -> Progress | None:
        """The round in progress, if there is one. Raises RunDirectoryError if it is damaged."""
        if not self.checkpoint_path.exists():
            return None
        try:
            content = load_pickle(self.checkpoint_path)
            partial = round_from_lists(content["round"], content["number"])
            return Progress(partial, content["step"], content["seconds"], content["state"])
        except (DataError, *MALFORMED):
            raise RunDirectoryError(f"{self.checkpoint_path}: is damaged; remove it to train its round anew") from None

    # --- writing

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Create the folder and keep other processes off this run; the lock goes with the process.

        If the body leaves no file of the run, as after a refusal, the lock file and the folders made for it go, too.

        Raises:
            RunDirectoryError: the folder cannot be made or written, or another process works on the run.
        """
        made = [folder for folder in (self.folder, *self.folder.parents) if not os.path.exists(folder)]
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self._locked_file())
                stack.callback(self._remove_lock_of_nothing, made)
                file.truncate(0)
                os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            except OSError as error:
                raise RunDirectoryError(
                    f"{self.folder}: cannot be written ({error.strerror}); accepted as [IO] save_dir: a writable folder"
                ) from None
            yield

    def _locked_file(self) -> IO[str]:
        """The lock file, made and locked. Raises RunDirectoryError if another process has locked it; OSError."""
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(open(self.path("lock"), "a+"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    raise RunDirectoryError(
                        f"{self}: another process works on this run ({file.read().strip()}); accepted: one at a time"
                    ) from None
                if os.fstat(file.fileno()).st_nlink:  # else its holder removed it before it was locked here
                    stack.pop_all()
                    return file

    def _remove_lock_of_nothing(self, made: Iterable[Path]) -> None:
        """For the holder of the lock: remove it if it is the run's only file, then the folders, if they are empty."""
        lock = self.path("lock").name
        with contextlib.suppress(OSError):
            if not any(name.startswith(f"{self.prefix}_") and name != lock for name in os.listdir(self.folder)):
                self.path("lock").unlink()
                for folder in made:
                    folder.rmdir()

    @contextlib.contextmanager
    def _reporting_errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunDirectoryError(
                f"{path}: cannot be written ({error.strerror}); what was written before is whole; accepted: "
                "a writable folder with room, then the same command again"
            ) from None

    def _write(self, path: Path, content: bytes) -> None:
        with self._reporting_errors(path), atomic_write(path) as file:
            file.write(content)


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
            seeds = sorted(path.glob("seed_*"), key=lambda seed: (len(seed.name), seed.name))
            if not seeds:
                raise RunDirectoryError(f"{path}: {_why_no_run(path)}")
            runs += find_runs(seeds)
    return runs


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
