"""Training by kept weights alone: the same steps as of TensorFlow's loop to rounding, always to the same bits.

The kernels are compiled once for each width of a tile of images. All batches here are of two widths: 32 (20 images, the
last 12 columns are empty) and 64 (70 images: two tiles, of which the last has 6).
"""

import functools
import importlib.util
import os
import re
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba.core import caching
from synthetic import assert_same
from tiny_runs import IMP, files_of, interrupt, rounds_of, run

from sifting.architecture import build_specs, parse_arch
from sifting.base.compiled import compiled
from sifting.datasets.image_set import ImageSet
from sifting.errors import TrainingDiverged
from sifting.network.model import NetworkState, build_model, initial_parameters
from sifting.network.rounds import Mask
from sifting.sparse import step as steps
from sifting.sparse.choice import LARGEST_DENSITY, LEAST_WORK, obstacle, sparse_layers
from sifting.training import trainer as training
from sifting.training.trainer import (
    ImagesOnDevice,
    MomentImages,
    Trainer,
    build_optimizer,
    draw_uniformly,
    error_rate,
)

SHAPE, CLASSES = (3, 10, 10), 4  # more pixels than kernels.COLUMNS
ARCH = "f150:f40:x"  # more nodes than step.L1_ROWS: weights are cut into blocks in both orders
LAYERS = (0, 1, 2)
RATES = {"SGD": 0.05, "Adam": 0.001}
CONSTANT = [0, 17, 290]  # pixels; TensorFlow adds the last 300 % 8 ones in another order


@functools.cache
def image_set(shape=SHAPE, count=90, val_count=151) -> ImageSet:
    """Random pixels, brighter where their class says so; three that are always the same, but not their mean."""
    rng = np.random.default_rng(0)
    pixels = int(np.prod(shape))

    def draw(number):
        labels = rng.integers(0, CLASSES, number).astype(np.int32)
        bright = np.arange(pixels) % CLASSES == labels[:, None]
        images = (rng.integers(0, 200, (number, pixels)) + 25 * bright).astype(np.uint8)
        images[:, CONSTANT] = 0, 90, 255
        return images, labels

    images, labels = draw(count)
    mean = images.mean(axis=0, dtype=np.float32) + np.float32(0.3)
    return ImageSet(images, labels, *draw(val_count), mean, shape, CLASSES, "random")


def masks_of(specs, densities, seed=3) -> dict[int, Mask]:
    """Random masks. In each layer a node has no inputs and is masked, another's bias alone is masked, and an input has
    no weights."""
    rng = np.random.default_rng(seed)
    masks = {}
    for (layer, spec), density in zip(enumerate(specs), densities, strict=True):
        W = (rng.random(spec.weight_shape) < density).astype(np.float32)
        b = np.ones(W.shape[1], np.float32)
        if density < 1:
            W[5] = W[:, 3] = b[2:4] = 0
        if layer == 0 and density < 0.05:
            W[CONSTANT] = 0  # alone they would make a node constant, whose gradient is noise
        masks[layer] = Mask(W, np.where(W.any(axis=0), b, 0).astype(np.float32))
    return masks


def set_values(state: NetworkState, specs, densities, seed=1) -> None:
    """Values of a network in the middle of its training: none is 0 or 1, also where it is masked."""
    rng = np.random.default_rng(seed)
    values = {}
    for layer, (W, b, gamma, beta) in initial_parameters(specs, seed).items():
        drawn = (rng.normal(mean, 0.2, x.size).astype(np.float32) for mean, x in ((0, b), (1, gamma), (0, beta)))
        values[layer] = type(initial_parameters(specs, seed)[layer])(W, *drawn)
    state.set_parameters(values)
    state.set_masks(masks_of(specs, densities))
    state.reset_moments()


