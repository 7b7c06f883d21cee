"""Inputs of deeper layers, and the images that activate a node most: by definition."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from random_networks import direct_preactivations, network_inputs, random_images, random_round

from postprocess.activations import (
    LayerBlocks,
    layer_inputs_of_images,
    masked_network,
    most_activating,
    network_moments,
)
from sifting.errors import DataError
from sifting.network import forward
from sifting.network.rounds import Round
from sifting.network.statistics import ImageBlocks

SHAPE, CLASSES = (3, 4, 4), 4
CONVOLUTIONAL = "c3,4:p2,1:c2,3,2:f5:x"
NETWORKS = {"f7:f6:x": SHAPE, CONVOLUTIONAL: (2, 8, 7)}


@pytest.fixture
def dense() -> Round:
    return random_round("f7:f6:x", SHAPE, CLASSES)


@pytest.fixture
def images():
    return random_images(SHAPE, CLASSES)


# --- what a layer receives


@pytest.mark.parametrize("arch", NETWORKS)
def test_blocks_are_what_the_layers_before_make(arch, monkeypatch):
    """Every layer and the logits, in both types, in blocks that are small enough and as often as one likes."""
    monkeypatch.setattr("sifting.network.rounds.BLOCK_IMAGES", 20)
    result, image_set = random_round(arch, NETWORKS[arch], CLASSES), random_images(NETWORKS[arch], CLASSES)
    network, moments = masked_network(result, image_set.shape), result.checkpoints[1].moments
    source = ImageBlocks(image_set.images, image_set.mean, block=30)
    x = network_inputs(image_set.images, image_set.mean)
    seen = {}
    logits = forward.forward(network, tf.constant(x), moments, seen.__setitem__)
    for layer, expected in {**seen, len(result.specs): logits}.items():
        blocks = LayerBlocks(network, moments, source, layer)
        for _ in range(2):
            found = list(blocks)
            assert [len(block) for block in found] == [20, 10] * 3
            assert all(block.dtype == np.float64 for block in found)
            np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-12, atol=1e-12)
        single = list(dataclasses.replace(blocks, dtype=np.float32))
        assert all(block.dtype == np.float32 for block in single)
        np.testing.assert_allclose(np.concatenate(single), expected, rtol=0, atol=1e-5 * np.max(np.abs(expected)))


@pytest.mark.parametrize("arch", NETWORKS)
def test_batch_moments_are_those_of_one_batch(arch):
    """The same as the one-pass moments of sifting.network.forward; those of layers from `stop` on are not computed."""
    result, image_set = random_round(arch, NETWORKS[arch], CLASSES), random_images(NETWORKS[arch], CLASSES)
    network, source = masked_network(result, image_set.shape), ImageBlocks(image_set.images, image_set.mean, block=40)
    layers = len(result.specs)
    found = network_moments(network, result.checkpoints[1], source, layers, "batch")
    expected = forward.moments_over(network, np.concatenate(list(source)))
    assert list(found) == list(expected) == [layer for layer, spec in enumerate(result.specs) if spec.is_dense]
    for layer, (mean, variance) in found.items():
        np.testing.assert_allclose(mean, expected[layer].mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(variance, expected[layer].variance, rtol=1e-9, atol=1e-12)
    assert layers - 1 not in network_moments(network, result.checkpoints[1], source, layers - 1, "batch")


def test_the_last_checkpoint_unless_a_step_is_given(dense):
    assert dense.checkpoint_at(None).step == 20
    assert dense.checkpoint_at(5) is dense.checkpoints[0]
    with pytest.raises(DataError, match="round 0 stored no checkpoint at step 7; accepted: 5, 20"):
        dense.checkpoint_at(7)


@pytest.mark.parametrize("layer", [0, 2])
def test_images_of_another_size_are_refused(dense, layer):
    source = ImageBlocks(np.zeros((5, 75), np.uint8), np.zeros(75, np.float32))
    with pytest.raises(DataError, match=r"images of shape \(3, 5, 5\) give layer 1 75 inputs; .* which give 48"):
        layer_inputs_of_images(dense, source, (3, 5, 5), layer)
    with pytest.raises(DataError, match="give layer 1 75 inputs"):
        masked_network(dense, (3, 5, 5))


@pytest.mark.parametrize("normalise", ["stored", "batch", "none"])
@pytest.mark.parametrize(
    ("arch", "layer", "accepted"), [("f7:f6:x", -1, "0, 1, 2"), ("f7:f6:x", 3, "0, 1, 2"), (CONVOLUTIONAL, 2, "3, 4")]
)
def test_layers_that_are_not_there_or_not_dense_are_refused(arch, layer, accepted, normalise):
    shape = NETWORKS[arch]
    with pytest.raises(DataError, match=f"layer = {layer}: accepted: {accepted}, which have normalised inputs"):
        most_activating(random_round(arch, shape, CLASSES), random_images(shape, CLASSES), layer, normalise=normalise)


# --- the images that activate a node most


@pytest.mark.parametrize("count", [0, 71])
def test_too_few_images_are_refused(count, dense, images):
    with pytest.raises(ValueError, match=f"count = {count}: accepted: 1 to 70, the number of images"):
        most_activating(dense, images, count=count)


def test_equal_activations_stand_in_the_order_of_the_images(dense, images):
    """Every image twice."""
    twice = dataclasses.replace(
        images, val_images=np.repeat(images.val_images, 2, axis=0), val_labels=np.repeat(images.val_labels, 2)
    )
    rows = most_activating(dense, twice, count=6).rows
    np.testing.assert_array_equal(rows[:, ::2] + 1, rows[:, 1::2])
    np.testing.assert_array_equal(rows[:, ::2] // 2, most_activating(dense, images).rows)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("normalise", ["stored", "batch", "none"])
def test_most_activating_images_by_the_definition(dense, images, layer, normalise):
    """Of the validation images, for all nodes and for two of them in the order given."""
    x = network_inputs(images.val_images, images.mean)
    values = direct_preactivations(dense.checkpoints[0], dense.masks, x, layer, normalise)
    order = np.argsort(-values, axis=0, kind="stable")[:4].T
    found = most_activating(dense, images, layer, count=4, step=5, normalise=normalise)
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_allclose(found.values, np.take_along_axis(values.T, order, axis=1), rtol=1e-5, atol=1e-5)
    few = most_activating(dense, images, layer, [3, 1], 2, 5, normalise)
    np.testing.assert_array_equal(few.rows, order[[3, 1], :2])


def test_below_zero_images_are_ranked_too(dense, images):
    """A node that is never active: after ReLU all images would be equal."""
    checkpoint = dense.checkpoints[1]
    first = checkpoint.parameters[0]._replace(b=np.full(7, -1e3, np.float32))
    low = dataclasses.replace(checkpoint, parameters=checkpoint.parameters | {0: first})
    masks = dense.masks | {0: dense.masks[0]._replace(b=np.ones(7, np.float32))}
    sunk = dataclasses.replace(dense, checkpoints=(low,), masks=masks)
    raised, found = most_activating(dense, images), most_activating(sunk, images)
    assert np.all(found.values < 0)
    np.testing.assert_array_equal(found.rows, raised.rows)


def test_the_first_layer_needs_no_tensorflow():
    program = """
import sys
import postprocess.evaluation, postprocess.kurtosis, postprocess.summary
from random_networks import random_images, random_round
from postprocess.activations import most_activating
most_activating(random_round("f3:x", (3, 2, 2), 4), random_images((3, 2, 2), 4))
assert "tensorflow" not in sys.modules
"""
    folder = __file__.rpartition("/")[0]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r})" + program], check=True)
