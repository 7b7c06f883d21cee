"""--devices: each way of having no GPU is named, with its remedy. TensorFlow and machines are made up here."""

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from absl.testing import flagsaver

from sifting import devices, run
from sifting.devices import Cuda, Gpu, Machine, TensorFlow

CUDA_BUILD = {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"}
NODE = "/dev/nvidia0"
# A machine with one GPU at work; the tests break one link each.
MACHINE = Machine(driver="550.54.15", nodes=(NODE,), card=True, usable_cores=4, cores=8)
DRIVER = Cuda(found=True, version=12040, memory=(80 * 2**30,))
TENSORFLOW = TensorFlow(
    version="2.21.0", keras="3.15.1", build=CUDA_BUILD, gpus=(Gpu("NVIDIA A100-SXM4-80GB", "8.0"),), cuda=DRIVER
)
BLIND = replace(TENSORFLOW, gpus=(), cuda=Cuda())
LIBRARIES = ("libcudart.so.12", "libcudnn.so.9")


def text(machine: Machine, tensorflow: TensorFlow) -> dict[str, list[str]]:
    """The report, by the names of its lines."""
    lines: dict[str, list[str]] = {}
    for line in devices.report(machine, tensorflow).splitlines():
        lines.setdefault(line[:12].strip(), []).append(line[12:])
    return lines


def test_a_machine_with_a_gpu():
    lines = text(MACHINE, TENSORFLOW)
    assert lines["TensorFlow"] == ["2.21.0, Keras 3.15.1, built with CUDA 12.5.1 and cuDNN 9"]
    assert lines["CPU"] == ["4 of 8 cores usable; TensorFlow computes with a thread a core"]
    assert lines["driver"] == ["NVIDIA 550.54.15, supports CUDA up to 12.4"]
    assert lines["GPU"] == ["0: NVIDIA A100-SXM4-80GB, compute capability 8.0, 80.0 GiB"]
    assert "why" not in lines and "visible" not in lines and "container" not in lines


def test_gpus_are_numbered_as_tensorflow_does():
    two = replace(TENSORFLOW, gpus=(Gpu("NVIDIA A", "8.0"), Gpu("NVIDIA B")), threads=3)
    lines = text(replace(MACHINE, visible_devices="3,1"), two)
    assert lines["GPU"] == ["0: NVIDIA A, compute capability 8.0", "1: NVIDIA B"]  # memory of one only: of which?
    assert lines["visible"] == ["CUDA_VISIBLE_DEVICES=3,1"]
    assert lines["CPU"] == ["4 of 8 cores usable; TensorFlow computes with 3 threads"]


NO_CARD = Machine()
HIDDEN = replace(BLIND, cuda=Cuda(True, 100, "no CUDA-capable device is detected", 12040))

REASONS = {
    "nothing": (NO_CARD, BLIND, "no NVIDIA card and no driver on this machine", "ask the scheduler"),
    "no driver": (replace(NO_CARD, card=True), BLIND, "its driver is not loaded", "install the driver"),
    "no node": (replace(MACHINE, nodes=()), BLIND, "there is no /dev/nvidia0", "nvidia-modprobe"),
    "forbidden": (replace(MACHINE, closed=(NODE,)), BLIND, "/dev/nvidia0 may not be opened", "sbatch --gpus=1"),
    "no libcuda": (MACHINE, BLIND, "libcuda.so.1, the driver's library, is not found", "libcuda1"),
    "docker": (replace(MACHINE, nodes=(), container="Docker"), BLIND, "was not given the GPU", "docker run --gpus all"),
    "podman": (replace(MACHINE, nodes=(), container="Podman"), BLIND, "was not given the GPU", "nvidia.com/gpu=all"),
    "pod": (replace(MACHINE, nodes=(), container="Kubernetes"), BLIND, "was not given the GPU", "resources.limits"),
    # Apptainer shows the devices of the host, but not the driver's library.
    "apptainer": (replace(MACHINE, container="Apptainer"), BLIND, "libcuda.so.1", "start it with --nv"),
    "host": (replace(NO_CARD, container="Docker"), BLIND, "no NVIDIA driver on the host", "install it there; then"),
    "empty": (replace(MACHINE, visible_devices=""), HIDDEN, "CUDA_VISIBLE_DEVICES is ''", "unset CUDA_VISIBLE_DEVICES"),
    "-1": (replace(MACHINE, visible_devices="-1"), HIDDEN, "CUDA_VISIBLE_DEVICES is '-1', which hides", "unset"),
    "other": (
        replace(MACHINE, visible_devices="7"),
        HIDDEN,
        "'7', which names no GPU of this machine",
        "nvidia-smi -L",
    ),
    "mismatch": (MACHINE, replace(BLIND, cuda=Cuda(True, 803, "mismatch", 12040)), "mismatch (803)", "reboot"),
    "unheard of": (MACHINE, replace(BLIND, cuda=Cuda(True, 46, "odd", 12040)), "the driver fails: odd (46)", "dmesg"),
    "no device": (MACHINE, HIDDEN, "no CUDA-capable device is detected (100)", "nvidia-smi"),
    "old driver": (
        MACHINE,
        replace(BLIND, cuda=Cuda(True, version=11080)),
        "supports CUDA up to 11.8, and TensorFlow needs 12",
        "525 or newer",
    ),
    "CPU build": (
        MACHINE,
        replace(BLIND, build={"is_cuda_build": False}, cuda=DRIVER),
        "built without CUDA",
        'pip uninstall tensorflow-cpu; pip install --force-reinstall "tensorflow[and-cuda]"',
    ),
    "no libraries": (
        MACHINE,
        replace(BLIND, missing=LIBRARIES, cuda=DRIVER),
        "CUDA libraries are missing: libcudart.so.12, libcudnn.so.9",
        'pip install "tensorflow[and-cuda]"',
    ),
    "no libraries in the image": (
        replace(MACHINE, container="Docker"),
        replace(BLIND, missing=LIBRARIES, cuda=DRIVER),
        "CUDA libraries are missing",
        "use an image that was built with CUDA",
    ),
    "not on this system": (Machine(system="Darwin"), BLIND, "no CUDA on Darwin", "use Linux"),
    "no AVX": (MACHINE, TensorFlow(failure="ended by SIGILL"), "does not run on this processor", "AVX"),
    "broken": (
        MACHINE,
        TensorFlow(failure="ImportError: no"),
        "TensorFlow does not start",
        "make the environment anew",
    ),
    "unknown": (MACHINE, replace(BLIND, cuda=DRIVER), "not known", "nvidia-smi"),
}


@pytest.mark.parametrize(("machine", "tensorflow", "reason", "remedy"), REASONS.values(), ids=REASONS)
def test_reasons(machine, tensorflow, reason, remedy):
    """One link is broken, so there is one reason, with one remedy."""
    lines = text(machine, tensorflow)
    assert len(lines["why"]) == len(lines["remedy"]) == 1
    assert reason in lines["why"][0] and remedy in lines["remedy"][0]
    assert lines["GPU"][0].startswith("none")


def test_several_reasons_come_with_their_remedies():
    """Whoever solves the first one should know of the next; what TensorFlow itself says is shown last."""
    tensorflow = replace(BLIND, missing=LIBRARIES, said=("Could not find cuda drivers",))
    report = devices.report(replace(NO_CARD, visible_devices="", card=True), tensorflow).splitlines()[-7:]
    assert [line[:11].strip() for line in report] == [*["why", "remedy"] * 3, "TF says"]
    assert [word in line for word, line in zip(("driver", "hides", "libraries"), report[::2], strict=False)] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("build", "words"),
    [(CUDA_BUILD, "with CUDA 12.5.1 and cuDNN 9"), ({"is_rocm_build": True}, "with ROCm"), ({}, "without CUDA")],
)
def test_builds(build, words):
    assert text(MACHINE, replace(BLIND, build=build))["TensorFlow"] == [f"2.21.0, Keras 3.15.1, built {words}"]