@functools.cache
def network(
    minimizer="SGD", centring="reference", batch=20, arch=ARCH, rate=None, translated=False, preload=True, exact=False
):
    """A trainer and the state of its network; cached, since TensorFlow needs a second to trace a loop."""
    images = image_set()
    specs = build_specs(parse_arch(arch), (True,) * 9, images.shape, images.classes)
    model = build_model(specs, images.shape, centring=centring)
    optimizer = build_optimizer(minimizer, rate or RATES[minimizer])
    if minimizer == "Adam":
        optimizer.epsilon = 1e-5  # above the noise of gradients that are 0 but for rounding, which Adam would scale up
    shifts = draw_uniformly(4, batch, 2) if translated else None

    def report(line):
        """Nothing may be amiss; that kernels are compiled is said once on a machine."""
        assert line.startswith("compiling"), line

    moved = np.arange(62, dtype=np.int32).reshape(31, 2) % 4 if translated else None
    moments = MomentImages(np.arange(31), moved) if exact else None
    options = {"preload": preload, "jit_compile": False, "report": report, "shifts": shifts, "moments_of": moments}
    return Trainer(model, optimizer, images, batch, **options), NetworkState(model, specs), specs


def begun(densities=(0.5, 0.5, 0.5), **options):
    """The trainer before its first step."""
    trainer, state, specs = network(**options)
    trainer._sparse = None  # what it trained before is not written back
    set_values(state, specs, densities[: len(specs)])
    trainer.reset_optimizer()
    return trainer


def names(layers):
    return [f"layer_{layer + 1}" for layer in layers]


def values_of(trainer):
    """What the network and the optimizer hold, by name."""
    trainer.write_back()
    numbers = r"(sequential|(?<=sgd)|(?<=adam))(_[0-9]+)?(/|_(?=layer))"
    return {re.sub(numbers, "", each.path): each.numpy() for each in trainer._variables()}


def result_of(trainer, sparse=(), frozen=(), cuts=(0, 6), before=None, key=7):
    """Train, from `before` if that is given.

    Args:
        cuts: the step to begin with, and where each call ends.

    Returns:
        values before and after; training errors, losses and the validation error.
    """
    if before:
        trainer.restore(before)
    before = trainer.state()
    named = values_of(trainer)
    trainer.begin_round(names(frozen), names(sparse))
    parts = [trainer.train(key, start, stop, key + 1) for start, stop in zip(cuts, cuts[1:], strict=False)]
    errors, losses = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    error = trainer.validate()
    return SimpleNamespace(
        start=before, before=named, after=values_of(trainer), errors=errors, losses=losses, validation=error
    )


def assert_close(ours, theirs, tolerance, but=()):
    """The same training to rounding: all changes of values, in the L2 norm, where a wrong one of thousands is felt."""
    np.testing.assert_array_equal(ours.errors, theirs.errors)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=tolerance)
    if "validation" not in but:
        assert ours.validation == theirs.validation
    assert ours.after.keys() == theirs.after.keys()
    for name, old in theirs.before.items():
        one, other = ours.after[name], theirs.after[name]
        if name.endswith(("started", "iteration", "mask_W", "mask_b")):
            np.testing.assert_array_equal(one, other, err_msg=name)
        elif name not in but:
            allowed = tolerance * np.linalg.norm(other - old) + 2e-7 * np.linalg.norm(other)
            assert np.linalg.norm(one - other) <= allowed, (name, np.linalg.norm(one - other), allowed)


def assert_same_bits(ours, theirs):
    for name in ("errors", "losses", "validation", "after"):
        assert_same(getattr(ours, name), getattr(theirs, name))


def assert_only_kept_values_move(result, frozen=()):
    for layer in LAYERS:
        for name in ("W", "b", "gamma", "beta"):
            old, new = (values[f"layer_{layer + 1}/{name}"] for values in (result.before, result.after))
            mask = result.before.get(f"layer_{layer + 1}/mask_{name}", np.ones_like(old))
            masked = np.ones_like(mask) if layer in frozen else 1 - mask
            np.testing.assert_array_equal(new[masked == 1], old[masked == 1])


@functools.cache
def dense_result(densities, frozen, last, **options):
    return result_of(begun(densities, **options), frozen=frozen, cuts=(0, last))


