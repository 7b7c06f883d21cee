"""The training loop: loss, sampling, cutting a round into calls, jit, streaming, masks, validation."""

import copy
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_networks import network_inputs
from synthetic import assert_same

from sifting.architecture import build_specs, parse_arch
from sifting.base.random_streams import Stream, device_key
from sifting.datasets.image_set import ImageSet
from sifting.experiment.sections import MOMENT_IMAGES
from sifting.network.forward import ScoredNetwork, forward, moments_over
from sifting.network.model import NetworkState, build_model, initial_masks, initial_parameters
from sifting.training import trainer as training
from sifting.training.trainer import (
    MomentImages,
    Trainer,
    build_optimizer,
    count_correct,
    cross_entropy,
    draw_uniformly,
    error_rate,
)

SHAPE, CLASSES, BATCH = (3, 4, 4), 4, 6
modes = pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])


def cases(names, *values):
    """pytest.mark.parametrize with a line of text for each case; compiling takes seconds, so not all combinations."""
    return pytest.mark.parametrize(names, values, ids=lambda value: str(value).lower())


def image_set(count=40, val_count=15, shape=SHAPE, seed=0):
    """Random pixels; the class brightens its own quarter of the features."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))

    def draw(number):
        labels = rng.integers(0, CLASSES, number).astype(np.int32)
        bright = np.arange(size) * CLASSES // size == labels[:, None]
        return (rng.integers(0, 150, (number, size)) + 60 * bright).astype(np.uint8), labels

    images, labels = draw(count)
    return ImageSet(images, labels, *draw(val_count), images.mean(0, dtype=np.float32), shape, CLASSES, "random")


class Reports(list):
    """Collects what a trainer reports."""

    __call__ = list.append


def trainer_of(images=None, arch="f8:x", minimizer="SGD", sparsity=0.0, seed=1, **options):
    """A trainer at the seed's initial values, and its NetworkState."""
    images = images or image_set()
    specs = build_specs(parse_arch(arch), (True,) * 9, images.shape, images.classes)
    model = build_model(specs, images.shape)
    state = NetworkState(model, specs)
    state.set_parameters(initial_parameters(specs, seed))
    masks = initial_masks(specs, sparsity, seed)
    state.set_masks({layer: mask._replace(b=half(mask.b, sparsity)) for layer, mask in masks.items()})
    options.setdefault("report", pytest.fail)
    rate = {"SGD": 0.1, "Adam": 0.01}[minimizer]
    return Trainer(model, build_optimizer(minimizer, rate), images, BATCH, **options), state


def move(state: NetworkState) -> None:
    """Values and running moments as they might be in the middle of a training."""
    rng = np.random.default_rng(2)
    for values, set_values in (
        (state.parameters(), state.set_parameters),
        (state.moments(), partial(state.set_moments, started=True)),
    ):
        set_values({layer: type(of)(*(x + rng.uniform(0, 0.3, x.shape) for x in of)) for layer, of in values.items()})


def half(mask_b, sparsity):
    """Mask every second bias as well, where weights are masked."""
    return np.where(np.arange(mask_b.size) % 2, 1, float(sparsity == 0)).astype(np.float32)


# --- loss and errors