# --- the machine ---------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The files of an empty machine without nvidia-smi."""
    for folder in ("dev", "proc/driver/nvidia", "sys/bus/pci/devices", "run"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.setattr(devices.platform, "system", lambda: "Linux")
    return tmp_path


def card(root: Path, vendor: str, kind: str, address: str) -> None:
    folder = root / "sys/bus/pci/devices" / address
    folder.mkdir()
    (folder / "vendor").write_text(vendor + "\n")
    (folder / "class").write_text(kind + "\n")


def test_an_empty_machine(root):
    machine = devices.inspect_machine(root, {})
    assert machine == Machine(usable_cores=machine.usable_cores, cores=machine.cores)
    assert 1 <= machine.usable_cores <= machine.cores


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)",
    ],
)
def test_driver_of_the_kernel(root, line):
    (root / "proc/driver/nvidia/version").write_text(line + "\nGCC version:  gcc version 12.2.0\n")
    assert devices.inspect_machine(root, {}).driver == "550.54.15"


@pytest.mark.parametrize(("code", "driver"), [(0, "551.23"), (9, None)])
def test_driver_of_nvidia_smi(root, monkeypatch, code, driver):
    """WSL has no NVIDIA driver in its kernel, and another node."""
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        devices.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, "551.23\n551.23\n")
    )
    (root / "dev/dxg").touch()
    machine = devices.inspect_machine(root, {})
    assert machine.driver == driver and machine.nodes == (str(root / "dev/dxg"),)


