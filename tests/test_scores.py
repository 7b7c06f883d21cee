"""Every score by hand on four weights, then against brute force on small networks."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from random_networks import random_round

from sifting.architecture import build_specs, parse_arch
from sifting.errors import ScoresNotFinite
from sifting.network import forward as forward_module
from sifting.network import rounds
from sifting.network.forward import ScoredNetwork, apply_layer, as_tensors, single_batch_moments
from sifting.network.rounds import Mask, Moments, Parameters, density
from sifting.pruning import gradients, scores
from sifting.pruning.scopes import globally, layerwise


def float32(values):
    return np.array(values, np.float32)


def dense_network(*weights, prune=None, masks=None, biases=None):
    """A network of dense layers with the given W, and with gamma and beta that SynFlow has to ignore."""
    weights = [float32(W) for W in weights]
    prune = (True,) * len(weights) if prune is None else prune
    arch = ":".join(f"f{W.shape[1]}" for W in weights[:-1])
    specs = build_specs(parse_arch(f"{arch}:x" if arch else "x"), prune, (1, 1, len(weights[0])), weights[-1].shape[1])
    biases = biases or [np.zeros(W.shape[1]) for W in weights]
    kept = masks or [np.ones_like(W) for W in weights]
    return ScoredNetwork(
        specs,
        (1, 1, len(weights[0])),
        {
            layer: Parameters(W, float32(biases[layer]), np.ones(len(W), np.float32), np.zeros(len(W), np.float32))
            for layer, W in enumerate(weights)
        },
        {layer: Mask(float32(kept[layer]), np.ones(W.shape[1], np.float32)) for layer, W in enumerate(weights)},
    )


def random_network(arch, prune, shape, classes=5, seed=0):
    """All values random, a third of the weights and biases masked."""
    stored = random_round(arch, shape, classes, seed=seed)
    specs = build_specs(parse_arch(arch), tuple(flag == "T" for flag in prune), shape, classes)
    return ScoredNetwork(specs, shape, stored.checkpoints[-1].parameters, stored.masks)


def images_of(network, n, classes=5, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.3, 1.0, (n, np.prod(network.image_shape))).astype(np.float32)
    return x, rng.integers(0, classes, n).astype(np.int32)


def assert_scores(found, *expected, tolerance=1e-12):
    """Scores of W of each layer; None for a layer without."""
    assert list(found) == [layer for layer, values in enumerate(expected) if values is not None]
    for layer, ours in found.items():
        assert ours.b.size == 0 and isinstance(ours.W, np.ndarray) and ours.W.dtype == np.float64
        np.testing.assert_allclose(ours.W, expected[layer], rtol=0, atol=tolerance)


NETWORKS = [
    ("f7:f6:x", "TTT", (3, 4, 4)),
    ("f7:f6:x", "TTF", (3, 4, 4)),
    ("f7:f6:x", "FTF", (3, 4, 4)),
    ("c3,4:p2,1:c2,3,2:f5:x", "TFTTF", (2, 8, 7)),
    ("c3,4:f5:x", "FTT", (2, 5, 5)),
    ("c3,4:x", "TF", (2, 5, 5)),
]


# --- magnitude, uniform


def test_magnitude_by_hand():
    network = dense_network([[-3, 2], [0, 1]], masks=[[[1, 0], [1, 1]]], biases=[[-5, 4]])
    network = replace(network, masks={0: network.masks[0]._replace(b=float32([1, 0]))})
    found = scores.magnitude(network)[0]
    assert found.W.tolist() == [[3, 0], [0, 1]] and found.b.tolist() == [5, 0]
    assert found.W.dtype == found.b.dtype == np.float32  # the reference's arithmetic
    found = scores.magnitude(network, biases=False)[0]
    assert found.W.tolist() == [[3, 0], [0, 1]] and found.b.size == 0


def test_uniform_scores_are_a_function_of_seed_number_and_layer():
    network = random_network("f20:f20:f20:x", "TTTF", (3, 4, 4))
    first, again = (
        scores.uniform(network, 1, 1),
        scores.uniform(random_network("f20:f20:f20:x", "TTTF", (3, 4, 4), seed=9), 1, 1),
    )
    assert_scores(first, *(values.W for values in again.values()))
    assert list(first) == [0, 1, 2] and first[0].W.shape == (48, 20)
    pooled = np.concatenate([values.W.ravel() for values in first.values()])
    assert pooled.min() >= 0 and pooled.max() < 1 and len(np.unique(pooled)) == pooled.size
    assert abs(pooled.mean() - 0.5) < 4 / np.sqrt(12 * pooled.size)
    others = [first[2], scores.uniform(network, 1, 2)[1], scores.uniform(network, 2, 1)[1]]
    for other in others:
        assert abs(np.corrcoef(first[1].W.ravel(), other.W.ravel())[0, 1]) < 0.2
    with pytest.raises(ValueError, match="number = 0"):  # would be the draw of the initial masks
        scores.uniform(network, 1, 0)


# --- snip


def test_snip_by_hand_one_layer():
    """x = (2, 1) gives logits (0, 0), so p = 1/2 and dL/dlogits = (-1/2, 1/2) for label 0. dL/dm_ij = x_i W_ij times
    that: (-1, 3) and (1, -3); their sizes sum to 8."""
    network = dense_network([[1, 3], [-2, -6]])
    found = gradients.snip(network, float32([[2, 1]]), np.int32([0]), moments=None)
    assert_scores(found, [[1 / 8, 3 / 8], [1 / 8, 3 / 8]])
    found = gradients.snip(network, float32([[2, 1]]), np.int32([0]), moments="initial")  # (0, 1): to 1e-10 the same
    assert_scores(found, [[1 / 8, 3 / 8], [1 / 8, 3 / 8]], tolerance=1e-9)


def test_snip_by_hand_two_layers():
    """h = 2 + 1 = 3; logits (3 + 6, 9 + 0), p = 1/2, dL/dlogits = (-1/2, 1/2). Layer 1: 3 * 1 * -1/2, 3 * 3 * 1/2.
    dL/dh = 1 * -1/2 + 3 * 1/2 = 1, layer 0: 2 * 1 and 1 * 1. The sizes sum to 9."""
    network = dense_network([[1], [1]], [[1, 3]], biases=[[0], [6, 0]])
    x, labels = float32([[2, 1]]), np.int32([0])
    assert_scores(gradients.snip(network, x, labels, None), [[2 / 9], [1 / 9]], [[1 / 6, 1 / 2]])
    # The sum is over prunable layers alone.
    network = dense_network([[1], [1]], [[1, 3]], biases=[[0], [6, 0]], prune=(True, False))
    assert_scores(gradients.snip(network, x, labels, None), [[2 / 3], [1 / 3]], None)


def whole_batch_loss(network, x, labels, moments, temperature=1.0):
    """L of one batch, with the gradient through its moments left to the tape."""
    values = tf.cast(x, tf.float64)
    for layer, spec in enumerate(network.specs):
        used = None
        if spec.is_dense and moments == "batch":
            used = single_batch_moments(values)
        elif spec.is_dense and moments == "initial":
            used = Moments(tf.zeros(spec.shape[0], tf.float64), tf.ones(spec.shape[0], tf.float64))
        values = apply_layer(network, layer, values, used)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, values / temperature))


def normalised(network, values):
    """values / sum of |values|, of prunable layers without masked weights."""
    chosen = {layer: values[layer] * (network.masks[layer].W != 0) for layer in network.prunable}
    total = sum(np.sum(np.abs(value)) for value in chosen.values())
    return [chosen[layer] / total if layer in chosen else None for layer in range(len(network.specs))]


@pytest.mark.parametrize("moments", ["batch", "initial", None])
@pytest.mark.parametrize(("arch", "prune", "shape"), NETWORKS)
def test_snip_in_blocks_is_one_tape_over_all_images(arch, prune, shape, moments, monkeypatch):
    """Also through the batch's moments, which tie all images together."""
    monkeypatch.setattr(rounds, "BLOCK_IMAGES", 17)
    network = random_network(arch, prune, shape)
    x, labels = images_of(network, 60)
    tensors = as_tensors(network, tf.float64)
    watched = {layer: mask.W for layer, mask in tensors.masks.items()}
    with tf.GradientTape() as tape:
        tape.watch(watched)
        L = whole_batch_loss(tensors, x, labels, moments)
    expected = {layer: np.abs(gradient) for layer, gradient in tape.gradient(L, watched).items()}
    found = gradients.snip(network, x, labels, moments)
    assert_scores(found, *normalised(network, expected), tolerance=1e-13)
    assert sum(np.sum(values.W) for values in found.values()) == pytest.approx(1)
    assert all(np.all((values.W != 0) <= (network.masks[layer].W != 0)) for layer, values in found.items())