def compare(sparse, densities=(0.5, 0.5, 0.5), frozen=(), tolerance=1e-4, **options):
    """TensorFlow's loop and the sparse one from the same values: one step, and some more."""
    for last in (1, 6):
        theirs = dense_result(densities, frozen, last, **options)
        ours = result_of(begun(densities, **options), sparse, frozen, cuts=(0, last))
        assert_same(ours.before, theirs.before)
        assert_close(ours, theirs, tolerance)
        assert_only_kept_values_move(ours, frozen)
    return ours


# --- one step and some, against TensorFlow


@pytest.mark.parametrize("batch", [20, 70])
@pytest.mark.parametrize("centring", ["reference", "exact"])
@pytest.mark.parametrize("minimizer", ["SGD", "Adam"])
def test_all_layers_sparse(minimizer, centring, batch):
    compare(LAYERS, (0.1, 0.5, 0.5), minimizer=minimizer, centring=centring, batch=batch)


def test_adams_averages_decay_as_those_of_keras():
    """0.999 is no float32: 1 - beta_2 in float32 would be wrong by 1.3e-5 of itself."""
    theirs, ours = (result_of(begun(minimizer="Adam", batch=70), sparse, cuts=(0, 1)) for sparse in ((), LAYERS))
    slots = [name for name in ours.after if name.startswith("adam") and "layer" in name]
    assert len(slots) == 24
    for name in slots:
        error = np.linalg.norm(ours.after[name] - theirs.after[name]) / np.linalg.norm(theirs.after[name])
        assert error < 6e-6, name


@pytest.mark.parametrize("sparse", [(0,), (1,), (2,), (0, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("minimizer", ["SGD", "Adam"])
def test_sparse_layers_beside_dense_ones(sparse, minimizer):
    """Also dense ones without masks, and those that are pruned but not sparse."""
    pruned = tuple(0.3 if layer in sparse else 1.0 for layer in LAYERS)
    compare(sparse, pruned, minimizer=minimizer, batch=70)
    compare(sparse, (0.3, 0.5, 0.6), minimizer=minimizer, batch=20)


@pytest.mark.parametrize("densities", [(0.01, 0.05, 0.2), (0.003, 1, 0.1), (1, 0.002, 1), (1, 1, 1)], ids=str)
def test_few_weights_and_all(densities):
    """Many nodes have no inputs or no outputs; or all have all."""
    trainer = begun(densities, batch=70)
    empty = [np.mean(~mask.any(axis=0)) for name, mask in values_of(trainer).items() if name.endswith("mask_W")]
    assert max(empty) > 0.2 or densities == (1, 1, 1)
    compare(LAYERS, densities, batch=70, tolerance=5e-4)  # nodes with one input are nearly constant


@pytest.mark.parametrize("minimizer", ["SGD", "Adam"])
def test_an_empty_layer(minimizer):
    """Nothing reaches what is below it, and all that is above sees zeros: but for the last biases, all stands still."""
    densities = (0.5, 0.0, 0.5)
    result = compare(LAYERS, densities, minimizer=minimizer)
    moved = {name for name in result.after if np.any(result.after[name] != result.before[name])}
    assert {name for name in moved if name.startswith("layer_") and "running" not in name} == {
        *("layer_1/started", "layer_2/started", "layer_3/started", "layer_3/b", "layer_3/beta", "layer_3/W")
    }
    compare(LAYERS, (0.5, 0.5, 0.0), minimizer=minimizer)
    compare((1,), (0.5, 0.0, 0.5), minimizer=minimizer)


@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2)], ids=str)
def test_frozen_layers(frozen):
    """They pass gradients on. The lowest layer that is trained may be sparse or dense, and the first one or not."""
    for sparse in (LAYERS, (1,), (0, 2)):
        compare(sparse, (0.2, 0.5, 0.5), frozen, minimizer="Adam" if 0 in frozen else "SGD")


