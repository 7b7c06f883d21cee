"""The network as plain values: the Keras model's numbers, in any float type, open to tapes and observers."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from random_networks import random_round

from sifting.architecture import build_specs, layer_outputs, parse_arch
from sifting.network import rounds
from sifting.network.forward import apply_layer, as_tensors, forward, moments_over, single_batch_moments
from sifting.network.model import NetworkState, build_model
from sifting.network.rounds import Mask, MaskedNetwork, Moments, Parameters

CLASSES = 5
NETWORKS = {"f7:f6:x": (3, 4, 4), "x": (1, 2, 3), "c3,4:p2,1:c2,3,2:f5:x": (2, 8, 7), "p2,2:c2,3:x": (3, 6, 4)}


def network_of(arch):
    """Random values, all different from the initial ones, a third of the weights and biases masked."""
    stored = random_round(arch, NETWORKS[arch], CLASSES, seed=2)
    checkpoint = stored.checkpoints[-1]
    return MaskedNetwork(stored.specs, NETWORKS[arch], checkpoint.parameters, stored.masks), checkpoint.moments


def images_of(network, n, seed=1):
    return np.random.default_rng(seed).normal(size=(n, np.prod(network.image_shape))).astype(np.float32)


# --- layers and logits


@pytest.mark.parametrize("arch", NETWORKS)
def test_forward_is_the_keras_model_in_validation_mode(arch):
    network, moments = network_of(arch)
    model = build_model(network.specs, network.image_shape)
    state = NetworkState(model, network.specs)
    state.set_parameters(network.parameters)
    state.set_masks(network.masks)
    state.set_moments(moments, started=True)
    x = images_of(network, 11)
    keras_logits = model(x, training=False).numpy()
    logits, precise = (forward(network, tf.constant(x, dtype), moments) for dtype in (tf.float32, tf.float64))
    assert logits.dtype == tf.float32 and precise.dtype == tf.float64
    np.testing.assert_allclose(logits, keras_logits, rtol=0, atol=1e-6 * np.max(np.abs(keras_logits)))
    np.testing.assert_allclose(precise, keras_logits, rtol=0, atol=1e-5 * np.max(np.abs(keras_logits)))
    assert np.std(keras_logits, axis=0).min() > 0.01  # the images matter


def test_convolution_and_pool_by_hand():
    """Features stay channel-major: the first half of the output is the first kernel's."""
    specs = build_specs(parse_arch("c2,2:p1,2:x"), (True,), (1, 3, 3), 2)
    W = np.zeros((2, 2, 1, 2))
    W[0, 0, 0, 0] = 1  # kernel 0: the upper left pixel
    W[1, 1, 0, 1] = -1  # kernel 1: minus the lower right one, which ReLU makes zero where the pixel is positive
    network = MaskedNetwork(specs, (1, 3, 3), {0: Parameters(W)}, {0: Mask(np.ones_like(W))})
    x = tf.constant([[1, 2, 3, 4, -5, 6, 7, -8, 9]], tf.float64)
    y = apply_layer(network, 0, x)
    assert y.numpy().tolist() == [[1, 2, 4, 0, 5, 0, 8, 0]]
    assert apply_layer(network, 1, y).numpy().tolist() == [[1, 5]]  # every second pixel of both channels


@pytest.mark.parametrize("arch", NETWORKS)
def test_every_layer_can_be_observed(arch):
    network, moments = network_of(arch)
    x = tf.constant(images_of(network, 3))
    seen = {}
    logits = forward(network, x, moments, seen.__setitem__)
    assert list(seen) == list(range(len(network.specs)))
    sizes = [x.shape[1], *layer_outputs(network.specs, network.image_shape)]
    assert [values.shape[1] for values in (*seen.values(), logits)] == sizes
    for layer, values in seen.items():
        following = seen.get(layer + 1, logits)
        np.testing.assert_array_equal(apply_layer(network, layer, values, moments.get(layer)), following)


