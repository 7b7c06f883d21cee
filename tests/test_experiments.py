"""Every file in inputs/: it is an experiment at full scale and small, unlike all others, and its network trains."""

import dataclasses
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from sifting import datasets, launch
from sifting.datasets.image_set import ImageSet
from sifting.inputs import Experiment, read_experiment
from sifting.run_directory import RunDirectory
from sifting.screen import Screen
from sifting.session import Session
from sifting.signals import Signals

ROOT = Path(__file__).parents[1]
OVERRIDES = {"small.in"}
FILES = sorted(path for path in (ROOT / "inputs").rglob("*.in") if path.name not in OVERRIDES)
NAMES = [str(path.relative_to(ROOT / "inputs")) for path in FILES]


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch):
    """Input files name things relative to the project's root, where users run them."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sifting.files.os.fsync", lambda descriptor: None)


def small(path: Path) -> Experiment:
    return read_experiment([str(path), str(ROOT / "inputs" / "small.in")])


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_file_is_accepted_at_full_scale_and_small(path):
    """Everything that is checked before images are read; and it begins with a comment that says what it is for."""
    launch.check(read_experiment([str(path)]))
    launch.check(small(path))
    assert path.read_text().startswith("# ")


def test_no_two_files_are_the_same_experiment():
    """Not even when scaled: whoever compares two of them small compares what the papers compare."""
    for read in (lambda path: read_experiment([str(path)]), small):
        experiments = {}
        for path in FILES:
            sections = read(path).sections()
            key = repr({name: section for name, section in sections.items() if name != "IO"})
            assert key not in experiments, f"{path} is the same as {experiments[key]}"
            experiments[key] = path


def test_no_two_files_write_to_the_same_folder():
    folders = [read_experiment([str(path)]).io.save_dir for path in FILES]
    assert len(set(folders)) == len(folders)
    assert folders == [str(Path("runs", name).with_suffix("")) for name in NAMES]


def tiny_images(experiment: Experiment) -> ImageSet:
    """Random images of the right shape and number of classes."""
    facts = datasets.check(experiment)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, int(np.prod(facts.shape))), np.uint8)
    labels = rng.integers(0, facts.classes, 60).astype(np.int32)
    mean = pixels[:40].mean(axis=0, dtype=np.float32)
    return ImageSet(pixels[:40], labels[:40], pixels[40:], labels[40:], mean, facts.shape, facts.classes, "random")


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_network_trains(path, tmp_path):
    """Two steps, scaled: every layer with weights changes, and all stays finite."""
    experiment = small(path).replace("Network", steps=1, validate_step=1, batch_size=8, val_size=20, seed=1)
    experiment = experiment.replace("Network", jit_compile=False)
    changes = {"weights_step": 0, "prune_step": 1}
    experiment = experiment.replace(
        experiment.method_name, **{key: value for key, value in changes.items() if hasattr(experiment.method, key)}
    )
    directory = RunDirectory(tmp_path, "test")
    with directory.lock():
        session = Session(experiment, tiny_images(experiment), directory, Screen(stream=StringIO()), Signals())
        start = session.initial_parameters()
        result = session.train(0, session.initial_masks(), np.zeros(sum(s.prunable for s in session.specs)), start)
    before, after = result.checkpoints[0].parameters, result.checkpoints[-1].parameters
    for spec, old, new in zip(session.specs, before, after, strict=True):
        if spec.has_weights:
            assert np.all(np.isfinite(new.W)) and not np.array_equal(old.W, new.W)
    assert len(result.training_errors) == 2


def test_the_public_files_of_the_tf1_code_are_the_main_experiment():
    """Its four sample files differ from inputs/imp_3l1k.in in [Data] and save_dir alone."""
    ours = read_experiment([str(ROOT / "inputs" / "imp_3l1k.in")])
    assert ours.network.steps == 100000 and ours.method.stop_ratio == 0.2
    fractions = [read_experiment([str(path)]) for path in FILES if path.name.startswith("fraction_")]
    for other in fractions:
        assert dataclasses.replace(other.data, data_ratio=1.0) == ours.data
        assert other.network == ours.network and other.method == ours.method