def loss_by_formula(logits, labels):
    """-log(p + 1e-30), p = e / sum(e + 1e-10), in float64."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e[np.arange(len(e)), labels] / np.sum(e + 1e-10, axis=1)
    return -np.mean(np.log(p + 1e-30))


def test_loss_follows_the_references_formula():
    rng = np.random.default_rng(0)
    for spread in (0.1, 1, 5, 30, 100):
        logits, labels = rng.normal(0, spread, (50, 10)), rng.integers(0, 10, 50).astype(np.int32)
        ours = cross_entropy(tf.constant(logits, tf.float32), labels)
        np.testing.assert_allclose(ours, loss_by_formula(logits.astype(np.float32).astype(float), labels), rtol=2e-6)


@modes
def test_loss_saturates_at_69_without_gradient(jit):
    @tf.function(jit_compile=jit, autograph=False)
    def loss_and_gradient(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = cross_entropy(logits, tf.constant([0]))
        return loss, tape.gradient(loss, logits)

    loss, gradient = loss_and_gradient(tf.constant([[0.0, 200.0, 0.0]]))
    np.testing.assert_allclose(loss, -np.log(1e-30), rtol=1e-6)
    np.testing.assert_allclose(loss, 69.0776, rtol=1e-6)
    np.testing.assert_array_equal(gradient, np.zeros((1, 3)))
    loss, gradient = loss_and_gradient(tf.constant([[0.0, 40.0, 0.0]]))  # not yet
    np.testing.assert_allclose(loss, 40, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-1, 1, 0]], atol=1e-6)


def test_count_correct_and_error_rate_by_hand():
    logits = tf.constant([[1.0, 2.0, 0.0], [5.0, 5.0, 5.0], [0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(count_correct(logits, tf.constant([1, 0, 0])), [1, 1, 0])  # a tie: the first one
    assert error_rate(30, 40) == np.float32(0.25) and error_rate(30, 40).dtype == np.float32
    # As the reference rounds it: the accuracy in float32, then the difference.
    assert error_rate(933, 1000) == np.float32(1) - np.float32(0.933) != np.float32(0.067)


def test_adam_steps_by_hand():
    """TensorFlow 1's Adam: x -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon), tiny gradients too."""
    adam, x = build_optimizer("Adam", 0.1), keras.Variable(np.zeros(3, np.float32))
    adam.build([x])
    expected, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    for t in range(1, 4):
        gradient = np.array([t, -1e-8, 0.0])
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        adam.apply([tf.constant(gradient, tf.float32)], [x])
    np.testing.assert_allclose(x, expected, rtol=1e-5)


# --- random draws


def test_batches_are_the_same_under_jit_and_plain_and_depend_on_key_and_step_alone():
    rows = draw_uniformly(1000, 64)
    compiled = tf.function(rows, jit_compile=True, autograph=False)
    drawn = []
    for key in (device_key(3, Stream.BATCHES, 0), device_key(3, Stream.BATCHES, 1), device_key(4, Stream.BATCHES, 0)):
        for step in (0, 1, 100000):
            arguments = tf.constant(key, tf.int64), tf.constant(step, tf.int64)
            drawn.append(rows(*arguments).numpy())
            np.testing.assert_array_equal(compiled(*arguments), drawn[-1])
            np.testing.assert_array_equal(rows(*arguments), drawn[-1])
    assert len({tuple(batch) for batch in drawn}) == 9


def test_batches_are_known():
    """The draws must never change: they are part of every recorded run."""
    key = device_key(0, Stream.BATCHES, 0)
    rows = draw_uniformly(60000, 5)(tf.constant(key, tf.int64), tf.constant(7, tf.int64))
    assert key == 8897364151550420695
    np.testing.assert_array_equal(rows, [2786, 3222, 19593, 37149, 42528])


# --- the loop


@modes
def test_one_step_records_loss_and_error_of_its_batch_before_the_update(jit):
    images = image_set()
    trainer, _ = trainer_of(images, jit_compile=jit)
    other, _ = trainer_of(images, jit_compile=False)
    rows = draw_uniformly(40, BATCH)(tf.constant(9, tf.int64), tf.constant(3, tf.int64)).numpy()
    inputs = (images.images[rows].astype(np.float32) - images.mean) / 255
    logits = other.model(inputs, training=True)
    errors, losses = trainer.train(9, 3, 4)
    assert errors.dtype == losses.dtype == np.float32
    np.testing.assert_allclose(losses, [cross_entropy(logits, images.labels[rows])], rtol=1e-5)
    np.testing.assert_allclose(errors, [1 - np.mean(np.argmax(logits, axis=1) == images.labels[rows])], atol=1e-6)


