"""Runs that come to harm: a child of test_kill.py, which asks for one at a time and is told how it ended.

A line of standard input is a JSON list: folder, harm and the arguments of sifting.run. Each run is a fork of this
process, which has imported what takes seconds, and started no thread of TensorFlow's. The answer is a JSON list, too:
exit code, standard error, and the number of operations, by which is meant whatever changes what `folder` holds: opening
a file to write, a record of an event file, a flush to disk, a rename, a removal, a new folder.

Harm is null; a number, the seconds after the first steps (compilation does not count) after which SIGKILL comes; or a
list: the operation before which it comes, and in its place the name of an error which that operation meets, or null.
"""

import contextlib
import errno
import json
import mmap
import os
import signal
import sys
import tempfile
import threading

import keras  # noqa: F401
import numba  # noqa: F401
import scipy.stats  # noqa: F401
import tensorflow as tf
from tensorboard.plugins.hparams import summary_v2  # noqa: F401

from sifting import run

CHANGES = {"os.rename": 0, "os.remove": 0, "os.rmdir": 0, "os.mkdir": 0}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after(seconds: float) -> None:
    from sifting.training import screen

    update = screen.Screen.update

    def update_with_timer(self, *arguments):
        if not any(isinstance(thread, threading.Timer) for thread in threading.enumerate()):
            timer = threading.Timer(seconds, kill)
            timer.daemon = True
            timer.start()
        update(self, *arguments)

    screen.Screen.update = update_with_timer


def watch(folder: str, number: int | None, error: str | None, counter: mmap.mmap) -> None:
    """Count operations in `folder`, and let that one come to harm."""

    def operation(path: object) -> None:
        if not os.fsdecode(path).startswith(folder):
            return
        count = int.from_bytes(counter[:8], "little") + 1
        counter[:8] = count.to_bytes(8, "little")
        if count == number:
            if error is None:
                kill()
            raise OSError(getattr(errno, error), os.strerror(getattr(errno, error)))

    def audit(event: str, arguments: tuple) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & WRITES and not isinstance(arguments[0], int)):
            operation(arguments[0])

    fsync, write = os.fsync, tf.io.TFRecordWriter.write

    def counted_fsync(descriptor: int) -> None:
        operation(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def counted_write(self, record: bytes) -> None:
        operation(folder)
        write(self, record)

    sys.addaudithook(audit)
    os.fsync, tf.io.TFRecordWriter.write = counted_fsync, counted_write


def harmed(folder: str, harm: float | list | None, arguments: list[str]) -> list:
    """Exit code, standard error, number of operations."""
    counter = mmap.mmap(-1, 8)
    with tempfile.TemporaryFile() as stderr:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(stderr.fileno(), 2)
            code = 1  # of a traceback
            with contextlib.suppress(SystemExit):
                if isinstance(harm, float):
                    kill_after(harm)
                watch(folder, *(harm if isinstance(harm, list) else (None, None)), counter)
                try:
                    run.app.run(run.main, argv=["run", *arguments], flags_parser=run._parse_flags)
                except SystemExit as end:
                    code = end.code or 0
                    raise
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        stderr.seek(0)
        return [code, stderr.read().decode(), int.from_bytes(counter[:8], "little")]


if __name__ == "__main__":
    for line in sys.stdin:
        folder, harm, *arguments = json.loads(line)
        print(json.dumps(harmed(folder, harm, arguments)), flush=True)
