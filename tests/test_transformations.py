"""[Data] rotate and translate: what they do to images, what training sees of it, and what is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from synthetic import assert_same, write_input
from test_training import BATCH, SHAPE, modes, trainer_of
from tiny_runs import files_of, interrupt, run
from tiny_runs import image_set as tiny_images

from sifting import datasets, inputs
from sifting.base.random_streams import Stream, device_key
from sifting.datasets import describe, rotation
from sifting.datasets.image_set import ImageSet
from sifting.datasets.rotation import operator, rotate, valid_pixels
from sifting.errors import InputError
from sifting.network.statistics import ImageBlocks
from sifting.training import trainer as training
from sifting.training.plan import plan
from sifting.training.trainer import cross_entropy, draw_uniformly, translate


@pytest.fixture
def experiment(tmp_path):
    """experiment(*assignments): 300 + 40 embedded images, with a cache in tmp_path."""
    return lambda *assignments: inputs.read_experiment([str(write_input(tmp_path))], assignments)


IMAGES = tiny_images(15)


def rotated_images() -> ImageSet:
    turn = operator(SHAPE[1], 20.0)
    return dataclasses.replace(
        IMAGES,
        images=np.rint(rotate(IMAGES.images, turn)).astype(np.uint8),
        val_images=np.rint(rotate(IMAGES.val_images, turn)).astype(np.uint8),
        mean=rotate(IMAGES.mean, turn).astype(np.float32),
        valid=np.tile(valid_pixels(turn), SHAPE[0]),
    )


# --- rotate: pixels ------------------------------------------------------------------------------------------------


def turned(image, degrees):
    """One plane, and which pixels of it are valid."""
    image = np.asarray(image)
    turn = operator(len(image), degrees)
    return rotate(image.reshape(1, -1), turn).reshape(image.shape), valid_pixels(turn).reshape(image.shape)


def test_a_letter_turns_counter_clockwise():
    """As it is seen, with the first row on top: the stem of an L falls to the left, its foot then points up."""
    letter = [[9, 0, 0, 0], [9, 0, 0, 0], [9, 0, 0, 0], [9, 9, 0, 0]]
    fallen = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 9], [9, 9, 9, 9]]
    assert turned(letter, 90)[0].tolist() == fallen
    assert turned(fallen, -90)[0].tolist() == letter


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_quarter_turns_equal_rot90_exactly_in_every_channel(size):
    images = np.random.default_rng(0).integers(0, 256, (3, 2, size, size), dtype=np.uint8)
    for quarters in range(-5, 6):
        turn = operator(size, 90.0 * quarters)
        found = rotate(images.reshape(3, -1), turn).reshape(images.shape)
        np.testing.assert_array_equal(found, np.rot90(images, quarters, axes=(2, 3)))
        assert valid_pixels(turn).all()


@pytest.mark.parametrize("degrees", [20.0, -33.3, 170.0, 1e-3, 745.0])
@pytest.mark.parametrize("size", [7, 32])
def test_ramps_turn_exactly_and_pixels_are_valid_where_their_source_lies_inside(size, degrees):
    """Bilinear interpolation is exact for a + b x + c y, y up; turning by t moves it to a + b x' + c y'."""
    y, x = (size - 1) / 2 - np.mgrid[:size, :size][0], np.mgrid[:size, :size][1] - (size - 1) / 2
    t = np.deg2rad(degrees)
    source_x, source_y = np.cos(t) * x + np.sin(t) * y, np.cos(t) * y - np.sin(t) * x
    found, valid = turned(100 + 2 * x - 0.7 * y, degrees)
    inside = np.maximum(np.abs(source_x), np.abs(source_y)) <= (size - 1) / 2
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_allclose(found, np.where(inside, 100 + 2 * source_x - 0.7 * source_y, 0), atol=1e-6)
    np.testing.assert_array_equal(valid, np.rot90(valid))  # a turned square
    np.testing.assert_array_equal(valid.T, turned(100 + x, -degrees)[1])


def test_valid_pixels_of_the_papers_angle():
    valid = valid_pixels(operator(32, 20)).reshape(32, 32)
    assert valid.sum() == 868 and np.flatnonzero(valid[0]).tolist() == list(range(13, 27)) and valid[16].all()


# --- rotate: image sets --------------------------------------------------------------------------------------------


def test_rotated_images_are_the_interpolated_ones_with_an_exact_zero_wherever_there_is_no_source(experiment):
    original = datasets.load(experiment(), lambda line: None)
    found = datasets.load(experiment("Data.rotate=20"), lambda line: None)
    turn = operator(32, 20)
    for name in ("images", "val_images"):
        np.testing.assert_array_equal(getattr(found, name), np.rint(rotate(getattr(original, name), turn)))
        assert getattr(found, name).dtype == np.uint8 and np.all(getattr(found, name)[:, ~found.valid] == 0)
    np.testing.assert_allclose(found.mean, rotate(original.mean, turn), rtol=1e-6)
    assert found.mean.dtype == np.float32 and np.all(found.mean[~found.valid] == 0)
    assert found.valid.dtype == bool and found.valid.shape == (3072,) and found.valid.sum() == 3 * 868
    assert original.valid is None
    np.testing.assert_array_equal(found.labels, original.labels)
    np.testing.assert_array_equal(found.val_labels, original.val_labels)
    assert found.source == f"{original.source}, rotated by 20.0 degrees counter-clockwise: 868 of 1024 pixels are valid"
    assert (found.shape, found.classes, found.class_names) == (original.shape, original.classes, original.class_names)


def test_rotation_follows_the_clone_and_precedes_ratio_and_class_map(experiment):
    clone = datasets.load(experiment("Data.clone=gaussian"), lambda line: None)
    changes = "Data.clone=gaussian", "Data.rotate=-30", "Data.data_ratio=0.5", "Data.reclass=m,3", "Data.preload=false"
    found = datasets.load(experiment(*changes), lambda line: None)
    np.testing.assert_array_equal(found.images, np.rint(rotate(clone.images[:150], operator(32, -30))))
    np.testing.assert_array_equal(found.labels, clone.labels[:150] % 3)
    assert found.classes == 3 and found.source.startswith(f"{clone.source}, rotated by -30.0 degrees")
    assert found.valid.sum() == 3 * valid_pixels(operator(32, 30)).sum()


def test_rotated_images_are_made_once_and_mapped(experiment, monkeypatch):
    lines = []
    monkeypatch.setattr(rotation, "REPORT_SECONDS", 0)
    turned = experiment("Data.rotate=20")
    first = datasets.load(turned, lines.append)
    assert "Rotating 340 images of EdgeCollage32 by 20.0 degrees, once" in lines
    assert lines[-3:] == ["Rotated 256 of 340 images", "Rotated 300 of 340 images", "Rotated 340 of 340 images"]
    again = datasets.load(turned, pytest.fail)
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.valid, first.valid)
    assert isinstance(again.images.base, np.memmap)
    other = datasets.load(experiment("Data.rotate=21"), lines.append)
    assert not np.array_equal(other.images, first.images)


def test_described_pixels_are_those_with_a_source():
    images = rotated_images()
    pixels = images.images.reshape(-1, 3, 16).astype(float)[:, :, images.valid[:16]]
    means, deviations = describe.pixel_moments(images)
    np.testing.assert_allclose(means, pixels.mean(axis=(0, 2)))
    np.testing.assert_allclose(deviations, pixels.std(axis=(0, 2)))


# --- rotate: what the network sees ---------------------------------------------------------------------------------


@modes
def test_pixels_without_a_source_stay_exactly_zero_through_training_and_validation(jit):
    """Noise there, times 1e5, would show in gamma, in weights and in the running moments."""
    images = rotated_images()
    assert 0 < images.valid.sum() < images.valid.size
    trainer, state = trainer_of(images, jit_compile=jit)
    before = state.parameters()[0]
    trainer.train(5, 0, 1)
    after = state.parameters()[0]
    # beta begins at 0, so the inputs of these weights are 0, and nothing trains them in the first step.
    np.testing.assert_array_equal(after.W[~images.valid], before.W[~images.valid])
    assert np.all(np.any(after.W != before.W, axis=1)[images.valid])
    trainer.train(5, 1, 8)
    np.testing.assert_array_equal(state.parameters()[0].gamma[~images.valid], 1)
    assert np.all(state.parameters()[0].gamma[images.valid] != 1)
    mean, variance = state.moments()[0]
    assert np.all(mean[~images.valid] == 0) and np.all(variance[~images.valid] == 0)
    assert np.all(variance[images.valid] > 0)
    # Huge weights of these pixels alone: all that validation sees are biases, the same for every image.
    W = np.where(images.valid[:, None], np.zeros(8), 1e20).astype(np.float32)
    first = state.parameters()[0]
    first = first._replace(W=W, beta=np.zeros_like(first.beta), b=np.arange(8, dtype=np.float32))
    state.set_parameters(state.parameters() | {0: first})
    always = np.argmax(trainer.model(np.zeros((1, images.mean.size), np.float32), training=False))
    assert trainer.validate() == pytest.approx(np.mean(images.val_labels != always), abs=1e-6)


def test_scores_and_analyses_see_exact_zeros_too():
    images = rotated_images()
    for block in ImageBlocks(images.images, images.mean, block=10):
        assert np.all(block[:, ~images.valid] == 0) and np.all(block.std(axis=0)[images.valid] > 0)


# --- translate: the operation --------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_translate_is_numpys_roll_of_all_channels_alike(jit, dtype):
    rng = np.random.default_rng(0)
    shifts = np.array([(down, right) for down in range(5) for right in range(5)], np.int32)
    images = rng.integers(0, 256, (25, 3 * 5 * 5)).astype(dtype)
    found = tf.function(translate, jit_compile=jit)(tf.constant(images), tf.constant(shifts), (3, 5, 5))
    expected = [
        np.roll(image.reshape(3, 5, 5), shift, axis=(1, 2)).ravel() for image, shift in zip(images, shifts, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[0], images[0])  # by (0, 0)
    assert found.dtype == dtype


def test_shifts_are_known():
    """The draws must never change: they are part of every recorded run."""
    key = device_key(0, Stream.TRANSLATIONS, 0)
    known = draw_uniformly(32, 3, 2)(tf.constant(key, tf.int64), tf.constant(7, tf.int64))
    assert key == 4744905141714261070 and known.numpy().tolist() == [[20, 12], [21, 4], [6, 11]]


# --- translate: in training ----------------------------------------------------------------------------------------


def fixed_shifts(values):
    return lambda key, step: tf.constant(values, tf.int32)


def test_training_sees_the_mean_subtracted_image_translated():
    """Not the translated image minus the mean image in its place: then pixels would not be equivalent."""
    values = [(index % 4, (5 - index) % 4) for index in range(BATCH)]
    trainer, _ = trainer_of(IMAGES, jit_compile=False, shifts=fixed_shifts(values))
    other, _ = trainer_of(IMAGES, jit_compile=False)
    rows = draw_uniformly(60, BATCH)(tf.constant(9, tf.int64), tf.constant(0, tf.int64)).numpy()

    def rolled(flat):
        return np.stack(
            [np.roll(x.reshape(SHAPE), shift, axis=(1, 2)).ravel() for x, shift in zip(flat, values, strict=True)]
        )

    pixels, labels = IMAGES.images[rows].astype(np.float32), IMAGES.labels[rows]
    expected, not_so = (
        cross_entropy(other.model(x.astype(np.float32), training=True), labels)
        for x in (rolled((pixels - IMAGES.mean) / 255), (rolled(pixels) - IMAGES.mean) / 255)
    )
    _, losses = trainer.train(9, 0, 1)
    np.testing.assert_allclose(losses, [expected], rtol=1e-5)
    assert abs(losses[0] - not_so) > 1e-3


def test_every_image_of_a_batch_has_its_own_shift_anew_in_every_step():
    seen = []

    def watched(key, step):
        found = draw_uniformly(4, BATCH, 2)(key, step)
        tf.py_function(lambda *values: seen.append([value.numpy() for value in values]), [key, step, found], [])
        return found

    trainer, _ = trainer_of(IMAGES, jit_compile=False, shifts=watched)
    trainer.train(9, 3, 7, shift_key=77)
    assert {(int(key), int(step)) for key, step, _ in seen} == {(77, step) for step in range(3, 7)}
    for _, step, shifts in seen:
        np.testing.assert_array_equal(
            shifts, draw_uniformly(4, BATCH, 2)(tf.constant(77, tf.int64), tf.constant(step, tf.int64))
        )
    assert len({shift.tobytes() for _, _, shifts in seen for shift in shifts}) > 10


def test_no_translation_adds_nothing_and_translation_by_zero_changes_no_bit(monkeypatch):
    still, _ = trainer_of(IMAGES, jit_compile=False, shifts=fixed_shifts([(0, 0)] * BATCH))
    results = still.train(5, 0, 8)
    monkeypatch.setattr(training, "translate", pytest.fail)
    plain, _ = trainer_of(IMAGES, jit_compile=False)
    np.testing.assert_array_equal(plain.train(5, 0, 8, shift_key=3), results)
    assert_same(plain.state(), still.state())


def test_validation_is_not_translated():
    images = tiny_images(200)
    moved, _ = trainer_of(images, jit_compile=False, shifts=draw_uniformly(4, BATCH, 2))
    moved.train(5, 0, 20, shift_key=3)
    plain, _ = trainer_of(images, jit_compile=False)
    plain.restore(moved.state())
    assert moved.validate() == plain.validate() < 0.75


@modes
def test_translated_rounds_have_the_same_bits_streamed_and_cut_into_calls(jit, monkeypatch):
    monkeypatch.setattr(training, "STREAMED_BYTES", 4 * BATCH * 48)
    whole, _ = trainer_of(IMAGES, "x", jit_compile=jit, shifts=draw_uniformly(4, BATCH, 2))
    pieces, _ = trainer_of(IMAGES, "x", jit_compile=jit, shifts=draw_uniformly(4, BATCH, 2), preload=False)
    errors, losses = whole.train(5, 0, 9, 3)
    parts = []
    for start, stop in ((0, 1), (1, 5), (5, 9)):
        parts.append(pieces.train(5, start, stop, 3))
        pieces.validate()
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), errors)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), losses)
    assert_same(whole.state(), pieces.state())


# --- translate: whole runs -----------------------------------------------------------------------------------------

TRANSLATED = "Data.translate=3", "IMP.max_iterations=2"


@pytest.fixture(scope="module")
def translated(tmp_path_factory):
    """(directory, session). Do not write there."""
    return run(tmp_path_factory.mktemp("translated") / "whole", *TRANSLATED)


def test_a_translated_run_is_another_run_but_scores_see_the_same_images(translated, tmp_path):
    plain, session = run(tmp_path / "plain", *TRANSLATED[1:])
    for number in (0, 1):
        one, other = translated[0].read_round(number), plain.read_round(number)
        assert not np.array_equal(one.training_errors, other.training_errors)
    np.testing.assert_array_equal(translated[1].sample(20)[0], session.sample(20)[0])
    assert len({session.shift_key(number) for number in range(50)} | {session.batch_key(0)}) == 51


def test_an_interrupted_translated_run_continues_to_the_same_bits(translated, tmp_path):
    for number, step in ((0, 4), (1, 9)):
        interrupt(tmp_path / "run", number, step, *TRANSLATED)
    directory, _ = run(tmp_path / "run", *TRANSLATED)
    assert files_of(directory) == files_of(translated[0])


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignments", "line"),
    [
        (["Data.translate=32"], "[Data] translate = '32': accepted: less than 32, the size of the images"),
        (
            ["Data.translate=31", "Network.arch=c3,4:f4:x"],
            "[Data] translate = '31': accepted: 0 with the convolutions of [Network] arch",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused_in_one_line(experiment, assignments, line):
    with pytest.raises(InputError) as error:
        plan(experiment(*assignments))
    assert str(error.value) == f"--set: {line}"


def test_all_transformations_go_together(experiment):
    plan(experiment("Data.rotate=-720.5", "Data.translate=31", "Data.clone=gaussian"))