def test_one_sgd_step_equals_the_plain_formula():
    """W - rate * gradient, with the gradient of the network written out in float64."""
    images = image_set()
    trainer, state = trainer_of(images, arch="f8:x", sparsity=0.4, jit_compile=False)
    layers = [{k: tf.constant(v, tf.float64) for k, v in p._asdict().items()} for p in state.parameters().values()]
    masks = [
        (tf.constant(layer.mask_W.numpy(), tf.float64), tf.constant(layer.mask_b.numpy(), tf.float64))
        for layer in trainer.model.layers
    ]
    rows = draw_uniformly(40, BATCH)(tf.constant(9, tf.int64), tf.constant(0, tf.int64)).numpy()
    with tf.GradientTape() as tape:
        tape.watch(layers)
        x = tf.constant((images.images[rows].astype(float) - images.mean) / 255)
        for index, (layer, (mask_W, mask_b)) in enumerate(zip(layers, masks, strict=True)):
            z = (x - tf.reduce_mean(x, 0)) / tf.sqrt(tf.math.reduce_variance(x, 0) + 1e-10)
            x = (layer["gamma"] * z + layer["beta"]) @ (layer["W"] * mask_W) + layer["b"] * mask_b
            x = x if index else tf.nn.relu(x)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=images.labels[rows], logits=x))
    gradients = tape.gradient(loss, layers)
    trainer.train(9, 0, 1)
    for after, before, gradient in zip(state.parameters().values(), layers, gradients, strict=True):
        for name, value in after._asdict().items():
            np.testing.assert_allclose(value, before[name] - 0.1 * gradient[name], rtol=1e-4, atol=2e-6)


@cases(("jit", "minimizer"), (False, "SGD"), (True, "Adam"))
def test_cutting_a_round_into_calls_changes_no_bit(jit, minimizer):
    trainer, _ = trainer_of(minimizer=minimizer, jit_compile=jit)
    begin = trainer.state()
    errors, losses = trainer.train(5, 0, 13)
    assert errors.shape == losses.shape == (13,)
    whole = trainer.state()
    trainer.restore(begin)
    parts = []
    for start, stop in ((0, 1), (1, 2), (2, 9), (9, 13)):
        parts.append(trainer.train(5, start, stop))
        trainer.validate()
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), errors)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), losses)
    assert_same(trainer.state(), whole)


def test_state_and_restore_continue_to_the_same_bits():
    whole, _ = trainer_of(minimizer="Adam", jit_compile=False)
    whole.train(5, 0, 6)
    stored = whole.state()
    held = copy.deepcopy(stored)
    whole.train(5, 6, 12)
    assert_same(stored, held)  # a copy, not a view
    other, _ = trainer_of(minimizer="Adam", jit_compile=False, seed=99)
    other.restore(stored)
    other.train(5, 6, 12)
    assert_same(whole.state(), other.state())


def test_xla_is_the_default_but_for_convolutions_on_a_cpu(monkeypatch):
    def chosen(arch):
        return trainer_of(arch=arch)[0].jit_compile

    for gpu in (True, False):
        monkeypatch.setattr(training, "on_gpu", lambda gpu=gpu: gpu)
        assert chosen("f8:x") and chosen("c2,3:x") == gpu


@cases(("arch", "minimizer"), ("f8:f5:x", "SGD"), ("c2,3:p2,1:x", "Adam"))
def test_jit_equals_plain_to_rounding(arch, minimizer):
    plain, compiled = (trainer_of(arch=arch, minimizer=minimizer, jit_compile=jit) for jit in (False, True))
    results = [trainer.train(5, 0, 12) for trainer, _ in (plain, compiled)]
    assert compiled[0].jit_compile
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-3)
    tolerance = 1e-4 if minimizer == "SGD" else 1e-3  # Adam divides tiny gradients by their size
    theirs = compiled[1].parameters()
    for layer, values in plain[1].parameters().items():
        for one, other in zip(values, theirs[layer], strict=True):
            largest = np.max(np.abs(other), initial=1)
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * largest)
    assert plain[0].validate() == compiled[0].validate()


# --- where the images are


@cases(("jit", "most_steps"), (False, 1), (True, 3))
def test_streaming_equals_resident_bit_for_bit(jit, most_steps, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "STREAMED_BYTES", most_steps * BATCH * 48)
    monkeypatch.setattr(training, "GATHERED", BATCH - 1)  # several threads fill a batch
    images = image_set()
    images.images.tofile(tmp_path / "images")
    mapped = np.memmap(tmp_path / "images", np.uint8, "r", shape=images.images.shape)
    streamed, _ = trainer_of(ImageSet(mapped, *list(vars(images).values())[1:]), preload=False, jit_compile=jit)
    resident, _ = trainer_of(images, jit_compile=jit)
    assert streamed.most_steps == most_steps
    for key in (5, 6):  # two rounds
        parts = [streamed.train(key, start, min(start + most_steps, 8)) for start in range(0, 8, most_steps)]
        errors, losses = resident.train(key, 0, 8)
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), errors)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), losses)
    assert_same(streamed.state(), resident.state())


