"""What TensorFlow sees of this machine, and why it sees no GPU: `python -m sifting.run --devices`.

TensorFlow is asked in a process of its own: what it writes as it starts is caught there, for the few lines that help,
and if it dies that is an answer, too.
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sifting import __version__

# How each kind of container is given the GPUs of its host.
CONTAINERS = {
    "Apptainer": "start it with --nv",
    "Docker": "start it with `docker run --gpus all`; the host needs the NVIDIA Container Toolkit",
    "Kubernetes": "ask for `nvidia.com/gpu: 1` in the pod's resources.limits",
    "Podman": "start it with `podman run --device nvidia.com/gpu=all`; the host needs the NVIDIA Container Toolkit",
}
SCHEDULER = "on a cluster, ask the scheduler for one (such as sbatch --gpus=1); login nodes often have none"
EXTRA = 'pip install "tensorflow[and-cuda]", which brings them'

# Codes of cuInit, from cuda.h.
CUDA_NO_DEVICE = 100
CUDA_REMEDIES = {
    CUDA_NO_DEVICE: "see whether nvidia-smi lists a GPU; " + SCHEDULER,
    802: "start the service nvidia-fabricmanager, of the driver's version",
    803: "reboot: kernel module and library are of different versions, as after an update of the driver",
    999: "reload the module: sudo rmmod nvidia_uvm; sudo modprobe nvidia_uvm (often after suspend), or reboot",
}

# TensorFlow's start-up lines that tell why there is no GPU; the others are about registrations and instruction sets.
TELLING = re.compile(
    r"cuInit|dlopen|cuda drivers|reported version|kernel driver|skipping registering GPU", re.IGNORECASE
)
LOG_PREFIX = re.compile(r"^.*?\b\w+\.cc:\d+\] ")


@dataclass(frozen=True)
class Machine:
    """What can be seen without TensorFlow.

    driver: version of the NVIDIA driver in the kernel. nodes: its devices in /dev, closed: those that may not be
    opened. card: whether the PCI bus has an NVIDIA card. container: a key of CONTAINERS.
    """

    system: str = "Linux"
    driver: str | None = None
    nodes: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    card: bool = False
    container: str | None = None
    visible_devices: str | None = None
    usable_cores: int = 1
    cores: int = 1


@dataclass(frozen=True)
class Cuda:
    """The user's half of the driver, libcuda.

    error: what cuInit said, if it failed. version: the newest CUDA it supports, 12040 for 12.4. memory: bytes, by GPU.
    """

    found: bool = False
    code: int = 0
    error: str = ""
    version: int = 0
    memory: tuple[int, ...] = ()


@dataclass(frozen=True)
class Gpu:
    name: str
    capability: str = ""


@dataclass(frozen=True)
class TensorFlow:
    """What TensorFlow says. failure: why it could not be asked; said: its telling lines; missing: CUDA libraries."""

    failure: str = ""
    said: tuple[str, ...] = ()
    version: str = ""
    keras: str = ""
    build: Mapping[str, Any] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()
    threads: int = 0
    missing: tuple[str, ...] = ()
    cuda: Cuda = Cuda()


Reason = tuple[str, str] | None  # why, and the usual remedy


def describe() -> str:
    """The report. Takes seconds: TensorFlow starts."""
    return report(inspect_machine(), ask_tensorflow())


def report(machine: Machine, tensorflow: TensorFlow) -> str:
    """Facts, one a line; if there is no GPU, also each reason that is known, and its usual remedy."""
    lines = [("sifting", f"{__version__}, Python {platform.python_version()}, {machine.system} {platform.machine()}")]
    if machine.container:
        lines.append(("container", machine.container))
    cores = f"{machine.usable_cores} of {machine.cores} cores usable"
    if tensorflow.failure:
        lines += [("TensorFlow", f"does not start: {tensorflow.failure}"), ("CPU", cores)]
    else:
        threads = f"{tensorflow.threads} threads" if tensorflow.threads else "a thread a core"
        lines.append(("TensorFlow", f"{tensorflow.version}, Keras {tensorflow.keras}, {_built(tensorflow.build)}"))
        lines.append(("CPU", f"{cores}; TensorFlow computes with {threads}"))
    supports = f", supports CUDA up to {_cuda_version(tensorflow.cuda.version)}" if tensorflow.cuda.version else ""
    lines.append(("driver", f"NVIDIA {machine.driver}{supports}" if machine.driver else "no NVIDIA driver"))
    if machine.visible_devices is not None:
        lines.append(("visible", f"CUDA_VISIBLE_DEVICES={machine.visible_devices}"))
    for number, gpu in enumerate(tensorflow.gpus):
        text = f"{number}: {gpu.name}"
        if gpu.capability:
            text += f", compute capability {gpu.capability}"
        if len(tensorflow.cuda.memory) == len(tensorflow.gpus):
            text += f", {tensorflow.cuda.memory[number] / 2**30:.1f} GiB"
        lines.append(("GPU", text))
    if not tensorflow.gpus:
        lines.append(("GPU", "none" if tensorflow.failure else "none; runs train on the CPU"))
        for reason, remedy in reasons(machine, tensorflow):
            lines += [("why", reason), ("  remedy", remedy)]
        lines += [("TF says", line) for line in tensorflow.said]
    return "\n".join(f"{name:11s} {text}" for name, text in lines)


def reasons(machine: Machine, tensorflow: TensorFlow) -> list[tuple[str, str]]:
    """Why there is no GPU: pairs of reason and usual remedy. Never empty; what must be solved first comes first."""
    if machine.system != "Linux":
        return [
            (f"TensorFlow has no CUDA on {machine.system}", "use Linux (on Windows: WSL 2), or a cluster; or the CPU")
        ]
    found = [
        check(machine, tensorflow)
        for check in (_why_not_asked, _why_no_driver, _why_hidden, _why_no_cuda_in_tensorflow)
    ]
    return [pair for pair in found if pair] or [
        ("not known: driver and CUDA libraries seem to be in place", "see what TensorFlow says, and nvidia-smi")
    ]


def _why_not_asked(machine: Machine, tensorflow: TensorFlow) -> Reason:
    if not tensorflow.failure:
        return None
    if "SIGILL" in tensorflow.failure:
        return "TensorFlow does not run on this processor", "use one with AVX; emulated and very old ones lack it"
    return "TensorFlow does not start", "make the environment anew: pip install --force-reinstall tensorflow"


def _why_no_driver(machine: Machine, tensorflow: TensorFlow) -> Reason:
    """The first link that is missing between the card and CUDA."""
    cuda = tensorflow.cuda
    remedy = CONTAINERS.get(machine.container or "", "")
    if not machine.nodes:
        if machine.container:
            if machine.driver:
                return f"this {machine.container} container was not given the GPU of its host", remedy
            return (
                f"no NVIDIA driver on the host of this {machine.container} container",
                f"install it there; then {remedy}",
            )
        if machine.driver:
            return "the driver is loaded, but there is no /dev/nvidia0", "sudo nvidia-modprobe -c 0 -u; " + SCHEDULER
        if machine.card:
            return (
                "there is an NVIDIA card, but its driver is not loaded",
                "install the driver and reboot; if it is installed, `sudo modprobe nvidia` says why it does not load",
            )
        return "no NVIDIA card and no driver on this machine", SCHEDULER
    if set(machine.closed) == set(machine.nodes):
        return (
            f"{machine.nodes[0]} may not be opened",
            SCHEDULER if machine.container is None else remedy,
        )
    if tensorflow.failure:
        return None
    if not cuda.found:
        return (
            "libcuda.so.1, the driver's library, is not found",
            remedy or "install the driver's libraries, of the kernel module's version (Debian: libcuda1)",
        )
    if cuda.code == CUDA_NO_DEVICE and machine.visible_devices is not None:
        return None
    if cuda.code:
        return f"the driver fails: {cuda.error} ({cuda.code})", CUDA_REMEDIES.get(cuda.code, "reboot; look into dmesg")
    needed = _major(tensorflow.build.get("cuda_version"))
    if cuda.version // 1000 < needed:
        return (
            f"the driver supports CUDA up to {_cuda_version(cuda.version)}, and TensorFlow needs {needed}",
            "update the driver (525 or newer for CUDA 12, 580 for CUDA 13)",
        )
    return None


def _why_hidden(machine: Machine, tensorflow: TensorFlow) -> Reason:
    visible = machine.visible_devices
    if visible is None:
        return None
    if visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES is '{visible}', which hides every GPU", "unset CUDA_VISIBLE_DEVICES"
    if tensorflow.cuda.code == CUDA_NO_DEVICE:
        return (
            f"CUDA_VISIBLE_DEVICES is '{visible}', which names no GPU of this machine",
            "unset it, or use the numbers that `nvidia-smi -L` prints",
        )
    return None


def _why_no_cuda_in_tensorflow(machine: Machine, tensorflow: TensorFlow) -> Reason:
    if tensorflow.failure:
        return None
    if not tensorflow.build.get("is_cuda_build"):
        return (
            "this TensorFlow is built without CUDA",
            'pip uninstall tensorflow-cpu; pip install --force-reinstall "tensorflow[and-cuda]"',
        )
    if tensorflow.missing:
        reason = f"CUDA libraries are missing: {', '.join(tensorflow.missing)}"
        return reason, EXTRA if machine.container is None else "use an image that was built with CUDA, or " + EXTRA
    return None


def _built(build: Mapping[str, Any]) -> str:
    if build.get("is_cuda_build"):
        return f"built with CUDA {build.get('cuda_version')} and cuDNN {build.get('cudnn_version')}"
    return "built with ROCm" if build.get("is_rocm_build") else "built without CUDA"


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _major(version: str | None) -> int:
    return int((version or "0").split(".")[0])


# --- the machine ---------------------------------------------------------------------------------------------------


def inspect_machine(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> Machine:
    """Read /proc, /dev and /sys below `root`."""
    nodes = [*sorted((root / "dev").glob("nvidia[0-9]*")), *(root / "dev").glob("dxg")]  # dxg: WSL
    cores = os.cpu_count() or 1
    return Machine(
        system=platform.system(),
        driver=_driver(root),
        nodes=tuple(map(str, nodes)),
        closed=tuple(str(node) for node in nodes if not _opens(node)),
        card=any(_is_nvidia_card(device) for device in (root / "sys/bus/pci/devices").glob("*")),
        container=_container(root, environment),
        visible_devices=environment.get("CUDA_VISIBLE_DEVICES"),
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        cores=cores,
    )


def _driver(root: Path) -> str | None:
    """From the kernel; where it does not tell, as in WSL, from nvidia-smi."""
    with contextlib.suppress(OSError):
        first_line = (root / "proc/driver/nvidia/version").read_text().partition("\n")[0]
        version = re.search(r"\s(\d+(\.\d+)+)\s", first_line)
        return version[1] if version else first_line
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            answer = subprocess.run(query, capture_output=True, text=True, timeout=60)
            if answer.returncode == 0 and answer.stdout:
                return answer.stdout.splitlines()[0].strip()
    return None


def _opens(node: Path) -> bool:
    """By trying: a scheduler may forbid what the permissions allow."""
    try:
        os.close(os.open(node, os.O_RDWR))
    except OSError:
        return False
    return True


def _is_nvidia_card(device: Path) -> bool:
    """A display controller, or a 3D one, of NVIDIA: its PCI class is 03...."""
    try:
        return (device / "vendor").read_text().strip() == "0x10de" and (device / "class").read_text().startswith("0x03")
    except OSError:
        return False


def _container(root: Path, environment: Mapping[str, str]) -> str | None:
    if "APPTAINER_CONTAINER" in environment or "SINGULARITY_CONTAINER" in environment:
        return "Apptainer"
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "Kubernetes"
    if (root / ".dockerenv").exists():
        return "Docker"
    return "Podman" if (root / "run/.containerenv").exists() else None


# --- TensorFlow ----------------------------------------------------------------------------------------------------


def ask_tensorflow() -> TensorFlow:
    """Start TensorFlow in another process and collect what it finds."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    command = [sys.executable, "-c", "from sifting.devices import answer; answer()"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    lines = process.stderr.splitlines()
    said = [LOG_PREFIX.sub("", line) for line in lines if TELLING.search(line)]
    if process.returncode:
        failure = lines[-1] if lines else f"exit code {process.returncode}"
        if process.returncode < 0:
            failure = f"ended by {signal.Signals(-process.returncode).name}"
        return TensorFlow(failure=failure, said=tuple(dict.fromkeys(said)))
    facts = json.loads(process.stdout.splitlines()[-1])
    return TensorFlow(
        said=tuple(dict.fromkeys(said)),
        version=facts["version"],
        keras=facts["keras"],
        build=facts["build"],
        gpus=tuple(Gpu(**gpu) for gpu in facts["gpus"]),
        threads=facts["threads"],
        missing=tuple(facts["missing"]),
        cuda=Cuda(**{**facts["cuda"], "memory": tuple(facts["cuda"]["memory"])}),
    )