@pytest.mark.parametrize("sparse", [LAYERS, (1,)], ids=str)
def test_all_layers_frozen(sparse):
    """The running moments alone move."""
    result = result_of(begun((0.2, 0.5, 0.5)), sparse, LAYERS)
    assert_only_kept_values_move(result, LAYERS)
    assert all(np.any(result.after[name] != value) for name, value in result.before.items() if "running" in name)


@pytest.mark.parametrize("batch", [20, 70])
@pytest.mark.parametrize("sparse", [LAYERS, (1, 2)], ids=str)
def test_translations(sparse, batch):
    ours = compare(sparse, (0.2, 0.5, 0.5), batch=batch, translated=True)
    plain = result_of(begun((0.2, 0.5, 0.5), batch=batch), sparse)
    assert np.any(ours.losses != plain.losses)


@pytest.mark.parametrize("sparse", [LAYERS, (1,)], ids=str)
def test_weights_in_many_blocks(sparse, monkeypatch):
    """Blocks of inputs and outputs that are cut anywhere, where the sums of an output go on from block to block."""
    monkeypatch.setattr(steps, "L1_ROWS", 7)
    monkeypatch.setattr(steps, "WEIGHTS_A_BLOCK", 1)
    compare(sparse, (0.3, 0.3, 0.6), batch=70)


def test_the_mean_of_a_constant_pixel_has_tensorflows_bits():
    """The rounding of a mean becomes signal where a pixel is constant: (x - mean) / 1e-5, see layers.normalise."""
    for batch in (20, 70):
        theirs, ours = (result_of(begun(batch=batch), sparse, cuts=(0, 1)) for sparse in ((), LAYERS))
        means = [result.after["layer_1/running_mean"][:296] for result in (theirs, ours)]
        np.testing.assert_array_equal(*means)
        assert np.all(theirs.after["layer_1/running_variance"][CONSTANT] < 1e-15)


@pytest.mark.parametrize("centring", ["reference", "exact"])
def test_nodes_that_are_constant(centring):
    """Without inputs, but with a bias: their own gradient is noise times 1e5, all others are as in TensorFlow."""
    results = []
    for sparse in ((), LAYERS):
        trainer = begun((0.1, 0.5, 0.5), centring=centring)
        layer, node = trainer.model.get_layer("layer_1"), [10, 11]
        mask, b = layer.mask_W.numpy(), layer.b.numpy()
        mask[:, node], b[node] = 0, (0.3, 0.7)
        layer.mask_W.assign(mask)
        layer.b.assign(b)
        results.append(result_of(trainer, sparse, cuts=(0, 1)))
    assert_close(*results, 1e-4, but=["layer_1/b", "validation"])
    one, other = (np.delete(result.after["layer_1/b"], node) for result in results)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("count", [1, 19, 20, 40, 151])
def test_validation_counts_every_image_once(count, monkeypatch):
    """The network is trained, but not perfect; the images are no multiple of the batch."""
    errors = []
    for sparse in ((), LAYERS):
        trainer = begun((0.2, 0.5, 0.5))
        trainer.begin_round(sparse=names(sparse))
        trainer.train(3, 0, 40)
        images = image_set()
        few = images.val_images[:count], images.val_labels[:count]
        first = ImageSet(images.images, images.labels, *few, images.mean, SHAPE, CLASSES, "the first ones")
        monkeypatch.setattr(trainer, "_image_set", first)
        monkeypatch.setattr(trainer, "_validation", ImagesOnDevice.of(*few))
        before = values_of(trainer)
        errors.append(trainer.validate())
        assert_same(values_of(trainer), before)
    assert errors[0] == errors[1] and errors[1].dtype == np.float32
    assert 0.1 < errors[1] < 0.7 or count == 1


@pytest.mark.slow  # two more widths to compile
@pytest.mark.parametrize("batch", [13, 40])
def test_other_widths_of_tiles(batch):
    for sparse in (LAYERS, (1,)):
        compare(sparse, (0.2, 0.5, 0.5), batch=batch, translated=True, centring="exact")


