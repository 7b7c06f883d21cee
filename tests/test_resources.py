"""Long work takes no more memory, threads or files with every round; what one more run of a process takes is known.

In a process of its own, whose memory no other test has touched. And: how much memory is free.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sifting.base.resources import available_memory

ROUNDS, RUNS = 40, 3
SCRIPT = f"""
import gc, json, os, sys
from pathlib import Path
from sifting.training.observers import Observer
from tiny_runs import run, TRAINERS, Watched

gc.freeze()  # what is there stays; looking through it takes as long as a round

def taken():
    TRAINERS.clear()  # none is used again
    gc.collect()  # what is in circles
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads, files = (len(os.listdir(f"/proc/self/{{kind}}")) for kind in ("task", "fd"))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, threads, files

class Weighed(Watched):
    def end(self, result, seconds):
        self.begins.clear(), self.idle.clear(), self.trained.clear()
        found["rounds"].append(taken())

found = {{"rounds": [], "runs": []}}
folder = Path(sys.argv[1])
changes = "IMP.prune_ratio=0.02", "IMP.max_iterations={ROUNDS}", "Network.steps=4", "Network.validate_step=2"
run(folder / "long", *changes, kind=Weighed)
for seed in range({RUNS}):
    run(folder / f"run_{{seed}}", f"Network.seed={{seed}}", kind=Watched)
    found["runs"].append(taken())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """Megabytes, threads and open files after each round of a run, and after each of several runs of one process."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc")
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("resources"))]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.heavy
def test_a_round_leaves_nothing_behind(taken):
    """The first rounds fill caches; later ones take less than 0.1 MB each (an array of all weights would be seen)."""
    memory, threads, files = map(list, zip(*taken["rounds"], strict=True))
    assert len(memory) == ROUNDS
    assert (memory[-1] - memory[ROUNDS // 3]) / (ROUNDS - ROUNDS // 3) < 0.1
    assert threads[-1] == threads[ROUNDS // 3] and files[-1] == files[ROUNDS // 3]


@pytest.mark.heavy
def test_a_run_leaves_what_tensorflow_keeps_of_a_traced_function(taken):
    """No thread and no file; about 7 MB, since TensorFlow never forgets a gradient of our own (docs/cluster.md)."""
    memory, threads, files = map(list, zip(*taken["runs"], strict=True))
    assert threads[-1] == threads[1] and files[-1] == files[1]
    assert (memory[-1] - memory[0]) / (RUNS - 1) < 12


MACHINE = {"proc/meminfo": "MemTotal:       8000 kB\nMemFree:         100 kB\nMemAvailable:   5000 kB\n"}
STAT = "anon 1500\nactive_file 20\ninactive_file 300\n"
GROUP = {"memory.max": "2000\n", "memory.current": "1500\n", "memory.stat": STAT}
OLD = {
    "memory.limit_in_bytes": "2000\n",
    "memory.usage_in_bytes": "1500\n",
    "memory.stat": STAT + "total_active_file 1\ntotal_inactive_file 2\n",
}


def in_group(version, where, files):
    """Of a process in `version` of the control groups: a machine where the group at `where` has these files."""
    return MACHINE | {"proc/self/cgroup": version} | {f"sys/fs/cgroup/{where}{name}": files[name] for name in files}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, float("inf")),
        (MACHINE, 5000 * 1024),
        (in_group("0::/\n", "", GROUP), 2000 - 1500 + 320),  # as a container sees its own group
        (in_group("0::/not/seen\n", "", GROUP), 820),
        (in_group("0::/job/step/task\n", "job/", GROUP), 820),  # what holds the group is limited
        (in_group("0::/job\n", "job/", GROUP | {"memory.max": "max\n"}), 5000 * 1024),
        (in_group("9:name=systemd:/\n4:cpu,memory:/job\n0::/\n", "memory/job/", OLD), 503),
        (in_group("4:memory:/job\n", "memory/", OLD | {"memory.limit_in_bytes": f"{2**63 - 4096}\n"}), 5000 * 1024),
    ],
)
def test_free_memory_is_what_machine_and_control_groups_leave(tmp_path, files, free):
    """Cached files count as free, and what is not known as unlimited."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_memory(tmp_path) == free