def answer() -> None:
    """In the other process: print the facts as JSON."""
    import keras
    import tensorflow as tf

    build = dict(tf.sysconfig.get_build_info())
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    facts = {
        "version": tf.__version__,
        "keras": keras.__version__,
        "build": build,
        "gpus": [
            {
                "name": one.get("device_name", "unnamed"),
                "capability": ".".join(map(str, one.get("compute_capability", ()))),
            }
            for one in details
        ],
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "missing": missing_libraries(build, Path(tf.__file__).parent.parent),
        "cuda": vars(ask_driver()),
    }
    print(json.dumps(facts))


def missing_libraries(
    build: Mapping[str, Any], site_packages: Path, load: Callable[[str], object] = ctypes.CDLL
) -> list[str]:
    """Names of the CUDA libraries that are neither beside TensorFlow, where pip puts them, nor found by the loader.

    Three stand for all: the others have version numbers that TensorFlow does not tell.
    """
    if not build.get("is_cuda_build"):
        return []
    cuda, cudnn = _major(build.get("cuda_version")), _major(build.get("cudnn_version"))
    missing = []
    for name in (f"libcudart.so.{cuda}", f"libcublas.so.{cuda}", f"libcudnn.so.{cudnn}"):
        if not any(site_packages.glob(f"nvidia/*/lib/{name}")):
            try:
                load(name)
            except OSError:
                missing.append(name)
    return missing


def ask_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Cuda:
    """Ask libcuda itself, by the calls of cuda.h. TensorFlow numbers GPUs as it does."""
    try:
        library = load("libcuda.so.1")
    except OSError:
        return Cuda()
    version, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    code = library.cuInit(0)
    if code:
        text = ctypes.c_char_p()
        library.cuGetErrorString(code, ctypes.byref(text))
        return Cuda(True, code, (text.value or b"unknown error").decode(), version.value)
    library.cuDeviceGetCount(ctypes.byref(count))
    memory = []
    for number in range(count.value):
        device, size = ctypes.c_int(), ctypes.c_size_t()
        library.cuDeviceGet(ctypes.byref(device), number)
        library.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        memory.append(size.value)
    return Cuda(True, version=version.value, memory=tuple(memory))