def test_kernels_are_compiled_where_no_folder_can_keep_them(monkeypatch):
    """numba refuses to compile a function that it is to keep and cannot."""
    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(lambda number: number, cache=True)
    assert compiled(lambda number: number + 1)(2) == 3


# --- bits


@pytest.mark.parametrize("sparse", [LAYERS, (0, 1), (1, 2)], ids=str)
def test_bits_do_not_depend_on_workers(sparse, monkeypatch):
    """Also where there are more than a layer has work for."""
    results = []
    for workers in (1, 1, 2, 3, 7):
        monkeypatch.setattr(steps, "workers_for", lambda work, workers=workers: workers)
        trainer = begun((0.2, 0.5, 0.6), minimizer="Adam", batch=70)
        results.append(result_of(trainer, sparse))
        assert trainer._sparse.workers == workers
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_workers_are_as_many_as_the_work_and_the_cores_are_worth(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(4), raising=False)
    found = [steps.workers_for(work) for work in (0, steps.WORK_A_WORKER, 3 * steps.WORK_A_WORKER, 2**40)]
    assert found == [1, 1, 3, 4]


@pytest.mark.parametrize("minimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("sparse", [LAYERS, (1,)], ids=str)
def test_bits_do_not_depend_on_calls(sparse, minimizer):
    """A round in one call, in some, with write_back between, or by a new process that restores a checkpoint."""
    options = {"densities": (0.2, 0.5, 0.5), "minimizer": minimizer}
    whole = result_of(begun(**options), sparse, cuts=(0, 9))
    assert_same_bits(result_of(begun(**options), sparse, cuts=(0, 1, 2, 6, 9)), whole)

    trainer = begun(**options)
    trainer.begin_round(sparse=names(sparse))
    parts = []
    for start, stop in ((0, 4), (4, 5), (5, 9)):
        parts.append(trainer.train(7, start, stop, 8))
        trainer.validate()
        trainer.write_back()
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), whole.losses)
    assert_same(values_of(trainer), whole.after)

    trainer = begun(**options)
    trainer.begin_round(sparse=names(sparse))
    trainer.train(7, 0, 5, 8)
    stored = trainer.state()
    trainer = begun(**options)
    rest = result_of(trainer, sparse, cuts=(5, 9), before=stored)
    np.testing.assert_array_equal(rest.losses, whole.losses[5:])
    assert_same(rest.after, whole.after)


@pytest.mark.parametrize("translated", [False, True])
@pytest.mark.parametrize("sparse", [LAYERS, (0, 2), (1,)])
def test_exact_moments_are_those_of_dense_layers(sparse, translated):
    """Found over 31 images at once, more than a batch of training; 151 are validated. The running moments stay."""
    trainer = begun((0.2, 0.3, 0.5), translated=translated, exact=True)
    ours = result_of(trainer, sparse)
    before = values_of(trainer)
    assert trainer.validate() == ours.validation
    for name, value in values_of(trainer).items():
        np.testing.assert_array_equal(value, before[name])
    trainer._sparse = None
    assert trainer.validate() == ours.validation
    by_running_moments = trainer._count_correct(trainer._validation)
    assert error_rate(by_running_moments.numpy(), 151) != ours.validation


def test_values_are_the_networks_own_only_after_write_back():
    trainer = begun()
    layer = trainer.model.get_layer("layer_1")
    before = layer.W.numpy()
    trainer.begin_round(sparse=names(LAYERS))
    trainer.train(7, 0, 2, 8)
    np.testing.assert_array_equal(layer.W.numpy(), before)
    trainer.write_back()
    assert np.any(layer.W.numpy() != before)
    trainer.begin_round()  # and TensorFlow's loop goes on from there
    assert trainer._sparse is None and trainer.optimizer.iterations == 2 and layer.started == 1


