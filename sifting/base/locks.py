"""Locks between processes, also of several machines that share a folder: on NFS and Lustre, too.

A lock is a file that says who holds it: machine, boot, process and a token, another one for each time it is taken.
Whether the holder lives, the kernel says where both run on one: by flock where the file system has it, which goes with
the process, else by the process number. Of another machine the age of the file tells: the holder renews it every BEAT
seconds, and counts as dead after SILENT. A process that was stopped for longer is overtaken; `Lock.lost` tells it.

No two take over the same lock. To follow the holder with token T, a process makes the file PATH.T, which only one can
(O_EXCL, exact on NFS from version 3 on); sees that its file is the last of the chain PATH (T), PATH.T (T'), PATH.T';
and renames it to PATH. Tokens do not come again, so once PATH is not T's any more, whoever made PATH.T too late sees
so and withdraws. Whoever dies in between is followed in the same way. To release a lock is to follow oneself.
"""

import contextlib
import fcntl
import functools
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sifting.base.signals import held_back

# Seconds
BEAT = 30.0
REBOOTED = 3 * BEAT  # a machine of the same name in another boot: dead, unless two machines have the same name
SILENT = 10 * BEAT
POLL = 2.0


class Holder(NamedTuple):
    """Who has taken a lock.

    Attributes:
        host: its name; boot: which boot of which machine; pids: where the process number holds, as in a container.
        flock: whether its file is locked by flock as long as it lives.
    """

    host: str
    boot: str
    pids: str
    pid: int
    flock: bool
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.host else "a process that does not say which"


class Held(Exception):
    """Somebody holds the lock."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


class _Seen(NamedTuple):
    holder: Holder
    lives: bool


_NOBODY = _Seen(Holder("", "", "", 0, False, "free"), False)


def holder(path: Path) -> Holder | None:
    """Who holds the lock; None: nobody, or a process that is dead."""
    seen = _chain(path)[-1]
    return seen.holder if seen.lives else None


@contextlib.contextmanager
def locked(path: Path) -> Iterator["Lock"]:
    """Hold the lock `path`, whose folder is made, in the body.

    Raises:
        Held: by another process, or by this one.
        OSError: folder or file cannot be made.
    """
    with contextlib.ExitStack() as stack:
        with held_back():
            lock = _take(path)
            stack.callback(lock.release)
        yield lock


@contextlib.contextmanager
def waited_for(path: Path, report: Callable[[Holder], None]) -> Iterator["Lock"]:
    """The same, but wait while another process holds it; `report` is called with the first such holder."""
    with contextlib.ExitStack() as stack:
        lock = None
        while lock is None:
            try:
                lock = stack.enter_context(locked(path))
            except Held as held:
                report(held.holder)
                report = _silent
                time.sleep(POLL)
        yield lock


def _silent(holder: Holder) -> None:
    pass


class Lock:
    """A lock that this process holds.

    Args:
        path: of the lock.
        descriptor: of its file, open; token: in it.
    """

    def __init__(self, path: Path, descriptor: int, token: str) -> None:
        self._path, self._descriptor, self._token = path, descriptor, token
        self._released = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True, name=f"holds {path.name}")
        self._beats.start()

    def _beat(self) -> None:
        while not self._released.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)

    @property
    def lost(self) -> bool:
        """Whether another process has taken over, because nothing was heard of this one for too long."""
        seen = _chain(self._path)[-1]
        return seen is not _NOBODY and seen.holder.token != self._token

    def release(self) -> None:
        """The file goes, unless it is another's by now."""
        with held_back(), contextlib.suppress(OSError):  # what cannot be removed tells of a process that is dead
            self._released.set()
            self._beats.join()
            claim = _claim(self._path, self._token)
            with contextlib.suppress(FileExistsError):
                descriptor, token = _make(claim)  # from now on nobody can follow
                if [seen.holder.token for seen in _chain(self._path)] == [self._token, token]:
                    self._path.unlink()
                claim.unlink()
                os.close(descriptor)
            os.close(self._descriptor)


def _take(path: Path) -> Lock:
    while True:
        seen = _chain(path)[-1]
        if seen.lives:
            raise Held(seen.holder)
        claim = _claim(path, seen.holder.token)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor, token = _make(claim)
        except (FileExistsError, FileNotFoundError):  # another process was faster, or has removed the folder again
            continue
        taken = False
        try:
            # Ages are told once more, by the clock that the file system has for the claim.
            *before, last = _chain(path, os.fstat(descriptor).st_mtime)
            if last.holder.token == token:
                for seen in before:
                    if seen.lives:
                        raise Held(seen.holder)
                os.replace(claim, path)
                taken = True
                _clear(path, token)
                return Lock(path, descriptor, token)
        except FileNotFoundError:  # too late, and removed by whoever saw so
            pass
        finally:
            if not taken:
                claim.unlink(missing_ok=True)
                os.close(descriptor)


def _claim(path: Path, token: str) -> Path:
    """The file of whoever follows the holder with this token."""
    return path.with_name(f"{path.name}.{token}")


def _clear(path: Path, token: str) -> None:
    """Remove claims of the dead, and of whoever has yet to see that it is too late: all but those on `token`."""
    claim = re.compile(re.escape(path.name) + rf"\.(?!{token})({_NOBODY.holder.token}|[0-9a-f]+)")
    for name in filter(claim.fullmatch, os.listdir(path.parent)):
        path.with_name(name).unlink(missing_ok=True)


def _make(path: Path) -> tuple[int, str]:
    """A new file that says that this process made it: its descriptor and token. Raises FileExistsError; OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            flock = True
        except OSError:  # Lustre and NFS can be mounted without
            flock = False
        own = Holder(socket.gethostname(), _boot(), _pids(), os.getpid(), flock, secrets.token_hex(8))
        os.write(descriptor, (json.dumps(own._asdict()) + "\n").encode())
        os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return descriptor, own.token


def _chain(path: Path, now: float | None = None) -> list[_Seen]:
    """Who holds the lock, then who claims to follow him, and so on; the last one counts.

    Args:
        now: when, as the file system has it; None: by the clock of this machine.
    """
    chain = [_look(path, now) or _NOBODY]
    while following := _look(_claim(path, chain[-1].holder.token), now):
        chain.append(following)
    return chain


def _look(path: Path, now: float | None) -> _Seen | None:
    """Who made a file, and whether he lives; None: there is no file."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            try:
                found = Holder(**json.loads(file.read()))
            except (ValueError, TypeError):  # being written at this moment, or by an earlier version
                found = _NOBODY.holder._replace(token=str(status.st_ino))
            age = (time.time() if now is None else now) - status.st_mtime
            return _Seen(found, _lives(found, file.fileno(), age))
    except FileNotFoundError:
        return None


def _lives(found: Holder, descriptor: int, age: float) -> bool:
    if found.boot == _boot():
        if found.flock:
            with contextlib.suppress(OSError):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
                return False
        elif found.pids == _pids():
            return _exists(found.pid) and age < SILENT  # else the number is another process's by now
    elif found.host == socket.gethostname():
        return age < REBOOTED
    return age < SILENT


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


@functools.cache
def _boot() -> str:
    """What distinguishes this kernel from all others, other boots of this machine among them."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


@functools.cache
def _pids() -> str:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""