def test_snip_never_holds_more_than_a_block(monkeypatch):
    monkeypatch.setattr(rounds, "BLOCK_IMAGES", 10)
    network = random_network("f7:f6:x", "TTF", (3, 4, 4))
    x, labels = images_of(network, 45)
    sizes, apply = [], forward_module.apply_layer

    def spy(network, layer, x, moments=None):
        sizes.append(len(x))
        return apply(network, layer, x, moments)

    monkeypatch.setattr(forward_module, "apply_layer", spy)
    gradients.snip(network, x, labels)
    assert max(sizes) == 10
    # Moments: 0 + 1 + 2 layers before the three dense ones; then three passes through all three; in 5 blocks.
    assert len(sizes) == 5 * (0 + 1 + 2 + 3 * 3)


def test_constant_features_and_silent_nodes_have_finite_scores():
    network = random_network("f7:f6:x", "TTF", (3, 4, 4))
    for values in network.parameters.values():
        values.beta[:] = 0  # it would act for a constant input
    network.parameters[0].b[2] = -100.0
    network.masks[0].b[2] = 1
    x, labels = images_of(network, 40)
    x[:, 5] = 0.1
    found = gradients.snip(network, x, labels)
    assert all(np.all(np.isfinite(values.W)) for values in found.values())
    assert np.all(found[0].W[:, 2] == 0) and np.all(found[0].W[5] < 1e-9) and np.all(found[1].W[2] == 0)