def test_nodes(root, monkeypatch):
    """Those of GPUs alone, and which of them the system refuses to open."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (root / "dev" / name).touch()

    def opened(path, mode):
        if Path(path).name == "nvidia1":
            raise PermissionError
        return real(path, mode)

    real = devices.os.open
    monkeypatch.setattr(devices.os, "open", opened)
    machine = devices.inspect_machine(root, {})
    assert machine.nodes == (str(root / "dev/nvidia0"), str(root / "dev/nvidia1"))
    assert machine.closed == machine.nodes[1:]


def test_cards(root):
    card(root, "0x8086", "0x030000", "0000:00:02.0")  # another maker's
    card(root, "0x10de", "0x040300", "0000:01:00.1")  # the sound device of an NVIDIA card
    assert not devices.inspect_machine(root, {}).card
    card(root, "0x10de", "0x030200", "0000:01:00.0")
    assert devices.inspect_machine(root, {}).card


@pytest.mark.parametrize(
    ("file", "environment", "container"),
    [
        (".dockerenv", {}, "Docker"),
        ("run/.containerenv", {}, "Podman"),
        (".dockerenv", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes"),
        ("other", {"APPTAINER_CONTAINER": "/sifting.sif"}, "Apptainer"),
        ("other", {"SINGULARITY_CONTAINER": "/sifting.sif"}, "Apptainer"),
        ("other", {}, None),
    ],
)
def test_containers(root, file, environment, container):
    (root / file).touch()
    assert devices.inspect_machine(root, environment).container == container


def test_visible_devices(root):
    assert devices.inspect_machine(root, {"CUDA_VISIBLE_DEVICES": ""}).visible_devices == ""


# --- TensorFlow and the driver -------------------------------------------------------------------------------------

LOG = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795326822.350052   20689 cudart_stub.cc:31] Could not find cuda drivers on your machine.
I0000 00:00:1795326822.648145   20689 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
I0000 00:00:1795326825.995851   20689 cudart_stub.cc:31] Could not find cuda drivers on your machine.
E0000 00:00:1795326828.189733   20689 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: (303)
2024-05-01 10:00:00.123456: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2256] Cannot dlopen some GPU libraries.
"""
FACTS = {
    "version": "2.21.0",
    "keras": "3.15.1",
    "build": CUDA_BUILD,
    "gpus": [{"name": "NVIDIA A100-SXM4-80GB", "capability": "8.0"}],
    "threads": 0,
    "missing": [],
    "cuda": vars(DRIVER),
}


def answering(monkeypatch, code, stdout, stderr):
    monkeypatch.setattr(
        devices.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, stdout, stderr)
    )
    return devices.ask_tensorflow()


def test_what_tensorflow_answers(monkeypatch):
    answer = answering(monkeypatch, 0, "a stray line\n" + json.dumps(FACTS) + "\n", "")
    assert answer == TENSORFLOW


