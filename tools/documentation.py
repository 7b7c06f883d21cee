"""Hooks of MkDocs: the pages of the site that no file in docs/ holds, and links that lead out of docs/.

index.md is README.md. Each public module of sifting and postprocess has a page; the modules of a package share one.
What README.md and docs/ link to elsewhere in the repository is not on the site: without a repo_url in mkdocs.yml such
a link becomes the file's name, with one a link to the file there.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sifting", "postprocess")
REFERENCE = "Python reference"
LOGGER = logging.getLogger("mkdocs.hooks.documentation")
_CELL_NAME = re.compile(r"(?<![\w`\[(/])docs/(\w+\.md)")  # as in the help of a key
_LINK = re.compile(r"(!?)\[([^]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def public_modules(package: str) -> dict[str, list[str]]:
    """Module or package, to the modules on its page: itself and, of a package, those in it."""
    pages: dict[str, list[str]] = {}
    for path in sorted((ROOT / package).rglob("*.py"), key=lambda path: (path.parent, path)):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] != "__main__":
            pages.setdefault(".".join(name.split(".")[:2]), []).append(name)
    return pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the reference to the navigation."""
    reference: list[Any] = [{name: [{page: _page_of(page)} for page in public_modules(name)]} for name in PACKAGES]
    assert config.nav is not None
    config.nav.append({REFERENCE: reference})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds index.md and the reference."""
    files.append(File.generated(config, "index.md", content=_index()))
    for package in PACKAGES:
        for name, modules in public_modules(package).items():
            files.append(File.generated(config, _page_of(name), content=_reference(modules)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links out of docs/, and pages named in tables. Warns of links to files that are not there."""

    def follow(link: re.Match[str]) -> str:
        picture, text, target, _ = link.groups()
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), target))
        if picture or path.startswith("docs/"):
            return link[0]
        if not (ROOT / path).exists():
            LOGGER.warning("%s: %s: no such file in the repository", page.file.src_uri, target)
        if path == "README.md":
            return f"[{text}]({posixpath.relpath('index.md', posixpath.dirname(page.file.src_uri) or '.')})"
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"

    lines = (_CELL_NAME.sub(r"[docs/\1](\1)", line) if line[:1] == "|" else line for line in markdown.split("\n"))
    return _LINK.sub(follow, "\n".join(lines))


def _page_of(module: str) -> str:
    return f"reference/{module}.md"


def _reference(modules: list[str]) -> str:
    """One heading a module; what is in it follows from its docstrings."""
    sections = [f"# {modules[0]}\n\n::: {modules[0]}"]
    sections += [f"## {name}\n\n::: {name}\n    options:\n      heading_level: 3" for name in modules[1:]]
    return "\n\n".join(sections) + "\n"


def _index() -> str:
    """README.md with links as they are seen from docs/."""

    def move(link: re.Match[str]) -> str:
        picture, text, target, anchor = link.groups()
        shown = text.removeprefix("docs/") if text == target else text
        return f"{picture}[{shown}]({posixpath.relpath(target, 'docs')}{anchor or ''})"

    return "---\nhide: [navigation]\n---\n\n" + _LINK.sub(move, (ROOT / "README.md").read_text(encoding="utf-8"))
