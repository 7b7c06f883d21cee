"""Several runs at once on this machine: a process each, with its share of the cores, or with a GPU of its own."""

import concurrent.futures
import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from sifting.base.cores import cores
from sifting.errors import RunDied, RunLocked, one_line
from sifting.experiment.experiment import Experiment
from sifting.training.board import Board
from sifting.training.child import Ended
from sifting.training.screen import duration

THREADS = (  # variables that say how many threads a library may start
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus() -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without TensorFlow."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return [name for name in map(str.strip, visible.split(",")) if name and name != "-1"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    with contextlib.suppress(OSError):
        return [str(number) for number in range(len(os.listdir("/proc/driver/nvidia/gpus")))]
    return []


def shares(jobs: int) -> list[dict[str, str]]:
    """Environment variables that give each of so many processes its share of this machine; what the user has set
    stays, but for CUDA_VISIBLE_DEVICES, of whose GPUs each process sees one."""
    threads = dict.fromkeys(THREADS, str(max(1, cores() // jobs)))
    found = gpus()
    return [
        {**threads, **os.environ, **({VISIBLE: found[number % len(found)]} if found else {})} for number in range(jobs)
    ]


class Processes:
    """Runs experiments in processes, one for each share at once.

    Args:
        shares: environment variables of the processes.
        board: shows how they go on.
        folder: their current one; None: that of this process.
    """

    def __init__(self, shares: Sequence[Mapping[str, str]], board: Board, folder: str | None = None) -> None:
        self._board, self._folder, self._interrupted = board, folder, False
        self._children: set[subprocess.Popen[bytes]] = set()
        self._shares: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
        for share in shares:
            self._shares.put(share)
        self._threads = concurrent.futures.ThreadPoolExecutor(len(shares))  # each follows a process

    def submit(self, name: str, experiment: Experiment, overwrite: bool) -> concurrent.futures.Future[None]:
        """The result raises as `run`."""
        return self._threads.submit(self.run, name, pickle.dumps((experiment, overwrite)))

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal to all. The first one lets them save and end."""
        self._interrupted = True
        for child in list(self._children):
            child.send_signal(number)

    def close(self) -> None:
        """Wait until all have ended."""
        self._threads.shutdown()

    def run(self, name: str, job: bytes) -> None:
        """Wait for a run; job: pickle of its experiment, and overwrite.

        Raises:
            SiftingError, Interrupted: what the run raised; RunDied: its process is dead, and did not say why.
        """
        share, began = self._shares.get(), time.monotonic()
        try:
            with self._board.shown(name, share.get(VISIBLE)), tempfile.TemporaryFile() as errors:
                ended, code = None, 0
                with self._started(share, errors.fileno()) as child:
                    with contextlib.suppress(OSError):  # it is dead already
                        assert child.stdin is not None and child.stdout is not None
                        child.stdin.write(job)
                        child.stdin.flush()
                    for message in _messages(child):
                        if isinstance(message, Ended):
                            ended = message
                        else:
                            self._board.tell(name, message)
                    code = child.wait()
                if ended is None:
                    errors.seek(0)
                    said = errors.read().decode(errors="replace").splitlines()
                    ended = Ended(RunDied(_last_words(code, said), *((128 - code,) if code < 0 else (code or 1, said))))
                if ended.error is None:
                    self._board.line(f"{name}: finished, {duration(time.monotonic() - began)}")
                    return
                if not isinstance(ended.error, RunLocked):  # whoever asked comes back to it
                    self._board.line(f"{name}: {one_line(ended.error)}")
                raise ended.error
        finally:
            self._shares.put(share)

    @contextlib.contextmanager
    def _started(self, environment: Mapping[str, str], errors: int) -> Iterator["subprocess.Popen[bytes]"]:
        child = subprocess.Popen(
            [sys.executable, "-m", "sifting.training"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=self._folder,
            start_new_session=True,  # ctrl-C goes to this process alone, which passes it on
        )
        with child:
            self._children.add(child)
            if self._interrupted:
                child.terminate()
            try:
                yield child
            finally:
                self._children.discard(child)


def _messages(child: "subprocess.Popen[bytes]") -> Iterator[object]:
    """What the child tells, until it is dead."""
    assert child.stdout is not None
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            yield pickle.load(child.stdout)


def _last_words(code: int, said: Sequence[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}; what was finished is kept, and the same command goes on"
    return f"its process ended: {said[-1] if said else 'without a word'}"