@pytest.mark.parametrize("translated", [False, True])
def test_streamed_images_are_the_same(translated, monkeypatch):
    monkeypatch.setattr(training, "STREAMED_BYTES", 3 * 20 * 300)
    options = {"translated": translated, "batch": 20}
    streamed = begun(preload=False, **options)
    assert streamed.most_steps == 3
    cuts = (0, 3, 6, 8)
    assert_same_bits(
        result_of(streamed, LAYERS, cuts=cuts), result_of(begun(preload=True, **options), LAYERS, cuts=cuts)
    )


# --- numbers that are not finite, or nearly so


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["layer_1/W", "layer_2/gamma", "layer_3/beta"])
def test_a_value_that_is_not_finite_makes_a_loss_that_is_not(place, value):
    """TensorFlow's relu may lose a NaN; this one does not."""
    trainer = begun()
    layer, _, name = place.partition("/")
    layer = trainer.model.get_layer(layer)
    kept = getattr(layer, f"mask_{name}").numpy() if name in "Wb" else 1
    variable = getattr(layer, name)
    variable.assign(np.where(kept == 1, np.float32(value), variable.numpy()))
    trainer.begin_round(sparse=names(LAYERS))
    _, losses = trainer.train(7, 0, 2, 8)
    assert not np.any(np.isfinite(losses))


@pytest.mark.parametrize("apart", [40, 60, 75, 200])
def test_logits_that_are_far_apart(apart):
    """The loss saturates at 69 and its gradient vanishes there; between, both follow the formula."""
    results = []
    for sparse in ((), LAYERS):
        trainer = begun((0.5, 0.5, 0.5))
        trainer.model.get_layer("layer_3").b.assign([0, apart, 0, 0])
        results.append(result_of(trainer, sparse, cuts=(0, 1)))
    assert_close(*results, 1e-4)
    assert apart < 100 or results[0].losses > 40


# --- which layers


def layer(inputs, outputs, prunable=True):
    return SimpleNamespace(prunable=prunable, is_dense=True, shape=(inputs, outputs))


def masks_at(sizes, densities):
    masks = {}
    for number, ((inputs, outputs), density) in enumerate(zip(sizes, densities, strict=True)):
        W = np.zeros(inputs * outputs)
        W[: round(density * W.size)] = 1
        masks[number] = Mask(W.reshape(inputs, outputs), np.ones(outputs))
    return masks


BATCH = 64
LARGE = 2**8, LEAST_WORK // BATCH // 2**8  # just worth a call
SMALL = LARGE[0], LARGE[1] - 1


@pytest.mark.parametrize(
    ("choice", "sizes", "densities", "prunable", "expected"),
    [
        ("never", [LARGE, LARGE], [0.01, 0.01], [1, 1], ()),
        ("always", [LARGE, SMALL, LARGE], [1.0, 0.0, 0.5], [1, 1, 0], (0, 1)),
        ("always", [LARGE], [0.5], [0], ()),
        ("auto", [LARGE, LARGE, LARGE], [1.0, LARGEST_DENSITY + 0.01, LARGEST_DENSITY - 0.01], [1, 1, 1], (2,)),
        ("auto", [SMALL, LARGE], [0.01, 0.01], [1, 1], (1,)),
        ("auto", [LARGE, LARGE], [0.01, 0.01], [0, 1], (1,)),
        ("auto", [LARGE], [0.0], [1], (0,)),
    ],
)
def test_which_layers_are_sparse(choice, sizes, densities, prunable, expected):
    specs = [layer(*size, bool(flag)) for size, flag in zip(sizes, prunable, strict=True)]
    assert sparse_layers(choice, masks_at(sizes, densities), specs, BATCH) == expected


def test_what_stands_in_the_way(monkeypatch):
    dense, convolutional = (build_specs(parse_arch(arch), (True,) * 9, SHAPE, CLASSES) for arch in (ARCH, "c2,3:f5:x"))
    assert obstacle(dense) == "" and obstacle(convolutional) == "convolutions are always dense"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert obstacle(dense) == "the package numba is not installed"


# --- whole runs

OF_20 = "Network.batch_size=20", "Network.minimizer=Adam", "Network.learning_rate=0.01"
ALWAYS = *OF_20, "Network.sparse=always"


