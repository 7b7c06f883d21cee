"""Rounds of random weights, masks and moments, and images for them, for tests that compare numbers."""

import dataclasses

import numpy as np

from sifting.architecture import build_specs, parse_arch
from sifting.datasets.image_set import ImageSet
from sifting.network.rounds import Checkpoint, Mask, Moments, Parameters, Round


def random_round(arch: str, shape: tuple[int, int, int], classes: int, number: int = 0, seed: int = 0) -> Round:
    """Checkpoints at steps 5 and 20, all values of both different from one another and from the initial ones; a third
    of the weights and biases of every layer are masked."""
    rng = np.random.default_rng([seed, number])
    specs = build_specs(parse_arch(arch), (True,) * 9, shape, classes)

    def normal(*size):
        return rng.normal(0.2, 0.5, size).astype(np.float32)

    def kept(*size):
        return (rng.random(size) < 2 / 3).astype(np.float32)

    def parameters(spec):
        W, n_in = normal(*spec.weight_shape), spec.shape[0]
        return Parameters(W, normal(spec.nodes), 1 + normal(n_in), normal(n_in)) if spec.is_dense else Parameters(W)

    def moments(spec):
        return Moments(normal(spec.shape[0]), normal(spec.shape[0]) ** 2 + 0.1)

    def mask(spec):
        W = kept(*spec.weight_shape)
        return Mask(W, kept(spec.nodes)) if spec.is_dense else Mask(W)

    def of_layers(values, layers):
        return {layer: values(spec) for layer, spec in layers.items()}

    weighted = {layer: spec for layer, spec in enumerate(specs) if spec.has_weights}
    dense = {layer: spec for layer, spec in weighted.items() if spec.is_dense}

    def checkpoint(step):
        return Checkpoint(step, of_layers(parameters, weighted), of_layers(moments, dense))

    ratios = np.full(sum(spec.prunable for spec in specs), 1 / 3)
    errors = rng.random(21, np.float32), (0, 10, 20), rng.random(3, np.float32)
    return Round(number, specs, ratios, of_layers(mask, weighted), (checkpoint(5), checkpoint(20)), *errors)


def random_images(
    shape: tuple[int, int, int], classes: int, count: int = 90, val_count: int = 70, seed: int = 1
) -> ImageSet:
    """Skewed pixels; the mean image is that of the training images."""
    rng = np.random.default_rng(seed)
    images = (256 * rng.beta(0.5, 2, (count + val_count, np.prod(shape)))).astype(np.uint8)
    labels = rng.integers(0, classes, count + val_count).astype(np.int32)
    mean = images[:count].mean(axis=0, dtype=np.float32)
    return ImageSet(
        images[:count], labels[:count], images[count:], labels[count:], mean, shape, classes, "random numbers"
    )


def with_checkpoint(result: Round, step: int, **changes) -> Round:
    """The round with one checkpoint changed."""
    return dataclasses.replace(
        result,
        checkpoints=tuple(
            dataclasses.replace(checkpoint, **changes) if checkpoint.step == step else checkpoint
            for checkpoint in result.checkpoints
        ),
    )


def shrinking_rounds(arch: str, shape: tuple[int, int, int], classes: int, count: int) -> list[Round]:
    """Rounds 0, 1, ... of random weights whose masks only shrink; round 0 is dense."""
    rounds = [random_round(arch, shape, classes, number) for number in range(count)]
    for layer, mask in rounds[0].masks.items():
        order = np.random.default_rng(layer).random(mask.W.shape)
        for number, result in enumerate(rounds):
            result.masks[layer] = result.masks[layer]._replace(W=(order >= 0.8 * number / count).astype(np.float32))
    return rounds


def network_inputs(pixels: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What the network sees of images, in float32 as in training, given as float64."""
    return ((pixels.astype(np.float32) - mean) * np.float32(1 / 255)).astype(np.float64)


def direct_inputs(checkpoint: Checkpoint, masks: dict[int, Mask], x: np.ndarray, layer: int, normalise: str):
    """gamma z + beta of a layer of a dense network, all images at once, float64, by Eq. 3 of Redman et al."""
    if layer:
        x = np.maximum(direct_preactivations(checkpoint, masks, x, layer - 1, normalise), 0)
    stored, parameters = checkpoint.moments[layer], checkpoint.parameters[layer]
    mean, variance = {
        "stored": (stored.mean, stored.variance.astype(np.float64)),
        "batch": (x.mean(axis=0), x.var(axis=0)),
        "none": (0.0, 1.0 - 1e-10),
    }[normalise]
    return parameters.gamma * (x - mean) / np.sqrt(variance + 1e-10) + parameters.beta


def direct_preactivations(checkpoint: Checkpoint, masks: dict[int, Mask], x: np.ndarray, layer: int, normalise: str):
    """lambda of a layer of a dense network."""
    parameters, mask = checkpoint.parameters[layer], masks[layer]
    inputs = direct_inputs(checkpoint, masks, x, layer, normalise)
    return inputs @ (parameters.W * mask.W).astype(np.float64) + parameters.b * mask.b


def direct_kurtosis(values: np.ndarray) -> np.ndarray:
    """Eq. 4 along axis 0."""
    centred = values - values.mean(axis=0)
    return np.mean(centred**4, axis=0) / np.mean(centred**2, axis=0) ** 2


def direct_cavity(x: np.ndarray, W: np.ndarray, j: int, i: int) -> float:
    """Eq. 5 and 6 for one weight."""
    whole = direct_kurtosis(x @ W[:, i])
    without = W[:, i].copy()
    without[j] = 0
    difference = direct_kurtosis(x @ without) - whole
    return (difference if whole >= 3 else -difference) / whole


def keras_logits(result: Round, checkpoint: Checkpoint, x: np.ndarray, shape: tuple[int, int, int], masks=None):
    """What training's model says in validation mode of all inputs at once; by default under the masks of the round."""
    from sifting.network.model import NetworkState, build_model  # imports TensorFlow

    model = build_model(result.specs, shape)
    state = NetworkState(model, result.specs)
    state.set_parameters(checkpoint.parameters)
    state.set_masks(result.masks if masks is None else masks)
    state.set_moments(checkpoint.moments, started=True)
    return model(x, training=False).numpy()
