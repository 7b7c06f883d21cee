"""What this machine has free."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

# Of control groups: limit, use, and what cached files have of it; in version 2, and for memory in version 1.
GROUPS = {
    "": ("", "memory.max", "memory.current", r"^(?:in)?active_file (\d+)$"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", r"^total_(?:in)?active_file (\d+)$"),
}


def available_memory(root: Path = Path("/")) -> float:
    """Bytes of main memory that can still be used, cached files counted as free; infinite where unknown.

    The machine may have more than the control group of this process, such as a container or a job, may take.
    """
    left = [float("inf")]
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable: +(\d+) kB", (root / "proc/meminfo").read_text())
        left += [1024 * int(found[1])] if found else []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            for controller in {*controllers.split(",")} & {*GROUPS}:
                left += _left_in_groups(root / "sys/fs/cgroup", group.lstrip("/"), *GROUPS[controller])
    return min(left)


def _left_in_groups(root: Path, group: str, controller: str, limit: str, use: str, cached: str) -> Iterator[float]:
    """Of this group and those that it is in, as far as a container shows them; its own one is the topmost there."""
    for name in (group, *map(str, Path(group).parents)):
        with contextlib.suppress(OSError, ValueError):  # no such file, no limit
            folder = root / controller / name
            files = re.findall(cached, (folder / "memory.stat").read_text(), re.MULTILINE)
            yield int((folder / limit).read_text()) - int((folder / use).read_text()) + sum(map(int, files))


def available_disk(folder: Path) -> float:
    """Bytes that can be written into a folder, which need not be there yet; infinite where unknown."""
    there = next((path for path in (folder, *folder.absolute().parents) if os.path.exists(path)), folder)
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return float("inf")