def test_streaming_serves_steps_in_any_order(monkeypatch):
    """What was gathered ahead is used only where it is what is asked for."""
    monkeypatch.setattr(training, "STREAMED_BYTES", 4 * BATCH * 48)
    images = image_set()
    source = training.StreamedImages(images.images, images.labels, draw_uniformly(40, BATCH), BATCH)
    for key, start, stop in ((1, 0, 4), (1, 4, 6), (1, 5, 9), (2, 9, 10), (1, 0, 4), (1, 4, 8)):
        on_device = source.on_device(key, start, stop)
        for step in range(start, stop):
            key_tensor, step_tensor, start_tensor = (tf.constant(value, tf.int64) for value in (key, step, start))
            drawn = draw_uniformly(40, BATCH)(key_tensor, step_tensor).numpy()
            pixels, labels = on_device.batch(source.batch_rows(key_tensor, step_tensor, start_tensor), 48)
            np.testing.assert_array_equal(pixels, images.images[drawn])
            np.testing.assert_array_equal(labels, images.labels[drawn])


def test_eight_pixels_are_one_number_on_a_gpu(monkeypatch):
    """And come back as they were, whatever the size of the images. Its kernels do not gather uint8."""
    monkeypatch.setattr(training, "on_gpu", lambda: True)
    rng = np.random.default_rng(0)
    rows = np.array([8, 0, 0, 5])
    for size in (1, 7, 8, 27, 3072):
        images, labels = rng.integers(0, 256, (9, size), np.uint8), np.arange(9, dtype=np.int32)
        on_device = training.ImagesOnDevice.of(images, labels)
        assert on_device.pixels.dtype == on_device.labels.dtype == tf.int64
        found, of_labels = on_device.batch(tf.constant(rows), size)
        np.testing.assert_array_equal(found, images[rows])
        np.testing.assert_array_equal(of_labels, rows)


def test_images_that_do_not_fit_into_memory_are_streamed_and_it_is_said(monkeypatch):
    monkeypatch.setattr(training, "on_gpu", lambda: False)
    monkeypatch.setattr(training, "available_memory", lambda: 1000)
    reports = Reports()
    trainer, _ = trainer_of(report=reports)
    assert len(reports) == 1 and "streaming them from disk" in reports[0]
    assert isinstance(trainer._images, training.StreamedImages)


ROWS_BEYOND = 2**31 // 3072 + 100  # images of 32 x 32 x 3 whose last rows lie beyond 2**31 bytes


def large_image_set(tmp_path):
    """A sparse file of zeros, but for its last three images; and the small set of the images that a batch takes."""
    picked = np.array([ROWS_BEYOND - 1, 0, ROWS_BEYOND - 3, ROWS_BEYOND - 2, 5, ROWS_BEYOND - 1])
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(ROWS_BEYOND, 3072))
    mapped[-3:] = np.random.default_rng(0).integers(0, 256, (3, 3072))
    mapped.flush()
    labels = (np.arange(ROWS_BEYOND) % CLASSES).astype(np.int32)
    validation, mean = (np.zeros((2, 3072), np.uint8), np.zeros(2, np.int32)), np.full(3072, 100, np.float32)
    rest = (*validation, mean, (3, 32, 32), CLASSES, "")
    large = ImageSet(np.memmap(tmp_path / "images", np.uint8, "r", shape=mapped.shape), labels, *rest)
    return large, ImageSet(np.array(mapped[picked]), labels[picked], *rest), picked.astype(np.int32)


def assert_last_rows_are_reached(tmp_path, **options):
    large, small, picked = large_image_set(tmp_path)
    trainer, _ = trainer_of(large, arch="f3:x", rows=lambda key, step: tf.constant(picked), **options)
    expected, _ = trainer_of(
        small, arch="f3:x", rows=lambda key, step: tf.range(BATCH), jit_compile=options["jit_compile"]
    )
    assert large.images.nbytes > 2**31
    np.testing.assert_array_equal(trainer.train(0, 0, 2), expected.train(0, 0, 2))
    assert_same(trainer.state(), expected.state())


