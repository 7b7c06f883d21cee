"""What this machine has free."""

import os
import re
import shutil
from pathlib import Path


def available_memory() -> float:
    """Bytes of main memory that can still be used, cached files counted as free; infinite where unknown."""
    try:
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    return 1024 * int(found[1]) if found else float("inf")


def available_disk(folder: Path) -> float:
    """Bytes that can be written into a folder, which need not be there yet; infinite where unknown."""
    there = next((path for path in (folder, *folder.absolute().parents) if os.path.exists(path)), folder)
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return float("inf")
