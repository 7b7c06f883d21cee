"""Where TensorFlow computes: one GPU, its memory as needed, TF32 only while it is asked for."""

import pytest
import tensorflow as tf
from synthetic import write_input

import sifting
from sifting.base import compute
from sifting.training.observers import Observer

enabled = tf.config.experimental.tensor_float_32_execution_enabled


@pytest.fixture
def settled(monkeypatch):
    """settled(cards) -> what a process that sees so many GPUs does: (function, arguments)."""

    def settled(cards, refuse=False):
        done = []

        def recorded(name):
            def call(*arguments):
                if refuse:
                    raise RuntimeError("Physical devices cannot be modified after being initialized")
                done.append((name, *arguments))

            return call

        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: cards)
        monkeypatch.setattr(tf.config, "set_visible_devices", recorded("visible"))
        monkeypatch.setattr(tf.config.experimental, "set_memory_growth", recorded("growth"))
        compute._choose_device()
        return done

    return settled


def test_the_first_gpu_alone_is_taken_with_memory_as_needed(settled):
    assert settled(["a", "b"]) == [("visible", ["a"], "GPU"), ("growth", "a", True)]
    assert compute.on_gpu() and compute.compute_device() == "/GPU:0"
    assert settled([]) == [("visible", [], "GPU")]
    assert not compute.on_gpu() and compute.compute_device() == "/CPU:0"


def test_devices_that_others_have_started_stay_as_they_are(settled):
    assert settled(["a"], refuse=True) == []


def test_tensor_float_32_is_off_but_in_the_body_that_asks_for_it():
    assert not enabled()
    with compute.tensor_float_32(True):
        with compute.tensor_float_32(False):
            assert not enabled()
        assert enabled()
    with pytest.raises(ValueError, match="x"), compute.tensor_float_32(True):
        raise ValueError("x")
    assert not enabled()


@pytest.mark.parametrize("tf32", [False, True])
def test_a_run_trains_with_tensor_float_32_if_it_asks_for_it(tmp_path, tf32):
    class Watching(Observer):
        seen: list[bool] = []

        def begin(self, progress):
            self.seen.append(enabled())

    changes = [f"Network.tf32={tf32}", "Network.jit_compile=false", "Network.steps=20", "IMP.max_iterations=1"]
    path = write_input(tmp_path, *changes)
    sifting.run_experiment(sifting.load_experiment(path), quiet=True, observers=[watching := Watching()])
    assert set(watching.seen) == {tf32} and not enabled()
