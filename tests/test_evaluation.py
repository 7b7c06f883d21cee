"""Accuracy and node removal: by hand, against the Keras model, and against recorded errors (test_crosscheck: more)."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from random_networks import keras_logits, network_inputs, random_images, random_round, with_checkpoint
from scipy.special import softmax

from postprocess.evaluation import (
    Accuracy,
    RemovalCurve,
    accuracy,
    evaluate,
    label_ranks,
    logit_blocks,
    probabilities,
    removal_curve,
    removal_order,
    without_nodes,
)
from sifting.architecture import build_specs, parse_arch
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError
from sifting.network.rounds import Checkpoint, Mask, Moments, Parameters, Round
from sifting.runs.directory import RunDirectory

DATA = Path(__file__).parent / "data"


# --- accuracy


def test_label_ranks_by_hand():
    """Two classes above the right one; equal logits in the order of the classes; the best; the worst."""
    logits = np.array([[3.0, 1, 2, 0]] * 2 + [[1, 1, 1, 1]] * 2 + [[0, 5, 1, 2]] * 2)
    assert label_ranks(logits, np.array([1, 0, 0, 3, 1, 0])).tolist() == [2, 0, 0, 3, 0, 3]
    nan = np.nan  # never right
    logits = np.array([[1, nan, 0], [nan, 1, 0], [nan] * 3, [np.inf, 0, 0]])
    assert label_ranks(logits, np.array([0, 0, 0, 0])).tolist() == [1, 2, 2, 0]


def test_accuracy_by_hand():
    """Ranks 0, 4, 5, 5 of 7 classes: one image is right at once, two are among the first five. Blocks do not matter."""
    logits = np.array([np.arange(7, 0, -1.0)] * 4)
    labels = np.array([0, 4, 5, 5])
    for blocks in ([logits], [logits[:1], logits[1:]], np.split(logits, 4)):
        assert accuracy(blocks, labels) == Accuracy(0.25, 0.5)


def test_images_without_labels_are_refused():
    blocks = [np.zeros((3, 4)), np.zeros((3, 4))]
    for logits, labels, message in [
        (blocks, 5, "5 labels, but at least 6 images"),
        (blocks, 7, "6 images and 7 labels"),
        ([], 0, "0 images and 0 labels"),
    ]:
        with pytest.raises(ValueError, match=message):
            accuracy(logits, np.zeros(labels, int))


# --- against the recorded evaluation


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    """The recorded run's images: the first 1200 are for training, the next 400 for validation."""
    run = np.load(DATA / "imp_fc_sgd.npz")
    x, y = run["x"], run["y"].astype(np.int32)
    return ImageSet(x[:1200], y[:1200], x[1200:1600], y[1200:1600], run["mean"], (3, 8, 8), 10, "digits")


@pytest.mark.parametrize("number", range(6))
def test_equals_the_recorded_validation(digits, number):
    """The last validation of a round is that of its last checkpoint: the same number of wrong images of 400."""
    result = RunDirectory(DATA / "imp_fc_sgd_run", "IMP").read_round(number)
    assert result.validation_steps[-1] == result.checkpoints[-1].step == 120
    assert round(400 * (1 - evaluate(result, digits).top1)) == round(400 * float(result.validation_errors[-1]))


# --- against the Keras model

NETWORKS = {"f7:f6:x": (3, 4, 4), "c3,4:p2,1:f5:x": (2, 8, 8)}
CLASSES = 8


def validation_logits(result: Round, image_set: ImageSet, step: int, masks=None) -> np.ndarray:
    x = network_inputs(image_set.val_images, image_set.mean).astype(np.float32)
    return keras_logits(result, result.checkpoint_at(step), x, image_set.shape, masks)


