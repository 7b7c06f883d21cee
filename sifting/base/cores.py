"""How many cores and threads a process may use."""

import contextlib
import os


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that it may use: no more than OMP_NUM_THREADS says, the customary name for that."""
    with contextlib.suppress(ValueError):
        return max(1, min(cores(), int(os.environ.get("OMP_NUM_THREADS", ""))))
    return cores()
