"""Every file in inputs/: it is an experiment at full scale and small, unlike all others, and its network trains."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sifting import datasets
from sifting.architecture import build_specs
from sifting.datasets.image_set import ImageSet
from sifting.experiment.experiment import Experiment
from sifting.inputs import read_experiment
from sifting.network.model import initial_parameters
from sifting.training.session import network_and_trainer

ROOT = Path(__file__).parents[1]
OVERRIDES = {"small.in"}
FILES = sorted(path for path in (ROOT / "inputs").rglob("*.in") if path.name not in OVERRIDES)
NAMES = [str(path.relative_to(ROOT / "inputs")) for path in FILES]


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch):
    """Input files name things relative to the project's root, where users run them."""
    monkeypatch.chdir(ROOT)


def small(path: Path) -> Experiment:
    return read_experiment([str(path), str(ROOT / "inputs" / "small.in")])


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_file_is_accepted_at_full_scale_and_small(command, path):
    """Everything that is checked before images are read; and it begins with a comment that says what it is for."""
    for files in ([path], [path, "inputs/small.in"]):
        code, shown, _ = command(*files, "--dry_run")
        assert code == 0 and shown
    assert "dataset = EdgeCollage32\n" in shown and path.read_text().startswith("# ")


def test_no_two_files_are_the_same_experiment():
    """Not even when scaled: whoever compares two of them small compares what the papers compare."""
    for read in (lambda path: read_experiment([str(path)]), small):
        settings = [repr((read(path).data, read(path).network, read(path).method)) for path in FILES]
        assert len(set(settings)) == len(FILES)


def test_no_two_files_write_to_the_same_folder():
    folders = [read_experiment([str(path)]).io.save_dir for path in FILES]
    assert len({small(path).io.save_dir for path in FILES}) == len(FILES)
    assert folders == [str(Path("runs", name).with_suffix("")) for name in NAMES]


def tiny_images(experiment: Experiment) -> ImageSet:
    """Random images of the right shape and number of classes."""
    facts = datasets.planned(experiment).facts
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, int(np.prod(facts.shape))), np.uint8)
    labels = rng.integers(0, facts.classes, 60).astype(np.int32)
    mean = pixels[:40].mean(axis=0, dtype=np.float32)
    return ImageSet(pixels[:40], labels[:40], pixels[40:], labels[40:], mean, facts.shape, facts.classes, "random")


def network_of(experiment: Experiment) -> tuple:
    """What decides how a file's network is built and trained, but for its widths."""
    facts, network = datasets.planned(experiment).facts, experiment.network
    rest = network.minimizer, network.centring, network.init_deviation, experiment.data.translate
    return tuple(token.kind for token in network.arch), facts.shape, facts.classes, *rest


@pytest.mark.parametrize("path", {network_of(small(path)): path for path in FILES}.values(), ids=lambda path: path.stem)
def test_every_network_trains(path):
    """Two steps of one file for each network, scaled: every layer with weights changes, and all stays finite."""
    experiment = small(path).replace("Network", batch_size=8, seed=1, jit_compile=False)
    images, network = tiny_images(experiment), experiment.network
    specs = build_specs(network.arch, experiment.method.prune, images.shape, images.classes)
    state, trainer = network_and_trainer(experiment, specs, images, pytest.fail)
    before = initial_parameters(specs, 1, network.init_deviation, network.init_distribution)
    state.set_parameters(before)
    errors, losses = trainer.train(1, 0, 2)
    assert len(errors) == 2 and np.all(np.isfinite(losses)) and 0 <= trainer.validate() <= 1
    for layer, new in state.parameters().items():
        assert np.all(np.isfinite(new.W)) and not np.array_equal(before[layer].W, new.W)


def test_the_public_files_of_the_tf1_code_are_the_main_experiment():
    """Its four sample files differ from inputs/imp_3l1k.in in [Data] and save_dir alone."""
    ours = read_experiment([str(ROOT / "inputs" / "imp_3l1k.in")])
    assert ours.network.steps == 100000 and ours.method.stop_ratio == 0.2
    fractions = [read_experiment([str(path)]) for path in FILES if path.name.startswith("fraction_")]
    for other in fractions:
        assert dataclasses.replace(other.data, data_ratio=1.0) == ours.data
        assert other.network == ours.network and other.method == ours.method