@pytest.fixture(scope="module")
def always(tmp_path_factory):
    return run(tmp_path_factory.mktemp("sparse") / "always", *ALWAYS)[0]


def sparse_of(directory):
    return [entry["sparse_layers"] for _, entry in sorted(directory.read_record()["rounds"].items())]


def test_a_run_goes_on_to_the_same_bits_after_an_interruption(always, tmp_path):
    directory, _ = interrupt(tmp_path / "run", 1, 7, *ALWAYS)
    assert directory.rounds() == [0] and directory.read_progress(12).sparse == (0, 1)
    run(tmp_path / "run", *ALWAYS)
    assert files_of(directory) == files_of(always)
    assert sparse_of(directory) == sparse_of(always) == [[1, 2]] * 4  # layers 1, 2, as in all that is shown


def test_exact_moments_at_validation_change_nothing_else(always, tmp_path):
    """Weights, masks and moments have the same bits as without, validation errors are those of dense layers, and an
    interruption changes no bit."""
    exact = "Network.validation_moments=exact"
    whole, _ = run(tmp_path / "whole", *ALWAYS, exact)
    for ours, theirs in zip(rounds_of(whole), rounds_of(always), strict=True):
        assert_same(ours.masks, theirs.masks)
        for one, other in zip(ours.checkpoints, theirs.checkpoints, strict=True):
            assert_same(one.parameters, other.parameters)
            assert_same(one.moments, other.moments)
        np.testing.assert_array_equal(ours.training_errors, theirs.training_errors)
    assert any(
        not np.array_equal(ours.validation_errors, theirs.validation_errors)
        for ours, theirs in zip(rounds_of(whole), rounds_of(always), strict=True)
    )
    directory, _ = interrupt(tmp_path / "run", 1, 7, *ALWAYS, exact)
    run(tmp_path / "run", *ALWAYS, exact)
    assert files_of(directory) == files_of(whole)


def test_a_round_in_progress_is_finished_as_it_began(always, tmp_path):
    directory, _ = interrupt(tmp_path / "run", 1, 7, *ALWAYS)
    run(tmp_path / "run", *OF_20, "Network.sparse=never")
    assert directory.round_path(1).read_bytes() == always.round_path(1).read_bytes()
    assert sparse_of(directory) == [[1, 2], [1, 2], [], []]
    assert directory.round_path(2).read_bytes() != always.round_path(2).read_bytes()


@pytest.mark.parametrize(
    ("method", "changes"),
    [(IMP, ()), ("[LayerByLayer]\nprune = T:T:F\nweights_step = 3\n", ("Network.steps=30",))],
    ids=["IMP", "LayerByLayer"],
)
def test_a_run_by_kept_weights_is_the_dense_one_to_rounding(method, changes, tmp_path):
    """Masks and errors are equal, also where layers are frozen, and what is left of a layer is pruned."""
    changes = "Network.batch_size=20", "Network.centring=exact", *changes
    results = []
    for choice in ("never", "always"):
        directory, _ = run(tmp_path / choice, *changes, f"Network.sparse={choice}", method=method)
        results.append(rounds_of(directory))
    assert len(results[0]) == len(results[1]) > 3
    for theirs, ours in zip(*results, strict=True):
        assert_same(ours.masks, theirs.masks)
        np.testing.assert_array_equal(ours.training_errors, theirs.training_errors)
        np.testing.assert_array_equal(ours.validation_errors, theirs.validation_errors)
        for one, other in zip(ours.checkpoints, theirs.checkpoints, strict=True):
            for number, values in one.parameters.items():
                for a, b in zip(values, other.parameters[number], strict=True):
                    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_a_run_that_diverges(tmp_path):
    with pytest.raises(TrainingDiverged, match="^round 0, step [1-9][0-9]?: the loss is nan; "):
        run(tmp_path / "run", "Network.batch_size=20", "Network.sparse=always", "Network.learning_rate=1e30")
