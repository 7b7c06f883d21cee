"""setup.cfg says it all, but that a built package also holds the input files, see sifting.base.input_files."""

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


setup(cmdclass={"build_py": BuildWithInputs})
