"""The examples of the documentation run.

Of a page, the fenced blocks that follow a line `<!-- test -->` are run in their order: python in one namespace, sh in a
shell, both in one empty folder. A page needs no more than such a line to be tested.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
MARK = "<!-- test -->"
_BLOCK = re.compile(rf"^{MARK}\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    language: str
    line: int  # of the page, where the code begins, from 0
    code: str


def examples(text: str) -> list[Example]:
    return [Example(found[1], text.count("\n", 0, found.start(2)), found[2]) for found in _BLOCK.finditer(text)]


PAGES = {
    str(page.relative_to(ROOT)): found
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if (found := examples(page.read_text()))
}


def run_page(page: str, found: list[Example]) -> None:
    names: dict = {"__name__": "__main__"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for language, line, code in found:
        if language == "python":
            exec(compile("\n" * line + code, page, "exec"), names)  # tracebacks name the line of the page
        else:
            environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
            process = subprocess.run(["bash", "-euc", code], env=environment, capture_output=True, text=True)
            assert process.returncode == 0, f"{page}:{line + 1}: {process.stderr}"


# Keras copies variables in a way of which numpy 2 warns.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
@pytest.mark.heavy
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=() if page == "docs/your_model.md" else pytest.mark.slow) for page in PAGES]
)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(page, PAGES[page])


def test_no_mark_is_overlooked():
    """Every mark stands right before a block of a known language."""
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text, found = page.read_text(), PAGES.get(str(page.relative_to(ROOT)), [])
        assert text.count(MARK) == len(found) and {example.language for example in found} <= {"python", "sh"}, page
    assert "docs/interoperability.md" in PAGES
