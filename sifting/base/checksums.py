"""Checksums: whether a file still is what was written."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sifting.base.cores import threads

BLOCK = 2**24  # bytes, each hashed by a thread: a data set of 4 GB takes a second on a few cores


def of_bytes(content: bytes) -> str:
    """Of what a file will hold: 32 hexadecimal digits."""
    view = memoryview(content)
    return _combined(lambda start: view[start : start + BLOCK], len(content))


def of_file(path: Path) -> str:
    """The same of what a file holds. Raises OSError."""
    with open(path, "rb") as file:
        descriptor = file.fileno()
        return _combined(lambda start: os.pread(descriptor, BLOCK, start), os.fstat(descriptor).st_size)


def _combined(read: Callable[[int], bytes | memoryview], size: int) -> str:
    """BLAKE2b of those of the blocks, 32 hexadecimal digits.

    Args:
        read: gives the block from there on.
    """
    with ThreadPoolExecutor(min(8, threads())) as pool:
        digests = pool.map(lambda start: hashlib.blake2b(read(start), digest_size=16).digest(), range(0, size, BLOCK))
        return hashlib.blake2b(b"".join(digests), digest_size=16).hexdigest()