def test_scores_without_any_gradient_are_refused_by_the_scopes():
    network = dense_network([[0, 0], [0, 0]])
    found = gradients.snip(network, float32([[2, 1]]), np.int32([0]), None)
    with pytest.raises(ScoresNotFinite, match="4 of 4"):
        globally(found, network.masks, 0.5)


# --- synflow


def test_the_loss_on_a_gpu_gives_the_same_scores(monkeypatch):
    """Without the sparse softmax, of which TensorFlow has no float64 kernel there."""
    network = random_network("f6:f5:x", "TTT", (1, 2, 4))
    x, labels = images_of(network, 40)
    scores_of = gradients.snip, partial(gradients.grasp, batch_size=20)
    expected = [score(network, x, labels) for score in scores_of]
    monkeypatch.setattr(forward_module, "on_gpu", lambda: True)
    monkeypatch.delattr(tf.nn, "sparse_softmax_cross_entropy_with_logits")
    for score, here in zip(scores_of, expected, strict=True):
        assert_scores(score(network, x, labels), *(values.W for values in here.values()), tolerance=1e-14)


def test_synflow_by_hand():
    """Paths |W0| |W1|: 1 * 3, 1 * 1, 2 * 3, 2 * 1, together R = 12. A weight's score is the sum over its paths."""
    network = dense_network([[1], [-2]], [[3, -1]], biases=[[7], [-5, 5]])
    values = network.parameters[0]._replace(gamma=float32([9, 9]), beta=float32([4, 4]))
    network = replace(network, parameters={**network.parameters, 0: values})
    assert_scores(gradients.synflow(network), [[4], [8]], [[9, 3]])
    masked = replace(network, masks={**network.masks, 0: network.masks[0]._replace(W=float32([[1], [0]]))})
    assert_scores(gradients.synflow(masked), [[4], [0]], [[3, 1]])
    not_prunable = dense_network([[1], [-2]], [[3, -1]], prune=(False, True))
    assert_scores(gradients.synflow(not_prunable), None, [[9, 3]])  # it conducts all the same


