"""README.md and docs/ agree with the files and the code; `make docs` checks the rest, such as anchors."""

import re
from pathlib import Path

import pytest

from postprocess.claims import CLAIMS
from postprocess.figures import FIGURES, figure_module
from sifting.methods import METHODS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`]*`|^    .*$", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", without_code(page.read_text(encoding="utf-8"))):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_modules_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.<>$-])((?:inputs|docs|tools|docker|examples)/[\w./-]+\.\w+)", text):
        assert (ROOT / path).exists() or path == "docs/X.md", path
    for module in re.findall(r"python -m ((?:sifting|postprocess)[\w.]*)", text):
        path = ROOT / module.rstrip(".").replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_site_has_every_page():
    nav = re.findall(r"[\w.]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2])
    assert sorted(nav) == sorted(["index.md", *(page.name for page in (ROOT / "docs").glob("*.md"))])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tables_have_a_head(page):
    """Without the line below it, or after a blank line, rows of a table are text full of bars."""
    lines = ["", *without_code(page.read_text(encoding="utf-8")).splitlines(), ""]
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        if line.startswith("| ") and not before.startswith("|"):
            assert re.fullmatch(r"[|: -]+", after), line


def test_the_experiments_are_those_of_the_figures():
    """Figure, seeds and input files of each row are what `reproduce` runs; the text below the tables has the others."""
    text = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    listed = {}
    for prefix, part in zip(
        ("pb", "redman"), re.split("## .* et al|## Beyond", text.partition("## Pell")[2]), strict=False
    ):
        for figures, seeds, files in re.findall(r"^\| ([\d, ]+) \| (\d) \| ([^|]+) \|", part, re.MULTILINE):
            for number in figures.split(", "):
                listed[f"{prefix}-{number}"] = int(seeds), sorted(re.findall(r"`([^`]+)`", files))
    modules = {figure: figure_module(figure) for figure in FIGURES}
    needed = {
        figure: (getattr(module, "SEEDS", 1), sorted(path.removeprefix("inputs/") for path in module.ROLES.values()))
        for figure, module in modules.items()
    }
    assert listed == {figure: runs for figure, runs in needed.items() if figure not in ("pb-9", "table-1", "movies")}


def test_the_readme_has_every_method_and_figure():
    for method in METHODS:
        assert f"`[{method}]`" in README
    ranges = README.replace("`pb-9` to `pb-12`", "`pb-9`, `pb-10`, `pb-11`, `pb-12`")
    for figure in FIGURES:
        assert f"`{figure}`" in ranges


def test_the_numbers_of_the_speed_are_those_of_the_benchmarks():
    rows = [line for line in (ROOT / "docs" / "performance.md").read_text().splitlines() if re.match(r"\|.*\d", line)]
    measured = (ROOT / "benchmarks" / "README.md").read_text()
    assert len([row for row in rows if row in measured]) == 23
    assert all(row in measured or row.startswith("| `[") for row in rows)


def test_the_claims_that_are_named_exist():
    for page in PAGES:
        for claim in re.findall(r"postprocess\.claims ((?:pb|redman)-[\w-]+)", page.read_text(encoding="utf-8")):
            assert claim in CLAIMS