def test_telling_lines_are_kept_once_without_their_prefix(monkeypatch):
    assert answering(monkeypatch, 0, json.dumps(FACTS), LOG).said == (
        "Could not find cuda drivers on your machine.",
        "failed call to cuInit: INTERNAL: CUDA error: (303)",
        "Cannot dlopen some GPU libraries.",
    )


@pytest.mark.parametrize(
    ("code", "stderr", "failure"),
    [
        (1, "Traceback (most recent call last):\n  File\nImportError: libstdc++.so.6\n", "ImportError: libstdc++.so.6"),
        (-4, "", "ended by SIGILL"),
        (3, "", "exit code 3"),
    ],
)
def test_a_tensorflow_that_does_not_start(monkeypatch, code, stderr, failure):
    tensorflow = answering(monkeypatch, code, "", stderr)
    assert tensorflow.failure == failure
    assert text(MACHINE, tensorflow)["TensorFlow"] == [f"does not start: {failure}"]


def test_missing_libraries(tmp_path):
    """Of the versions that TensorFlow was built for; beside TensorFlow, or where the loader finds them."""

    def load(name):
        if name != "libcublas.so.12":
            raise OSError(name)

    assert devices.missing_libraries(CUDA_BUILD, tmp_path, load) == ["libcudart.so.12", "libcudnn.so.9"]
    for folder, name in (("cuda_runtime", "libcudart.so.12"), ("cudnn", "libcudnn.so.8")):
        (tmp_path / "nvidia" / folder / "lib").mkdir(parents=True)
        (tmp_path / "nvidia" / folder / "lib" / name).touch()
    assert devices.missing_libraries(CUDA_BUILD, tmp_path, load) == ["libcudnn.so.9"]
    assert devices.missing_libraries({"is_cuda_build": False}, tmp_path, load) == []


class Driver:
    """libcuda with two GPUs, or one that fails with `code`."""

    def __init__(self, code: int = 0) -> None:
        self.code = code

    def cuInit(self, flags: int) -> int:
        return self.code

    def cuDriverGetVersion(self, version) -> int:
        version._obj.value = 12040
        return 0

    def cuGetErrorString(self, code: int, text) -> int:
        text._obj.value = b"no CUDA-capable device is detected" if code == 100 else None
        return 0

    def cuDeviceGetCount(self, count) -> int:
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device, number: int) -> int:
        device._obj.value = number
        return 0

    def cuDeviceTotalMem_v2(self, size, device: ctypes.c_int) -> int:
        size._obj.value = (40 + device.value) * 2**30
        return 0


def test_what_the_driver_answers():
    assert devices.ask_driver(lambda name: Driver()) == Cuda(True, version=12040, memory=(40 * 2**30, 41 * 2**30))
    assert devices.ask_driver(lambda name: Driver(100)) == HIDDEN.cuda
    assert devices.ask_driver(lambda name: Driver(46)).error == "unknown error"


def test_no_driver():
    def load(name):
        raise OSError(f"{name}: cannot open shared object file")

    assert devices.ask_driver(load) == Cuda()


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_flag_needs_no_input_file(monkeypatch, capsys):
    monkeypatch.setattr(devices, "inspect_machine", lambda: MACHINE)
    monkeypatch.setattr(devices, "ask_tensorflow", lambda: TENSORFLOW)
    with flagsaver.flagsaver():
        assert run.main(run._parse_flags(["sifting", "--devices"])) == 0
    assert capsys.readouterr().out == devices.report(MACHINE, TENSORFLOW) + "\n"


@pytest.mark.heavy
def test_the_command():
    """The real TensorFlow of this machine, with every GPU hidden."""
    process = subprocess.run(
        [sys.executable, "-m", "sifting.run", "--devices"],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert (process.returncode, process.stderr) == (0, "")
    versions = [metadata.version(name) for name in ("tensorflow", "keras")]
    assert "{}, Keras {}, built with".format(*versions) in process.stdout
    assert "GPU         none; runs train on the CPU\n" in process.stdout
    assert "CUDA_VISIBLE_DEVICES is '-1', which hides every GPU" in process.stdout
    assert "Traceback" not in process.stdout and "cpu_feature_guard" not in process.stdout
