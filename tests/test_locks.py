"""Locks: one holder at a time, whatever dies when; of several machines, of file systems without flock."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from sifting.base import locks
from sifting.base.locks import BEAT, REBOOTED, SILENT, Held, holder, locked, waited_for

DEAD = 2**22 + 1  # larger than any process number


def another(**changes):
    """A record of the lock file: another process of this machine."""
    own = {"host": socket.gethostname(), "boot": locks._boot(), "pids": locks._pids(), "pid": os.getppid()}
    return {**own, "flock": False, "token": "0" * 16, **changes}


def old(path, seconds):
    """Let a file have been touched so long ago."""
    os.utime(path, (time.time() - seconds,) * 2)


# What the lock file says, seconds since it was touched, and whether that lock is held.
CASES = {
    "a process of this machine": (another(), 0, True),
    "a dead one": (another(pid=DEAD), 0, False),
    "a dead one, whose number is another's by now": (another(), SILENT + 9, False),
    "a dead one that had the file locked by flock": (another(flock=True), 0, False),
    "a container of this machine": (another(host="c", pids="pid:[1]", pid=DEAD), BEAT, True),
    "a dead container": (another(host="c", pids="pid:[1]", pid=DEAD), SILENT + 9, False),
    "a dead container, known by flock": (another(host="c", pids="pid:[1]", flock=True), 0, False),
    "this machine before it was started again": (another(boot="then", flock=True), REBOOTED + 9, False),
    "a machine of the same name": (another(boot="elsewhere", flock=True), BEAT, True),
    "another machine": (another(host="b", boot="elsewhere", flock=True), SILENT - 9, True),
    "a dead machine": (another(host="b", boot="elsewhere", flock=True), SILENT + 9, False),
    "an earlier version, a moment ago": ("process 7 on b\n", 0, True),
    "an earlier version": ("process 7 on b\n", SILENT + 9, False),
    "nothing yet": ("", 0, True),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("claimed", [False, True])
def test_who_counts_as_holder(tmp_path, case, claimed):
    """Of the lock; or of the claim to follow a holder who is dead."""
    record, seconds, held = CASES[case]
    path = file = tmp_path / "a_lock"
    if claimed:
        path.write_text(json.dumps(another(pid=DEAD, token="d" * 16)))
        file = tmp_path / f"a_lock.{'d' * 16}"
    file.write_text(record if isinstance(record, str) else json.dumps(record))
    old(file, seconds)
    assert (holder(path) is not None) == held
    before = sorted(os.listdir(tmp_path))
    if held:
        with pytest.raises(Held), locked(path):
            pass
        assert sorted(os.listdir(tmp_path)) == before
    else:
        with locked(path):
            assert holder(path).pid == os.getpid() and os.listdir(tmp_path) == ["a_lock"]
        assert os.listdir(tmp_path) == []


WITHOUT = """
from sifting.base import locks
def flock(*_):
    raise OSError("not on this file system")
locks.fcntl.flock = flock
"""
HOLDING = """
import sys, time
from pathlib import Path
from sifting.base import locks
with locks.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("before", ["", WITHOUT], ids=["flock", "without"])
def test_a_killed_holder_holds_no_more(tmp_path, before):
    """At once, also while nobody has fetched its exit code. One that is stopped does."""
    path = tmp_path / "a_lock"
    with subprocess.Popen([sys.executable, "-c", before + HOLDING, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        assert holder(path).pid == process.pid
        with pytest.raises(Held, match=f"process {process.pid} on "), locked(path):
            pass
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not fetched
        with locked(path) as lock:
            assert not lock.lost


@pytest.mark.parametrize("stays", [True, False])
def test_whoever_comes_late_to_a_dead_holder_sees_so(tmp_path, monkeypatch, stays):
    """Another one follows the dead between the look and the claim, and holds the lock, or has released it."""
    path = tmp_path / "a_lock"
    path.write_text(json.dumps(another(pid=DEAD)))
    other, really = contextlib.ExitStack(), locks._make

    def late(claim):
        monkeypatch.setattr(locks, "_make", really)
        other.enter_context(locked(path))
        if not stays:
            other.close()
        return really(claim)

    monkeypatch.setattr(locks, "_make", late)
    with other, pytest.raises(Held) if stays else contextlib.nullcontext(), locked(path) as lock:
        assert not lock.lost
    assert os.listdir(tmp_path) == []


def test_between_claim_and_renaming_nobody_else_follows(tmp_path, monkeypatch):
    path = tmp_path / "a_lock"
    path.write_text(json.dumps(another(pid=DEAD)))
    really = os.replace

    def replace(claim, target):
        with pytest.raises(Held), locked(path):
            pass
        really(claim, target)

    monkeypatch.setattr(os, "replace", replace)
    with locked(path) as lock:
        assert not lock.lost


def test_the_age_of_a_lock_is_told_by_the_clock_of_its_file_system(tmp_path, monkeypatch):
    """The clock of this machine is an hour ahead."""
    path = tmp_path / "a_lock"
    path.write_text(json.dumps(another(host="b", boot="elsewhere")))
    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() + 3600)
    assert holder(path) is None
    with pytest.raises(Held), locked(path):
        pass
    assert os.listdir(tmp_path) == ["a_lock"]


def test_a_lock_is_renewed_and_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "a_lock"
    monkeypatch.setattr(locks, "BEAT", 0.01)
    monkeypatch.setattr(locks, "POLL", 0.01)
    waited = []
    with locked(path):
        old(path, SILENT)
        before = path.stat().st_mtime
        while path.stat().st_mtime == before:
            time.sleep(0.01)
    first = locked(path)
    first.__enter__()

    def report(found):
        waited.append(found.pid)
        first.__exit__(None, None, None)

    with waited_for(path, report):
        assert waited == [os.getpid()]


MANY = """
import os, random, sys
from pathlib import Path
from sifting.base import locks
draw, path = random.Random(int(sys.argv[2])), Path(sys.argv[1])
inside = path.with_name("inside")
taken = 0
while taken < 40:
    try:
        with locks.locked(path):
            before = inside.read_text()
            if before.isdigit() and locks._exists(int(before)):
                sys.exit(f"{before} is inside, too")
            inside.write_text(str(os.getpid()))
            taken += 1
            if taken == 20 and draw.random() < 0.5:
                os.kill(os.getpid(), 9)
            assert inside.read_text() == str(os.getpid())
            inside.write_text("nobody")
    except locks.Held:
        pass
"""


@pytest.mark.parametrize("before", ["", WITHOUT], ids=["flock", "without"])
def test_many_processes_of_which_some_are_killed_inside(tmp_path, before):
    (tmp_path / "inside").write_text("nobody")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", before + MANY, str(tmp_path / "a_lock"), str(n)], stderr=subprocess.PIPE
        )
        for n in range(6)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert {code for _, code in ends} == {0, -9} and not any(error for error, _ in ends)
