"""Initial values, the flat order of features, and NetworkState."""

import numpy as np
import pytest
from random_networks import random_round
from scipy import stats
from synthetic import assert_same

from sifting.architecture import build_specs, parse_arch
from sifting.network.model import NetworkState, build_model, initial_masks, initial_parameters
from sifting.network.rounds import Parameters

SHAPE = (3, 8, 8)


def specs_of(arch, prune=(True,) * 9, shape=SHAPE, classes=5):
    return build_specs(parse_arch(arch), prune, shape, classes)


def network_of(specs, shape=SHAPE):
    model = build_model(specs, shape)
    return model, NetworkState(model, specs)


# --- initial values


def test_initial_weights_depend_on_seed_and_architecture_alone():
    first, again, other = (initial_parameters(specs_of("c3,4:f20:x"), seed) for seed in (1, 1, 2))
    assert_same(first, again)
    assert_same(first, initial_parameters(specs_of("c3,4:f20:x", prune=(False, True)), 1))  # not on what is pruned
    for layer in first:
        assert np.mean(first[layer].W == other[layer].W) < 0.01
    # Layers are independent of each other, and a layer does not depend on those behind it.
    square = initial_parameters(specs_of("f64:f64:f64:x"), 1)
    assert abs(np.corrcoef(square[1].W.ravel(), square[2].W.ravel())[0, 1]) < 0.1
    np.testing.assert_array_equal(square[0].W, initial_parameters(specs_of("f64:x"), 1)[0].W)


@pytest.mark.parametrize(
    ("arch", "layer", "fans"), [("f100:x", 0, 192 + 100), ("f3000:x", 1, 3000 + 5), ("c5,90:x", 0, 5 * 5 * 3 + 90)]
)
def test_initial_weights_are_normal_and_not_truncated(arch, layer, fans):
    W = initial_parameters(specs_of(arch), 3)[layer].W
    assert W.dtype == np.float32
    z = W.ravel() / np.sqrt(2 / fans)
    assert stats.kstest(z, "norm").pvalue > 0.01
    assert abs(np.std(z) - 1) < 4 / np.sqrt(2 * z.size)
    beyond = 2 * stats.norm.sf(2)  # 4.6 % of a normal, nothing of Keras' truncated one
    assert abs(np.mean(np.abs(z) > 2) - beyond) < 4 * np.sqrt(beyond / z.size)


@pytest.mark.parametrize("deviation", ["layer", 0.07])
def test_uniform_initial_weights_have_the_same_deviation(deviation):
    layers = initial_parameters(specs_of("f100:x"), 3, deviation, "uniform")
    for values, fans in zip(layers.values(), (192 + 100, 100 + 5), strict=True):
        assert values.W.dtype == np.float32
        end = np.sqrt(3) * (np.sqrt(2 / fans) if deviation == "layer" else deviation)
        assert stats.kstest(values.W.ravel(), stats.uniform(-end, 2 * end).cdf).pvalue > 0.01


def test_one_deviation_for_all_layers():
    """The same draws, scaled: "common" is the root mean square over all weights of the deviations by layer."""
    specs = specs_of("c3,4:p2,2:f30:x")
    by_layer, common, number = (initial_parameters(specs, 3, deviation) for deviation in ("layer", "common", 0.07))
    assert_same(by_layer, initial_parameters(specs, 3))
    fans = {0: (27, 4), 2: (36, 30), 3: (30, 5)}  # a convolution's n_in is K*K*c_in
    sizes = {0: 27 * 4, 2: 36 * 30, 3: 30 * 5}
    variance = sum(sizes[layer] * 2 / sum(fans[layer]) for layer in fans) / sum(sizes.values())
    for layer, (n_in, n_out) in fans.items():
        z = by_layer[layer].W / np.sqrt(2 / (n_in + n_out))
        assert common[layer].W.dtype == number[layer].W.dtype == np.float32
        np.testing.assert_allclose(common[layer].W, z * np.sqrt(variance), rtol=1e-6)
        np.testing.assert_allclose(number[layer].W, z * 0.07, rtol=1e-6)
    assert list(common) == [0, 2, 3] and [values.size for values in common[0][1:]] == [0, 0, 0]
    for values in (common[2], common[3]):
        assert np.all(values.b == 0) and np.all(values.gamma == 1) and np.all(values.beta == 0)


# --- initial masks


def test_init_sparsity_masks_weights_of_prunable_layers_only():
    masks = initial_masks(specs_of("c3,40:p2,2:f300:f100:x", (True, True, True, False)), 0.3, seed=1)
    assert list(masks) == [0, 2, 3, 4]
    for layer in (0, 2):
        W = masks[layer].W
        assert set(np.unique(W)) == {0, 1} and W.dtype == np.float32
        assert abs(np.mean(W == 0) - 0.3) < 4 * np.sqrt(0.21 / W.size)
    assert masks[0].b.size == 0
    for layer in (2, 3, 4):
        assert np.all(masks[layer].b == 1)  # biases never
    assert np.all(masks[3].W == 1) and np.all(masks[4].W == 1)


