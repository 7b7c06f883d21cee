"""What a built package and an image rely on; `make dist` and `make image` build and use them."""

import configparser
import fnmatch
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement

import sifting.__main__
import sifting.run
from sifting.__main__ import COMMANDS
from sifting.base import input_files
from sifting.errors import InputError
from sifting.inputs import read_experiment

ROOT = Path(__file__).parents[1]


@pytest.fixture
def setup():
    parser = configparser.ConfigParser(inline_comment_prefixes=("#",))
    parser.read(ROOT / "setup.cfg")
    return parser


def bounds(lines: str) -> dict[str, str]:
    """Package to lowest version of requirements, one a line."""
    found = (re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)(,.*)?", line) for line in lines.split())
    return {match[1]: match[2] for match in found if match}


def test_the_oldest_versions_are_those_of_setup_cfg(setup):
    lines = [line for line in (ROOT / "tests/oldest.txt").read_text().splitlines() if not line.startswith("#")]
    oldest = dict(line.split("==") for line in lines)
    lower = bounds(setup["options"]["install_requires"])
    assert len(lower) == len(setup["options"]["install_requires"].split()), "a requirement without a lower bound"
    tested = lower | {
        name: version
        for name, version in bounds(setup["options.extras_require"]["test"]).items()
        if name not in ("build", "mypy", "ruff")  # not used by the tests
    }
    assert oldest.keys() - {"pyarrow", "pyparsing"} == tested.keys()
    for name, version in tested.items():
        assert oldest[name] == version or oldest[name].startswith(f"{version}."), name


def test_the_command_is_there(setup):
    """With every module that a user runs."""
    assert setup["options.entry_points"]["console_scripts"].strip() == "sifting = sifting.__main__:main"
    named = re.findall(r"python -m ((?:sifting|postprocess)\.\w+)", (ROOT / "README.md").read_text())
    assert set(named) <= {module for module, _ in COMMANDS.values()}
    assert all(importlib.util.find_spec(module) for module, _ in COMMANDS.values())


def sifting_command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sifting", *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


def test_commands_under_one_name():
    """Listed without a command; with one, what its module says, and its exit code."""
    listed = sifting_command()
    assert listed.returncode == 0 and all(f"  {name} " in listed.stdout for name in COMMANDS)
    refused = sifting_command("summary", "nothing_here")
    assert refused.returncode == 2 and refused.stderr.startswith("sifting: nothing_here") and not refused.stdout
    unknown = sifting_command("sumary")
    assert unknown.returncode == 2 and "'sumary'" in unknown.stderr and "'summary'" in unknown.stderr


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_help_fits_a_screen(name, monkeypatch, capsys):
    """23 lines of 80 columns above the next prompt; without a name, the list of commands."""
    if name is None:
        monkeypatch.setattr(sys, "argv", ["sifting"])
        sifting.__main__.main()
    elif name == "run":  # whose main is absl's
        sifting.run.parser().print_help()
    else:
        module = importlib.import_module(COMMANDS[name][0])
        if not hasattr(module, "main"):
            module = importlib.import_module(f"{module.__name__}.__main__")
        with pytest.raises(SystemExit, match="^0$"):
            module.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert 4 < len(lines) < 24 and max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sifting re", {"reproduce", "report"}),
        ("sifting reproduce pb-2", {"pb-2", "pb-20", "pb-21", "pb-22"}),
        ("sifting run inputs/quickstart.in --dr", {"--dry_run"}),
    ],
)
def test_a_shell_completes(line, words):
    """By argcomplete's protocol: words to file descriptor 8. Nothing is run: `sifting run` would train."""
    command = "exec 8>&1 >/dev/null; COMP_LINE=$0 COMP_POINT=${#0} _ARGCOMPLETE=1 _ARGCOMPLETE_IFS=' ' $1 -m sifting"
    shell = ["bash", "-c", command, line, sys.executable]
    found = subprocess.run(shell, capture_output=True, text=True, timeout=120).stdout
    assert set(found.split()) == words


def test_the_read_me_of_an_index_links_to_the_web_only(monkeypatch):
    """Other links would lead nowhere; their words stay. Nothing speaks of a picture that is not there."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **given: built.update(given))
    built: dict[str, str] = {}
    runpy.run_path(str(ROOT / "setup.py"))
    text = built["long_description"]
    assert re.findall(r"\]\((?!https://)", text) == [] and "](https://" in text and "docs/postprocess.md" in text
    assert "![" not in text and "Each square is" not in text and text.count("source distribution") == 1


def test_versions_agree():
    assert f"\nversion: {sifting.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert sifting.__version__ in (ROOT / "CHANGELOG.md").read_text()


def test_a_file_that_is_there_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "inputs/quickstart.in"
    assert input_files.is_missing(name) and input_files.find(name) == ROOT / name
    shipped = read_experiment([name])
    assert shipped == read_experiment([str(ROOT / name)])
    (tmp_path / "inputs").mkdir()
    (tmp_path / name).write_text("[Network]\narch = f3:x\n[IMP]\n")
    assert not input_files.is_missing(name)
    assert read_experiment([name]) != shipped


@pytest.mark.parametrize(
    "path", ["quickstart.in", "inputs", "inputs/nosuch.in", "inputs/../setup.cfg", "/inputs/small.in"]
)
def test_other_paths_are_as_they_are(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not input_files.is_missing(path) and input_files.find(path) == Path(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_experiment([path])


def test_the_command_says_which_file_it_takes(tmp_path):
    """A clone in the current folder is not taken for the package: it is called sifting, too, without __init__.py."""
    (tmp_path / "sifting").mkdir()
    command = [sys.executable, "-m", "sifting.run", "inputs/imp_3l1k.in", "inputs/small.in", "--dry_run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"sifting: no {name} here; taking the one that comes with sifting"
        for name in ("inputs/imp_3l1k.in", "inputs/small.in")
    ]
    assert "arch = f" in done.stdout


# --- the image


def pins(variant: str) -> dict[str, list[Requirement]]:
    """By name; some packages have a pin for each range of Python versions."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / f"docker/requirements-{variant}.txt").read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            found.setdefault(requirement.name, []).append(requirement)
    return found


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_pins_satisfy_what_the_package_requires(variant, setup):
    pinned = pins(variant)
    for required in map(Requirement, setup["options"]["install_requires"].split("\n")[1:]):
        for pin in pinned[required.name]:
            (version,) = pin.specifier
            assert version.operator == "==" and required.specifier.contains(version.version), required.name


def test_the_variants_differ_by_cuda_alone():
    cpu, gpu = pins("cpu"), pins("gpu")
    assert cpu.items() <= gpu.items()
    assert all(name.startswith("nvidia-") for name in gpu.keys() - cpu.keys())
    assert {"nvidia-cudnn-cu12", "nvidia-cuda-nvcc-cu12"} <= gpu.keys()


def test_all_that_is_copied_reaches_the_builder():
    """.dockerignore shuts out everything but what it names."""
    first, *lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert first == "*"
    admitted = [line[1:] for line in lines if line.startswith("!")]
    dockerfile = (ROOT / "docker/Dockerfile").read_text().replace("${VARIANT}", "gpu")
    sources = [source for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for source in line.split()]
    assert len(sources) >= len(admitted)
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source, pattern) for pattern in admitted), source
