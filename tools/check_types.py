"""`mypy --strict` on sifting and postprocess, set up in pyproject.toml: `python tools/check_types.py`, in `make lint`.

Its verdict depends on the types that numpy and matplotlib ship. The annotations are written for those of today, which
need Python 3.11; on Python 3.10, where only older ones install, nothing is checked, and it says so.
"""

import re
import subprocess
import sys
from importlib.metadata import version

SINCE = {"numpy": (2, 4), "matplotlib": (3, 11)}


def main() -> int:
    for name, since in SINCE.items():
        found = version(name)
        if tuple(map(int, re.findall(r"\d+", found)[:2])) < since:
            print(f"mypy: left out, as it needs the types of {name} {'.'.join(map(str, since))}; here is {found}")
            return 0
    return subprocess.run([sys.executable, "-m", "mypy"]).returncode


if __name__ == "__main__":
    sys.exit(main())
