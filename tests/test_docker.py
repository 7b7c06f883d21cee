"""What the image is made from: pinned versions that satisfy setup.cfg, and files that reach the builder."""

import configparser
import fnmatch
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def pins(variant: str) -> dict[str, list[Requirement]]:
    """By name; some packages have a pin for each range of Python versions."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / f"docker/requirements-{variant}.txt").read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            found.setdefault(requirement.name, []).append(requirement)
    return found


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_pins_satisfy_what_the_package_requires(variant):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pinned = pins(variant)
    for required in map(Requirement, config["options"]["install_requires"].split("\n")[1:]):
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