def test_tapes_see_the_masks_and_moments_of_as_tensors():
    network, moments = network_of("c3,4:p2,1:c2,3,2:f5:x")
    tensors = as_tensors(network, tf.float64)
    moments = {layer: Moments(*(tf.cast(v, tf.float64) for v in values)) for layer, values in moments.items()}
    x = tf.cast(images_of(network, 4), tf.float64)
    watched = [tensors.masks[0].W, tensors.masks[3].W, *moments[3]]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(watched)
        total = tf.reduce_sum(forward(tensors, x, moments))
    gradients = tape.gradient(total, watched)
    change = 1e-6
    for layer, gradient in ((0, gradients[0]), (3, gradients[1])):
        masks = dict(tensors.masks)
        masks[layer] = masks[layer]._replace(W=masks[layer].W + change * gradient)
        moved = tf.reduce_sum(forward(replace(tensors, masks=masks), x, moments))
        assert float(moved - total) / change == pytest.approx(np.sum(gradient.numpy() ** 2), rel=1e-4)
    assert all(gradient.dtype == tf.float64 and np.any(gradient != 0) for gradient in gradients)


# --- many images


def test_blocks_cover_every_image_once():
    network, _ = network_of("f7:f6:x")
    for count in (0, 1, 499, 500, 501, 1203):
        rows = [index for block in network.blocks(count) for index in range(count)[block]]
        assert rows == list(range(count))
        assert all(block.stop - block.start <= 500 for block in network.blocks(count))


def test_blocks_are_small_where_a_layer_is_large():
    specs = build_specs(parse_arch("c3,64:x"), (True,), (3, 32, 32), 10)  # 64 * 30 * 30 numbers an image
    network = MaskedNetwork(specs, (3, 32, 32), {}, {})
    first = next(network.blocks(1000))
    assert first == slice(0, 2**21 // 57600)
    specs = build_specs(parse_arch("f1024:f1024:f1024:x"), (True,), (3, 32, 32), 1000)
    assert next(MaskedNetwork(specs, (3, 32, 32), {}, {}).blocks(10000)) == slice(0, 500)


@pytest.mark.parametrize("arch", NETWORKS)
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_moments_over_blocks_are_those_of_one_batch(arch, rows, monkeypatch):
    monkeypatch.setattr(rounds, "BLOCK_IMAGES", rows)
    network, _ = network_of(arch)
    x = images_of(network, 50) + np.float32(1000)  # far from zero: the sum of squares alone would lose digits
    values = tf.cast(x, tf.float64)
    found = moments_over(network, x)
    assert list(found) == [layer for layer, spec in enumerate(network.specs) if spec.is_dense]
    for layer in range(len(network.specs)):
        expected = None
        if layer in found:
            expected = Moments(np.mean(values, axis=0), np.var(values, axis=0))
            np.testing.assert_allclose(found[layer].mean, expected.mean, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(found[layer].variance, expected.variance, rtol=1e-9, atol=1e-9)
        values = apply_layer(network, layer, values, expected)


def test_batch_moments_have_the_right_second_derivative():
    """f = sum of variance^2 of (1, 2, 6): v = 14/3, and d2v/dx_i dx_j = 2/n (delta_ij - 1/n). The Hessian of v^2 is
    2 dv dv' + 2 v d2v with dv = 2/n (x - 3) = (-4/3, -2/3, 2). First row: 2 * (16/9, 8/9, -8/3)
    + 28/3 * 2/3 * (2/3, -1/3, -1/3) = (32/9 + 112/27, 16/9 - 56/27, -16/3 - 56/27)."""
    x = tf.constant([[1.0], [2.0], [6.0]], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            f = tf.reduce_sum(single_batch_moments(x).variance ** 2)
        first = inner.gradient(f, x)[0]
    row = outer.gradient(first, x).numpy().ravel()
    np.testing.assert_allclose(row, [32 / 9 + 112 / 27, 16 / 9 - 56 / 27, -16 / 3 - 56 / 27], rtol=1e-12)
