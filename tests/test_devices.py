"""--devices: what TensorFlow and the driver answer, and how it is shown."""

import json
import os
import subprocess
import sys
from importlib import metadata

import pytest
from absl.testing import flagsaver

from sifting import run
from sifting.base import devices

TEXT = "2.21.0, Keras 3.15.1, built with CUDA 12.5.1"
CARDS = ["NVIDIA A100-SXM4-80GB, 81920 MiB", "NVIDIA T4, 15360 MiB"]


def lines(tensorflow, driver="550.54.15", cards=CARDS, visible=None):
    """Of the report behind that of sifting itself: (name, text)."""
    report = devices.report(tensorflow, driver, cards, visible).splitlines()
    return [(line[:11].strip(), line[12:]) for line in report[1:]]


def test_a_machine_with_gpus():
    gpus = {"text": TEXT, "said": ["Could not find cuda drivers"], "gpus": ["NVIDIA A100-SXM4-80GB"]}
    assert lines(gpus, visible="0") == [
        ("TensorFlow", TEXT),
        ("driver", "NVIDIA 550.54.15"),
        ("card", CARDS[0]),
        ("card", CARDS[1]),
        ("visible", "CUDA_VISIBLE_DEVICES=0"),
        ("GPU", "0: NVIDIA A100-SXM4-80GB"),
    ]


def test_a_machine_without():
    """What TensorFlow says of it, and where to read on; also if it does not start."""
    none = {"text": TEXT, "said": ["Could not find cuda drivers"], "gpus": []}
    assert lines(none, driver="", cards=[]) == [
        ("TensorFlow", TEXT),
        ("driver", "no NVIDIA driver"),
        ("GPU", "none; runs train on the CPU"),
        ("TF says", "Could not find cuda drivers"),
        ("help", "https://www.tensorflow.org/install/pip"),
    ]
    assert lines({"text": "does not start: no", "said": []})[-2:] == [("GPU", "none"), ("help", devices.HELP)]


# --- what is asked -------------------------------------------------------------------------------------------------


@pytest.fixture
def answering(monkeypatch):
    """answering(code, output, errors): what the next process leaves."""

    def answering(*process):
        monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], *process))

    return answering


LOG = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795326822.350052   20689 cudart_stub.cc:31] Could not find cuda drivers on your machine.
I0000 00:00:1795326822.648145   20689 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
I0000 00:00:1795326825.995851   20689 cudart_stub.cc:31] Could not find cuda drivers on your machine.
E0000 00:00:1795326828.189733   20689 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: (303)
2024-05-01 10:00:00.123456: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2256] Cannot dlopen some GPU libraries.
"""


def test_telling_lines_are_kept_once_without_their_prefix(answering):
    answering(0, "a stray line\n" + json.dumps({"text": TEXT, "gpus": []}) + "\n", LOG)
    assert devices.ask_tensorflow() == {
        "text": TEXT,
        "gpus": [],
        "said": [
            "Could not find cuda drivers on your machine.",
            "failed call to cuInit: INTERNAL: CUDA error: (303)",
            "Cannot dlopen some GPU libraries.",
        ],
    }


@pytest.mark.parametrize(
    ("code", "errors", "failure"),
    [
        (1, "Traceback (most recent call last):\n  File\nImportError: libstdc++.so.6\n", "ImportError: libstdc++.so.6"),
        (-4, "", "ended by SIGILL"),
        (3, "", "exit code 3"),
    ],
)
def test_a_tensorflow_that_does_not_start(answering, code, errors, failure):
    answering(code, "", errors)
    assert devices.ask_tensorflow() == {"text": f"does not start: {failure}", "said": []}


@pytest.mark.parametrize(
    "kernel", ["x86_64 Kernel Module  551.23  Tue Mar  5", "Open Kernel Module for x86_64  551.23  R"]
)
def test_the_driver(answering, monkeypatch, tmp_path, kernel):
    """By nvidia-smi or, without it, from the kernel."""
    monkeypatch.setattr(devices, "MODULE", tmp_path / "version")
    answering(0, "".join(f"550.54.15, {card}\n" for card in CARDS))
    assert devices.ask_driver() == ("550.54.15", CARDS)
    answering(9, "No devices were found\n")
    assert devices.ask_driver() == ("", [])
    devices.MODULE.write_text(f"NVRM version: NVIDIA UNIX {kernel}\nGCC version:  gcc version 12.2.0\n")
    assert devices.ask_driver() == ("551.23", [])


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_flag_needs_no_input_file(monkeypatch, capsys):
    monkeypatch.setattr(devices, "describe", lambda: "the report")
    with flagsaver.flagsaver():
        assert run.main(run._parse_flags(["sifting", "--devices"])) == 0
    assert capsys.readouterr().out == "the report\n"


@pytest.mark.heavy
def test_the_command():
    """The real TensorFlow of this machine, with every GPU hidden."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", "sifting.run", "--devices"]
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (process.returncode, process.stderr) == (0, "")
    versions = [metadata.version(name) for name in ("tensorflow", "keras")]
    assert "{}, Keras {}, built with".format(*versions) in process.stdout
    assert "visible     CUDA_VISIBLE_DEVICES=-1\nGPU         none; runs train on the CPU\n" in process.stdout
    assert devices.HELP in process.stdout and "cpu_feature_guard" not in process.stdout