def test_streaming_reaches_rows_beyond_two_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STREAMED_BYTES", 2 * BATCH * 3072)
    assert_last_rows_are_reached(tmp_path, jit_compile=False, preload=False)


@pytest.mark.slow  # holds all these bytes in memory
@modes
def test_resident_images_reach_rows_beyond_two_gigabytes(jit, tmp_path):
    assert_last_rows_are_reached(tmp_path, jit_compile=jit)


# --- optimizer state and masks


@pytest.mark.parametrize("minimizer", ["SGD", "Adam"])
def test_frozen_layers_do_not_move_by_a_bit_and_others_train(minimizer):
    """W, b, gamma and beta, that is; their running moments follow the data. Freezing can change from round to round;
    the loop is traced once for each choice."""
    trainer, _ = trainer_of(arch="f8:f6:x", minimizer=minimizer, jit_compile=False)
    layers = [trainer.model.get_layer(f"layer_{index + 1}") for index in range(3)]

    def values():
        return [[variable.numpy() for variable in layer.trainable_variables] for layer in layers]

    before = values()
    for frozen in ((), (0,), (1, 2), (0,), ()):
        trainer.begin_round([f"layer_{index + 1}" for index in frozen])
        moments = layers[0].running_mean.numpy()
        trainer.train(5, 0, 6)
        after = values()
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            assert len(new) == 4
            unchanged = [np.array_equal(a, b) for a, b in zip(old, new, strict=True)]
            assert unchanged == [index in frozen] * 4, (frozen, index)
        assert np.any(layers[0].running_mean.numpy() != moments)
        before = after
    assert trainer._train.experimental_get_tracing_count() == 3


