"""Rooms import from rooms below them only: the order of docs/design.md, and no circle."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LISTED = re.findall(
    r"^      (\S+?)(?:/|\.py)[ ,]", (ROOT / "docs/design.md").read_text().partition("postprocess/")[0], re.M
)


def imports(path):
    """Dotted names of what a module imports from the project, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{entry.name}" for entry in node.names)
        elif isinstance(node, ast.Import):
            yield from (entry.name for entry in node.names)


def rooms_under(package):
    """(room that imports, room that is imported) of all imports within a package."""
    for path in (ROOT / package).rglob("*.py"):
        own = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1:
                yield own, parts[1]


def test_rooms_of_sifting_import_from_those_listed_before_them():
    rooms = {
        path.relative_to(ROOT / "sifting").parts[0].removesuffix(".py") for path in (ROOT / "sifting").rglob("*.py")
    }
    assert {*LISTED, "export", "__init__"} == rooms  # run.py and export.py share a line
    place = {room: number for number, room in enumerate(LISTED)} | {"export": len(LISTED), "__init__": len(LISTED) + 1}
    wrong = {
        (own, other)
        for own, other in rooms_under("sifting")
        if other in place and own != other and place[own] <= place[other]
    }
    assert not wrong


def test_sifting_does_not_import_postprocess():
    users = {
        path.name
        for path in (ROOT / "sifting").rglob("*.py")
        if any(name.startswith("postprocess") for name in imports(path))
    }
    assert users == {"run.py", "sweep.py", "api.py"}  # for their closing tables, and Run.plot


def test_no_modules_import_each_other_in_a_circle():
    """Not even within a room, or in functions that run later."""
    paths = [path for package in ("sifting", "postprocess") for path in (ROOT / package).rglob("*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    imported = {
        name: {module for one in imports(path) for module in (one, one.rpartition(".")[0]) if module in modules}
        for name, path in modules.items()
    }
    assert imported["sifting.training.api"] > {"postprocess.summary", "sifting.training.plan"}
    TopologicalSorter(imported).prepare()  # which raises a CycleError that names them
