"""A run that kills itself: `python killed_run.py KILLS ARGUMENT ...`, a child of test_kill.py.

KILLS is a JSON list of two entries, each a number or null: the seconds after the first steps (so that compilation does
not count) after which SIGKILL comes, from a timer; and the number of the file operation (a flush to disk, a rename)
before which it comes.
"""

import json
import os
import signal
import sys
import threading

from sifting import run
from sifting.base import files
from sifting.training import screen


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after(seconds: float) -> None:
    update = screen.Screen.update

    def update_with_timer(self, *arguments):
        if not threading.active_count() > 1:
            timer = threading.Timer(seconds, kill)
            timer.daemon = True
            timer.start()
        update(self, *arguments)

    screen.Screen.update = update_with_timer


def kill_before_operation(number: int) -> None:
    count = 0

    def counting(operation):
        def counted(*arguments):
            nonlocal count
            count += 1
            if count == number:
                kill()
            return operation(*arguments)

        return counted

    class CountingOs:
        """`os` as files.py sees it."""

        fsync, replace = staticmethod(counting(os.fsync)), staticmethod(counting(os.replace))

        def __getattr__(self, name):
            return getattr(os, name)

    files.os = CountingOs()


if __name__ == "__main__":
    seconds, operation = json.loads(sys.argv[1])
    if seconds is not None:
        kill_after(seconds)
    if operation is not None:
        kill_before_operation(operation)
    run.app.run(run.main, argv=["run", *sys.argv[2:]], flags_parser=run._parse_flags)
