"""setup.cfg says it all, but that a built package also holds the input files, see sifting.base.input_files, and that
the README of a package index has no links into the checkout, which lead nowhere there."""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithInputs(build_py):
    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            return
        files = sorted(Path("inputs").rglob("*.in"))
        if not files:
            raise FileNotFoundError("inputs/ is missing: the package is built from a checkout or an sdist")
        for file in files:
            target = Path(self.build_lib, "sifting", "shipped", file)
            self.mkpath(str(target.parent))
            self.copy_file(str(file), str(target))


FILES = """The files that this page names are in the source distribution. The package alone has the commands and all of
`inputs/`: `sifting run inputs/quickstart.in`."""


def read_me() -> str:
    """README.md without pictures and the paragraphs below that speak of them, with the words alone of links to other
    files, and with a word about these."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\((?!https:)[^)]*\)\n+.*?\n\n", f"{FILES}\n\n", text, flags=re.DOTALL)
    return re.sub(r"\[([^]]*)\]\((?!https:)[^)]*\)", r"\1", text)


setup(long_description=read_me(), cmdclass={"build_py": BuildWithInputs})