def test_initial_masks_are_a_function_of_the_seed_and_full_without_sparsity():
    specs = specs_of("f30:x")
    assert_same(initial_masks(specs, 0.5, 7), initial_masks(specs, 0.5, 7))
    assert np.any(initial_masks(specs, 0.5, 7)[0].W != initial_masks(specs, 0.5, 8)[0].W)
    for mask in initial_masks(specs, 0.0, 7).values():
        assert np.all(mask.W == 1)


def test_initial_masks_and_weights_are_independent():
    """Uniform weights, since normal ones would hide the same stream: they skip some of its numbers."""
    specs = specs_of("f200:x")
    W, mask = initial_parameters(specs, 5, distribution="uniform")[0].W, initial_masks(specs, 0.5, 5)[0].W
    assert abs(np.corrcoef(W.ravel(), mask.ravel())[0, 1]) < 4 / np.sqrt(W.size)


# --- the order of features


def test_a_kernel_reads_channel_row_and_column_of_the_flat_input():
    """One entry of a 2 x 3 kernel picks the pixel that flat index c*S*S + y*S + x says."""
    shape = (2, 5, 4)
    specs = specs_of("c2,1:x", shape=shape, classes=12)
    model, state = network_of(specs, shape)
    values = state.parameters()
    kernel = np.zeros((2, 2, 2, 1), np.float32)
    kernel[1, 0, 1, 0] = 1  # one row down, same column, second channel
    values[0] = Parameters(kernel)
    values[1] = values[1]._replace(W=np.eye(12, dtype=np.float32))
    state.set_parameters(values)
    x = np.random.default_rng(0).random((2, 40), np.float32)
    expected = x.reshape(2, 2, 5, 4)[:, 1, 1:, :3].reshape(2, 12)
    np.testing.assert_allclose(model(x), expected, rtol=1e-6)


@pytest.mark.parametrize("arch", ["f6:x", "c3,4:p2,2:c2,3,2:f6:f4:x", "p2,1:c2,2:x", "x"])
def test_the_models_shapes_are_those_of_the_specs(arch):
    specs = specs_of(arch)
    model, state = network_of(specs)
    assert model.output_shape == (None, 5)
    shapes = {layer: values.W.shape for layer, values in state.parameters().items()}
    assert shapes == {layer: spec.weight_shape for layer, spec in enumerate(specs) if spec.has_weights}
    assert sum(np.prod(variable.shape) for variable in model.trainable_variables) == sum(s.parameters for s in specs)


# --- get and set


def test_parameters_and_masks_round_trip():
    stored = random_round("c3,4:p2,2:f6:x", SHAPE, 5)
    model, state = network_of(stored.specs)
    state.set_parameters(stored.checkpoints[0].parameters)
    state.set_masks(stored.masks)
    assert_same(state.parameters(), stored.checkpoints[0].parameters)
    for index, mask in stored.masks.items():
        variables = [variable for variable in model.get_layer(f"layer_{index + 1}").weights if "mask" in variable.name]
        for variable, value in zip(variables, mask, strict=False):  # a convolution has no mask_b
            np.testing.assert_array_equal(variable, value)


def test_what_is_read_is_a_copy():
    specs = specs_of("f6:x")
    model, state = network_of(specs)
    x = np.random.default_rng(0).normal(size=(9, 192))
    parameters, moments = state.parameters(), state.moments()
    layers = [*parameters.values(), *moments.values()]
    held = [[value.copy() for value in layer] for layer in layers]
    for variable in model.trainable_variables:
        variable.assign_add(np.ones(variable.shape, np.float32))
    model(x, training=True)
    for layer, copies in zip(layers, held, strict=True):
        for value, copy in zip(layer, copies, strict=True):
            np.testing.assert_array_equal(value, copy)
    assert np.all(state.parameters()[0].W - parameters[0].W > 0.5)


def test_values_of_another_architecture_are_refused():
    _, state = network_of(specs_of("f6:x"))
    with pytest.raises(ValueError):
        state.set_parameters(initial_parameters(specs_of("f7:x"), 0))
    with pytest.raises(ValueError):
        state.set_masks(initial_masks(specs_of("x"), 0.0, 0))


def test_moments_are_read_and_reset():
    specs = specs_of("c3,4:f6:x")
    model, state = network_of(specs)
    x = np.random.default_rng(0).normal(2, 3, (50, 192)).astype(np.float32)
    model(x, training=True)
    assert list(state.moments()) == [1, 2]
    first = state.moments()[1]
    features = np.maximum(np.asarray(model.get_layer("layer_1")(x.reshape(50, 3, 8, 8).transpose(0, 2, 3, 1))), 0)
    features = features.transpose(0, 3, 1, 2).reshape(50, -1)
    np.testing.assert_allclose(first.mean, features.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(first.variance, features.var(axis=0), rtol=1e-4, atol=1e-4)
    state.reset_moments()
    for moments in state.moments().values():
        assert np.all(moments.mean == 0) and np.all(moments.variance == 1)


def test_decay_and_centring_reach_every_dense_layer():
    model = build_model(specs_of("c3,4:f6:x"), SHAPE, decay=0.5, centring="exact")
    for index in (1, 2):
        layer = model.get_layer(f"layer_{index + 1}")
        assert (layer.decay, layer.centring) == (0.5, "exact")