@pytest.mark.parametrize(
    ("arch", "prune", "shape"), [("f7:f6:x", "TTT", (3, 4, 4)), ("c3,4:c2,3,2:f5:x", "TTTT", (2, 8, 7))]
)
def test_synflow_is_conserved_from_layer_to_layer(arch, prune, shape):
    """Every path goes through one weight of each layer: the scores of each layer sum to R (Tanaka et al., Theorem 1;
    with strides some pixels reach more kernels than others, and the sum is still R)."""
    sums = [np.sum(values.W) for values in gradients.synflow(random_network(arch, prune, shape)).values()]
    np.testing.assert_allclose(sums, sums[0], rtol=1e-12)


def test_exponential_schedule():
    assert gradients.exponential_schedule(0.75, 2) == [0.5, 0.75]
    assert gradients.exponential_schedule(0.9, 1) == [0.9]
    assert gradients.exponential_schedule(0.99, 2) == [1 - 0.01**0.5, 0.99] == [0.9, 0.99]  # 1 - 0.99 is not quite 0.01
    schedule = gradients.exponential_schedule(0.9, 100)
    assert len(schedule) == 100 and schedule[-1] == 0.9
    np.testing.assert_allclose(np.diff(np.log(1 - np.array(schedule))), np.log(0.1) / 100, rtol=1e-9)


def test_iterated_synflow_by_hand():
    """Scores 4, 8 | 9, 3. To sparsity 1/2 in two iterations: 1 - sqrt(1/2) of four is one, the last. What is left
    scores 3, 6 | 9, so the first goes too. To 3/4, at once: 3, 4 and 8 go, and no path is left."""
    network = dense_network([[1], [-2]], [[3, -1]])
    masks = gradients.iterated_synflow(network, 0.5, 2)
    assert [mask.W.tolist() for mask in masks.values()] == [[[0], [1]], [[1, 0]]]
    masks = gradients.iterated_synflow(network, 0.75, 1)
    assert [mask.W.tolist() for mask in masks.values()] == [[[0], [0]], [[1, 0]]]


@pytest.mark.parametrize("scope", [globally, layerwise])
def test_iterated_synflow_counts_exactly_and_keeps_paths_open(scope):
    network = random_network("f30:f30:x", "TTT", (3, 4, 4))
    masks = gradients.iterated_synflow(network, 0.95, 50, scope)
    sizes = [mask.W.size for mask in masks.values()]
    if scope is globally:
        assert sum(np.sum(mask.W == 0) for mask in masks.values()) == int(0.95 * sum(sizes))
    else:
        assert [np.sum(mask.W == 0) for mask in masks.values()] == [int(0.95 * size) for size in sizes]
    assert np.all(np.linalg.multi_dot([mask.W for mask in masks.values()]).sum() > 0)
    for mask, old in zip(masks.values(), network.masks.values(), strict=True):
        assert np.all(mask.W <= old.W) and mask.W.dtype == np.float32
        np.testing.assert_array_equal(mask.b, old.b)


# --- grasp


def test_grasp_by_hand():
    """The image of test_snip_by_hand_one_layer: logits (0, 0) at any temperature T, p = 1/2, d = (-1/2, 1/2).
    g_ij = x_i d_j / T, and H couples logits by S = ((1/4, -1/4), (-1/4, 1/4)) / T^2, so that
    (H g)_ij = x_i |x|^2 (S d)_j / T = x_i (-1, 1)_j * 5 / 4 T^3, up to a factor (-2, 2) and (-1, 1). Times W:
    (-2, 6) and (2, -6), their sizes sum to 16. Lowest is the weight that holds the wrong logit down: without it the
    loss, and its gradient, grow."""
    network = dense_network([[1, 3], [-2, -6]])
    for temperature in (1.0, 200.0):
        found = gradients.grasp(network, float32([[2, 1]]), np.int32([0]), 1, temperature, moments=None)
        assert_scores(found, [[-2 / 16, 6 / 16], [2 / 16, -6 / 16]])