@pytest.mark.parametrize("arch", NETWORKS)
@pytest.mark.parametrize("step", [5, 20])
def test_equals_the_keras_model(arch, step):
    image_set = random_images(NETWORKS[arch], CLASSES)
    result = random_round(arch, NETWORKS[arch], CLASSES)
    logits = validation_logits(result, image_set, step)
    found = np.concatenate(list(logit_blocks(result, image_set, step)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-6 * np.max(np.abs(logits)))
    order = np.argsort(-logits, axis=1)
    right = order == image_set.val_labels[:, None]
    assert evaluate(result, image_set, step) == Accuracy(right[:, 0].mean(), right[:, :5].any(axis=1).mean())
    np.testing.assert_allclose(probabilities(result, image_set, step), softmax(logits, axis=1), rtol=0, atol=1e-5)


def test_removal_with_surviving_biases_equals_the_keras_model():
    """Nodes with all inputs gone give ReLU(b); labels are what the full network says. Were the biases gone, too, the
    curve would be another one."""
    result = random_round("f7:f6:x", (3, 4, 4), CLASSES, seed=1)
    parameters = result.checkpoints[0].parameters
    first = parameters[0]._replace(b=np.linspace(-0.5, 1, 7, dtype=np.float32))
    result = with_checkpoint(result, 5, parameters=parameters | {0: first})
    kept, gone = (
        dataclasses.replace(result, masks=result.masks | {0: result.masks[0]._replace(b=b)})
        for b in (np.ones(7, np.float32), np.zeros(7, np.float32))
    )
    image_set = random_images((3, 4, 4), CLASSES, val_count=400)
    labels = np.argmax(validation_logits(kept, image_set, 5), axis=1)
    image_set = dataclasses.replace(image_set, val_labels=labels)
    order, sizes = np.array([4, 0, 6, 2, 1, 5, 3]), [0, 2, 4, 6]
    found = removal_curve(kept, image_set, order, sizes, step=5)
    for index, size in enumerate(sizes):
        masks = kept.masks | {0: without_nodes(kept.masks[0], order[:size])}
        right = np.argsort(-validation_logits(kept, image_set, 5, masks), axis=1) == image_set.val_labels[:, None]
        assert (found.top1[index], found.top5[index]) == (right[:, 0].mean(), right[:, :5].any(axis=1).mean())
    assert found.full.top1 == 1 and len(set(found.top1)) == len(sizes)
    without_biases = removal_curve(gone, image_set, order, sizes, step=5)
    assert np.all(found.top1[:3] != without_biases.top1[:3])


def test_a_mask_without_nodes_by_hand():
    mask = Mask(np.array([[1, 1, 0], [1, 0, 1]], np.float32), np.array([1, 1, 0], np.float32))
    found = without_nodes(mask, [2, 0])
    assert found.W.tolist() == [[0, 1, 0], [0, 0, 0]] and found.b.tolist() == [1, 1, 0]
    assert mask.W.tolist() == [[1, 1, 0], [1, 0, 1]]


# --- by hand


def two_nodes(bias: float, mask_b: float) -> tuple[Round, ImageSet]:
    """f2:x on the four images of two pixels x_0, x_1 = -1/2 or 1/2; moments (0, 1), so that z = x.

    Node 0 gives h_0 = ReLU(x_0 + bias * mask_b), node 1 h_1 = ReLU(x_1). The logits are (h_0 - 3/4, h_1), and the
    second class is the right one for all images.
    """
    specs = build_specs(parse_arch("f2:x"), (True, False), (2, 1, 1), 2)
    ones, zeros, eye = np.ones(2, np.float32), np.zeros(2, np.float32), np.eye(2, dtype=np.float32)
    parameters = {
        0: Parameters(eye, np.array([bias, 0], np.float32), ones, zeros),
        1: Parameters(eye, np.array([-0.75, 0], np.float32), ones, zeros),
    }
    masks = {0: Mask(eye, np.array([mask_b, 1], np.float32)), 1: Mask(np.ones((2, 2), np.float32), ones)}
    checkpoint = Checkpoint(9, parameters, dict.fromkeys((0, 1), Moments(zeros, ones)))
    errors = np.zeros(10, np.float32), (0,), np.zeros(1, np.float32)
    images, labels = np.array([[0, 0], [0, 255], [255, 0], [255, 255]], np.uint8), np.ones(4, np.int32)
    mean = np.full(2, 127.5, np.float32)
    image_set = ImageSet(images[:0], labels[:0], images, labels, mean, (2, 1, 1), 2, "by hand")
    return Round(0, specs, np.zeros(1), masks, (checkpoint,), *errors), image_set


def test_a_surviving_bias_holds_its_node_up():
    """With b = 3/2 node 0 gives 1 or 2, and h_0 - 3/4 = 1/4 or 5/4 is below h_1 for x = (-1/2, 1/2) only. Without its
    weight it gives 3/2 for all images, and 3/4 is above every h_1. Were the bias gone too, h_0 - 3/4 would be below
    zero, with the weight and without it."""
    result, image_set = two_nodes(bias=1.5, mask_b=1)
    found = removal_curve(result, image_set, [0], [0, 1])
    assert found.top1.tolist() == [0.25, 0] and found.relative.tolist() == [1, 0]
    pruned, _ = two_nodes(bias=1.5, mask_b=0)
    assert removal_curve(pruned, image_set, [0], [0, 1]).top1.tolist() == [1, 1]


def test_a_held_up_node_whose_stored_mean_lags():
    """Node 0 has no inputs and the bias 1/2: variance 0. Its stored mean lags behind by 0.01, which is z_0 = 1000 for
    all images and makes the first class win. The moments of the images themselves make z_0 = 0 and z_1 = -1 or 1, so
    that the logits are (-3/4, z_1)."""
    result, image_set = two_nodes(bias=0.5, mask_b=1)
    result = dataclasses.replace(result, masks=result.masks | {0: without_nodes(result.masks[0], [0])})
    lagging = Moments(np.array([0.49, 0], np.float32), np.array([0, 1], np.float32))
    result = with_checkpoint(result, 9, moments=result.checkpoints[0].moments | {1: lagging})
    assert evaluate(result, image_set).top1 == 0
    assert evaluate(result, image_set, normalise="batch").top1 == 0.5


# --- removal


def test_removal_keeps_the_moments_of_the_full_network():
    """For normalise = "batch", too: those of the images through all nodes."""
    image_set = random_images((3, 4, 4), CLASSES)
    result = random_round("f7:f6:x", (3, 4, 4), CLASSES)
    values, moments = network_inputs(image_set.val_images, image_set.mean), {}
    for layer, (W, b, gamma, beta) in result.checkpoints[1].parameters.items():
        moments[layer] = Moments(values.mean(axis=0), values.var(axis=0))
        z = (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0) + 1e-10)
        values = np.maximum((gamma * z + beta) @ (W * result.masks[layer].W) + b * result.masks[layer].b, 0)
    fixed = with_checkpoint(result, 20, moments=moments)
    order, sizes = [2, 5, 1, 0], [0, 2, 4]
    found = removal_curve(result, image_set, order, sizes, normalise="batch")
    expected = removal_curve(fixed, image_set, order, sizes)
    np.testing.assert_array_equal(found.top1, expected.top1)
    np.testing.assert_array_equal(found.top5, expected.top5)
    assert not np.array_equal(found.top5, removal_curve(result, image_set, order, sizes).top5)


