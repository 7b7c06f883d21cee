"""Build sdist and wheel into dist/, and try both: `python tools/dist.py`, or `make dist`.

Each is installed into a fresh environment and used in an empty folder, so that nothing can come from the sources: the
wheel runs the quickstart there, the sdist must install the same files. Takes minutes: TensorFlow is installed, too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
FILES = """
from importlib.metadata import files
for file in files("sifting"):
    if ".dist-info" not in str(file) and "__pycache__" not in str(file):
        print(file)
"""


def main() -> None:
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    call(sys.executable, "-m", "build", "--outdir", dist, ROOT)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="sifting-dist-") as folder:
        bin, empty = Path(folder, "venv", "bin"), Path(folder, "empty")
        empty.mkdir()
        venv.create(bin.parent, with_pip=True)
        pip = (bin / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
        call(*pip, "install", wheel, cwd=empty)
        call(*pip, "check", cwd=empty)
        check_wheel(wheel)
        from_wheel = output_of(bin / "python", "-c", FILES, cwd=empty)
        quickstart(bin, empty)
        call(*pip, "uninstall", "--yes", "sifting", cwd=empty)
        call(*pip, "install", "--no-deps", sdist, cwd=empty)
        if output_of(bin / "python", "-c", FILES, cwd=empty) != from_wheel:
            raise SystemExit(f"{sdist.name} installs other files than {wheel.name}")
        call(bin / "sifting", "run", "inputs/quickstart.in", "--dry_run", cwd=empty)
    for file in (sdist, wheel):
        print(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1e6:.2f} MB")


def check_wheel(wheel: Path) -> None:
    """Every input file is in it."""
    names = set(ZipFile(wheel).namelist())
    missing = [file for file in ROOT.glob("inputs/**/*.in") if f"sifting/shipped/{file.relative_to(ROOT)}" not in names]
    if missing:
        raise SystemExit(f"{wheel.name}: without {', '.join(map(str, missing))}")


def quickstart(bin: Path, folder: Path) -> None:
    """Both runs, their figure, and a page, which needs templates."""
    call(bin / "sifting", "run", "inputs/quickstart.in", cwd=folder)
    call(bin / "python", "-m", "sifting.run", "inputs/quickstart_clone.in", cwd=folder)
    call(bin / "python", "-m", "postprocess.figures.quickstart", "runs/quickstart", "runs/quickstart_clone", cwd=folder)
    call(bin / "sifting", "summary", "runs/quickstart", cwd=folder)
    call(bin / "sifting", "report", "runs/quickstart", cwd=folder)
    call(bin / "sifting", "reproduce", "pb-1", "--scale", "small", "--dry_run", cwd=folder)
    print(*sorted(file.relative_to(folder) for file in folder.rglob("*") if file.suffix in (".png", ".html")))


def call(*command: str | Path, cwd: Path | None = None) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, cwd=cwd, env=environment(), check=True)


def output_of(*command: str | Path, cwd: Path) -> list[str]:
    found = subprocess.run(command, cwd=cwd, env=environment(), check=True, text=True, capture_output=True)
    return sorted(found.stdout.splitlines())


def environment() -> dict[str, str]:
    """Without what could lead back to the sources."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


if __name__ == "__main__":
    main()