def gradient_flow(network, x, labels, batch_size, moments, temperature=200.0):
    """Gradient of L with respect to all weights, by layer; L is the mean over batches."""
    network = as_tensors(network, tf.float64)
    weights = {layer: values.W for layer, values in network.parameters.items()}
    with tf.GradientTape() as tape:
        tape.watch(weights)
        L = 0.0
        for start in range(0, len(x), batch_size):
            rows = slice(start, start + batch_size)
            L += len(x[rows]) / len(x) * whole_batch_loss(network, x[rows], labels[rows], moments, temperature)
    return {layer: gradient.numpy() for layer, gradient in tape.gradient(L, weights).items()}


def moved(network, directions, step):
    values = {
        layer: old._replace(W=old.W.astype(np.float64) + step * directions[layer])
        for layer, old in network.parameters.items()
    }
    return replace(network, parameters=values)


@pytest.mark.parametrize("moments", ["batch", "initial", None])
@pytest.mark.parametrize(("arch", "prune", "shape"), NETWORKS[:5])
def test_grasp_is_the_change_of_the_gradient_along_itself(arch, prune, shape, moments):
    """H g = (g(theta + e g) - g(theta - e g)) / 2 e, in three batches, one of them smaller."""
    network = random_network(arch, prune, shape)
    x, labels = images_of(network, 50)
    g = gradient_flow(network, x, labels, 20, moments)
    step = 1e-4 / max(np.max(np.abs(values)) for values in g.values())
    above, below = (gradient_flow(moved(network, g, s), x, labels, 20, moments) for s in (step, -step))
    products = {
        layer: values.W * (above[layer] - below[layer]) / (2 * step) for layer, values in network.parameters.items()
    }
    found = gradients.grasp(network, x, labels, 20, moments=moments)
    largest = max(np.max(np.abs(values.W)) for values in found.values())
    assert_scores(found, *normalised(network, products), tolerance=1e-5 * largest)


# --- all of them


def test_other_moments_and_batches_of_nothing_are_refused():
    network = random_network("f7:f6:x", "TTF", (3, 4, 4))
    x, labels = images_of(network, 9)
    for score in (gradients.snip, partial(gradients.grasp, batch_size=10)):
        with pytest.raises(ValueError, match="moments = 'running': accepted: 'batch', 'initial' or None"):
            score(network, x, labels, moments="running")
    with pytest.raises(ValueError, match="batch_size = 0"):
        gradients.grasp(network, x, labels, 0)


ALL = {
    "magnitude": lambda network, x, labels: scores.magnitude(network),
    "uniform": lambda network, x, labels: scores.uniform(network, 1, 1),
    "snip": gradients.snip,
    "synflow": lambda network, x, labels: gradients.synflow(network),
    "grasp": lambda network, x, labels: gradients.grasp(network, x, labels, 10),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("arch", "prune", "shape"), [NETWORKS[1], NETWORKS[3]])
def test_scoring_changes_nothing_and_gives_one_entry_a_layer(name, arch, prune, shape):
    network = random_network(arch, prune, shape)
    x, labels = images_of(network, 25)
    arrays = [v for kind in (network.parameters, network.masks) for values in kind.values() for v in values]
    copies = [value.copy() for value in (*arrays, x, labels)]
    for value in (*arrays, x, labels):
        value.setflags(write=False)
    found, again = ALL[name](network, x, labels), ALL[name](network, x, labels)
    for value, copy in zip((*arrays, x, labels), copies, strict=True):
        np.testing.assert_array_equal(value, copy)
    assert list(found) == network.prunable
    for layer, values in found.items():
        mask = network.masks[layer]
        assert values.W.shape == mask.W.shape
        np.testing.assert_array_equal(values.W, again[layer].W)
        assert name == "uniform" or np.all(values.W[mask.W == 0] == 0)
    masks = globally(found, network.masks, 0.6)
    assert density(masks, network.specs) == pytest.approx(0.4, abs=0.02)