def test_a_frozen_layer_passes_gradients_on():
    """Plain SGD: the layers that are trained take the same first step as without freezing."""
    free, frozen = (trainer_of(arch="f8:f6:x", jit_compile=False)[0] for _ in range(2))
    frozen.begin_round(["layer_2"])
    for trainer in (free, frozen):
        trainer.train(5, 0, 1)
    for index in (0, 2):
        one, other = (trainer.model.get_layer(f"layer_{index + 1}") for trainer in (free, frozen))
        for a, b in zip(one.trainable_variables, other.trainable_variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


@cases(("arch", "minimizer", "jit"), ("f8:x", "SGD", False), ("c2,6:f5:x", "Adam", True))
def test_masked_weights_and_biases_do_not_move_by_a_bit(arch, minimizer, jit):
    """Also where they are not zero: after a rewind they hold their rewound values."""
    trainer, state = trainer_of(arch=arch, minimizer=minimizer, sparsity=0.5, jit_compile=jit)
    moved = {n: values._replace(b=np.full_like(values.b, 0.25)) for n, values in state.parameters().items()}
    state.set_parameters(moved)
    trainer.train(5, 0, 20)
    for index, after in state.parameters().items():
        layer = trainer.model.get_layer(f"layer_{index + 1}")
        for name in ("W", "b") if after.b.size else ("W",):
            masked = getattr(layer, f"mask_{name}").numpy() == 0
            old, new = getattr(moved[index], name), getattr(after, name)
            assert masked.any() and not masked.all()
            np.testing.assert_array_equal(new[masked], old[masked])
            assert np.mean(new[~masked] != old[~masked]) > 0.5


# --- validation


@cases(("count", "jit"), (1, False), (7, False), (8, False), (23, True))
def test_validation_in_blocks_counts_every_image_once(count, jit, monkeypatch):
    monkeypatch.setattr(training, "VALIDATION_BLOCK", 7)
    images = image_set(val_count=count)
    trainer, state = trainer_of(images, arch="f5:x", jit_compile=jit)
    move(state)
    before = trainer.state()
    error = trainer.validate()
    inputs = (images.val_images.astype(np.float32) - images.mean) / 255
    correct = np.argmax(trainer.model(inputs), axis=1) == images.val_labels
    assert error == error_rate(np.sum(correct), count) and error.dtype == np.float32
    assert_same(trainer.state(), before)  # running moments above all


@cases(("arch", "shifted", "jit"), ("f8:f6:x", False, True), ("f8:f6:x", True, False), ("c3,4:f6:x", False, False))
def test_validation_by_exact_moments(arch, shifted, jit):
    """Those of the images chosen, layer after layer, in float64; and nothing of them stays."""
    images = image_set(val_count=30)
    rows = np.arange(3, 33)
    shifts = np.random.default_rng(0).integers(0, 2, (30, 2), dtype=np.int32) if shifted else None
    trainer, state = trainer_of(images, arch, jit_compile=jit, moments_of=MomentImages(rows, shifts))
    move(state)
    before = trainer.state()
    error = trainer.validate()
    assert_same(trainer.state(), before)
    chosen, validation = (network_inputs(pixels, images.mean) for pixels in (images.images[rows], images.val_images))
    if shifted:
        planes = chosen.reshape(-1, *images.shape)
        chosen = np.stack([np.roll(plane, shift, axis=(1, 2)) for plane, shift in zip(planes, shifts, strict=True)])
    specs = build_specs(parse_arch(arch), (True,) * 9, images.shape, images.classes)
    network = ScoredNetwork(specs, images.shape, state.parameters(), initial_masks(specs, 0.0, 1))
    moments = moments_over(network, chosen.reshape(30, -1))
    correct = np.argmax(forward(network, tf.cast(validation, tf.float64), moments), axis=1) == images.val_labels
    assert error == error_rate(np.sum(correct), 30)


def test_images_for_moments_are_drawn():
    """Without replacement, all of few; translated where training translates."""
    few, many = (MomentImages.drawn(np.random.default_rng(1), count, most) for count, most in ((30, 0), (9000, 3)))
    assert few.rows.tolist() == list(range(30)) and few.shifts is None
    assert len(np.unique(many.rows)) == MOMENT_IMAGES and many.rows.max() > 8900
    assert many.shifts.shape == (MOMENT_IMAGES, 2) and np.unique(many.shifts).tolist() == [0, 1, 2, 3]


# --- without XLA


def test_what_xla_cannot_compile_is_announced_and_trained_without_it():
    """A sampler that calls back into Python is beyond XLA; the values at the start are kept."""

    def rows(key, step):
        drawn = tf.numpy_function(lambda s: np.arange(s, s + BATCH, dtype=np.int32), [step], tf.int32)
        return tf.ensure_shape(drawn, (BATCH,))

    reports = Reports()
    trainer, _ = trainer_of(rows=rows, jit_compile=True, report=reports)
    plain, _ = trainer_of(rows=rows, jit_compile=False)
    np.testing.assert_array_equal(trainer.train(5, 0, 6), plain.train(5, 0, 6))
    assert len(reports) == 1
    assert reports[0].startswith("XLA cannot compile the training loop (") and "\n" not in reports[0]
    assert not trainer.jit_compile
    trainer.train(5, 6, 9)
    plain.train(5, 6, 9)
    assert trainer.validate() == plain.validate()
    assert_same(trainer.state(), plain.state())
    assert len(reports) == 1  # said once


def test_a_failure_of_validation_also_turns_xla_off(monkeypatch):
    reports = Reports()
    trainer, _ = trainer_of(jit_compile=True, report=reports)
    plain, _ = trainer_of(jit_compile=False)

    def refuse(*_):
        raise tf.errors.InvalidArgumentError(None, None, "first line\nsecond line")

    monkeypatch.setattr(trainer, "_validate", refuse)
    assert trainer.validate() == plain.validate()
    assert reports == ["XLA cannot compile the training loop (first line): going on without it, more slowly"]


def test_other_failures_are_not_hidden():
    trainer, _ = trainer_of(jit_compile=True)

    def refuse(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    trainer._train = refuse
    with pytest.raises(tf.errors.ResourceExhaustedError):
        trainer.train(5, 0, 3)
    assert trainer.jit_compile


# --- learning


@cases(("arch", "jit"), ("f16:x", True), ("c3,4:p2,2:f16:x", False))
def test_the_error_falls(arch, jit):
    images = image_set(200, 100, shape=(3, 8, 8))
    trainer, _ = trainer_of(images, arch=arch, jit_compile=jit)
    before = trainer.validate()
    errors, losses = trainer.train(5, 0, 300)
    assert before > 0.5 and trainer.validate() < 0.1
    assert errors[-50:].mean() < 0.1 < 0.3 < errors[:10].mean()
    assert losses[-50:].mean() < 0.3 * losses[:10].mean()
