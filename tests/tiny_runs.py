"""Whole runs of any method on a handful of images, a second each, for tests that look at what they store."""

import os
import re
import shutil
import signal
from dataclasses import replace
from functools import cache
from io import StringIO
from unittest import mock

import numpy as np
import pytest

from sifting.base.signals import Signals
from sifting.datasets.image_set import ImageSet
from sifting.errors import Interrupted
from sifting.inputs import read_experiment
from sifting.network.rounds import Mask
from sifting.runs.directory import RunDirectory
from sifting.training.observers import Observer
from sifting.training.screen import Screen
from sifting.training.session import Session, network_and_trainer

NETWORK = """
[Data]
dataset = EdgeCollage32
[Network]
arch = f6:f5:x
steps = 12
batch_size = 8
val_size = 20
validate_step = 5
seed = 1
jit_compile = false
"""
IMP = """
[IMP]
prune = T:T:F
prune_ratio = 0.3
weights_step = 3
max_iterations = 4
"""


@cache
def image_set(val_size):
    """In place of the embedded images: 60 of 4 x 4 pixels, 4 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60 + val_size).astype(np.int32)
    images = (rng.integers(0, 150, (60 + val_size, 48)) + 80 * (np.arange(48) % 4 == labels[:, None])).astype(np.uint8)
    mean = images[:60].mean(axis=0, dtype=np.float32)
    return ImageSet(images[:60], labels[:60], images[60:], labels[60:], mean, (3, 4, 4), 4, "a handful")


TRAINERS = {}


def reused(experiment, specs, image_set, report, rows=None):
    """In place of network_and_trainer: those of an earlier run, as they began, if nothing but masks, values, the number
    of steps and the place of the files is another's. TensorFlow needs a second to trace a loop."""
    if rows:
        return network_and_trainer(experiment, specs, image_set, report, rows)
    own = {"steps": 1, "restart": False, "rest_it": 1, "rest_weights_file": "", "rest_mask_file": ""}
    key = replace(experiment.network, **own), experiment.data, image_set.val_labels.size
    if key not in TRAINERS:
        values, trainer = network_and_trainer(experiment, specs, image_set, report)
        TRAINERS[key] = values, trainer, trainer.state()
    values, trainer, fresh = TRAINERS[key]
    trainer.begin_round()
    trainer.restore(fresh)
    trainer.rate, trainer._report = 0.0, report
    return values, trainer


class Watched(Session, Observer):
    """A session that watches itself, and remembers what the network and the optimizer held when each round began.

    Attributes:
        begins: of each round: parameters, masks, moments, values of the optimizer.
        trained: of each call of the loop: number, start, stop.
        idle: of each round: all values of network and optimizer when the round before it ended, and when the driver,
            who may have scored in between, asked for this one.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options, observers=[self])
        self.begins, self.trained, self.idle = {}, [], {}
        self._left = self._trainer.state()

    def train(self, number, *arguments, **options):
        self.idle[number] = self._left, self._trainer.state()
        result = super().train(number, *arguments, **options)
        self._left = self._trainer.state()
        return result

    def begin(self, progress):
        masks = {}
        for index, spec in enumerate(self.specs):
            if spec.has_weights:
                layer = self._trainer.model.get_layer(f"layer_{index + 1}")
                masks[index] = Mask(*(variable.numpy() for variable in layer.weights if "mask" in variable.name))
        optimizer = [variable.numpy() for variable in self._trainer.optimizer.variables]
        self.begins[progress.number] = self._values.parameters(), masks, self._values.moments(), optimizer
        self._step = progress.step

    def after_steps(self, progress):
        self.trained.append((progress.number, self._step, progress.step))
        self._step = progress.step


def run(folder, *changes, method=IMP, kind=Watched, signals=None):
    """Train, or continue, an experiment into `folder`.

    Args:
        changes: "Section.key=value".
        method: a section of the input file.
        kind: of session.

    Returns:
        (RunDirectory, session).
    """
    path = folder.with_suffix(".in")
    path.write_text(NETWORK + method)
    experiment = read_experiment([str(path)], [f"IO.save_dir={folder}", *changes])
    directory = RunDirectory(folder, "IMP")
    with directory.lock():
        images = image_set(experiment.network.val_size)
        with mock.patch("sifting.training.session.network_and_trainer", reused):
            session = kind(experiment, images, directory, Screen(stream=StringIO()), signals or Signals())
        experiment.method.run(session)
        session.finish()
    return directory, session


def interrupting(number, step, which=signal.SIGINT, times=1, base=Watched):
    """A session that gets a real signal while it trains that step of that round."""

    class Interrupting(base):
        def after_steps(self, progress):
            if progress.number == number and self._step <= step < progress.step:
                for _ in range(times):
                    os.kill(os.getpid(), which)
            super().after_steps(progress)

    return Interrupting


def interrupt(folder, number, step, *changes, which=signal.SIGINT, times=1, base=Watched, **options):
    """Train until that step of that round, as `run` does.

    Returns:
        (RunDirectory, errors.Interrupted).
    """
    with Signals().handled() as signals, pytest.raises(Interrupted) as error:
        run(folder, *changes, kind=interrupting(number, step, which, times, base), signals=signals, **options)
    return RunDirectory(folder, "IMP"), error.value


def copy_of(directory, folder, numbers=None):
    """The run, or the files of some of its rounds alone, in another folder."""
    if numbers is None:
        shutil.copytree(directory.folder, folder)
    else:
        folder.mkdir()
        for number in numbers:
            shutil.copy(directory.round_path(number), folder)
    return RunDirectory(folder, directory.prefix)


def rounds_of(directory):
    return [directory.read_round(number) for number in directory.rounds()]


def files_of(directory):
    """Everything whose content is fixed by the experiment."""
    return {
        path.name: path.read_bytes()
        for path in directory.folder.iterdir()
        if re.search(r"_(itdata|fin|out|history)", path.name)
    }


def expected_masks(checkpoint, masks, ratio, prunable):
    """IMP's rule, written out again: in each layer the magnitudes of weights and biases make one pool.

    Args:
        ratio: the sparsity to reach, of all prunable layers.
        prunable: one flag a layer; the others keep their masks.
    """
    result = {}
    for layer, mask in masks.items():
        parameters = checkpoint.parameters[layer]
        if not prunable[layer]:
            result[layer] = mask
            continue
        pool = np.sort(np.append((np.abs(parameters.W) * mask.W).ravel(), np.abs(parameters.b) * mask.b))
        threshold = pool[int(ratio * pool.size)]
        kept = ((np.abs(p) >= threshold) & (m == 1) for p, m in zip(parameters[:2], mask, strict=True))
        result[layer] = Mask(*(values.astype(np.float32) for values in kept))
    return result