def test_orders_by_hand():
    """Most connected first, ties by index; least is the same from its end; random is a permutation for each seed."""
    connections = np.array([3, 9, 3, 0, 9])
    assert removal_order(connections).tolist() == [1, 4, 0, 2, 3]
    assert removal_order(connections, "least").tolist() == [3, 2, 0, 4, 1]
    drawn = [removal_order(np.arange(100), "random", seed) for seed in (0, 0, 1)]
    assert sorted(drawn[0]) == list(range(100))
    assert drawn[0].tolist() == drawn[1].tolist() != drawn[2].tolist()
    with pytest.raises(ValueError, match="order = 'max': accepted: most, least, random"):
        removal_order(connections, "max")


def test_relative_accuracy_by_hand():
    sizes, curve = np.array([0, 8]), np.array([0.5, 0.125])
    assert RemovalCurve(sizes, curve, curve, Accuracy(0.5, 0.9)).relative.tolist() == [1, 0.25]
    assert np.isnan(RemovalCurve(sizes, 0 * curve, curve, Accuracy(0.0, 0.9)).relative).all()
    # To the full network, whatever the sizes; no sizes, no curve.
    result, image_set = random_round("f7:x", (3, 4, 4), CLASSES), random_images((3, 4, 4), CLASSES)
    found = removal_curve(result, image_set, range(7), [3])
    assert found.full == evaluate(result, image_set)
    assert found.relative.tolist() == [found.top1[0] / found.full.top1]
    assert removal_curve(result, image_set, range(7), []).top1.shape == (0,)


def test_refusals():
    image_set = random_images((3, 4, 4), CLASSES)
    result = random_round("f7:x", (3, 4, 4), CLASSES)
    with pytest.raises(ValueError, match="order has a node twice"):
        removal_curve(result, image_set, [1, 2, 1], [1])
    with pytest.raises(ValueError, match=r"sizes = \[0, 8\]: accepted: 0 to 7"):
        removal_curve(result, image_set, range(7), [0, 8])
    with pytest.raises(DataError, match=r"images of 9 classes; accepted: 8, those of the network"):
        evaluate(result, dataclasses.replace(image_set, classes=9))
    with pytest.raises(ValueError, match="normalise = 'moments': accepted"):
        evaluate(result, image_set, normalise="moments")
    convolutions = random_round("c3,4:x", (3, 4, 4), CLASSES)
    with pytest.raises(DataError, match="only nodes of a dense first layer can be removed"):
        removal_curve(convolutions, image_set, [0], [1])
