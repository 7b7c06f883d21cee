"""Rounds of random weights, masks and moments, and images for them, for tests that compare numbers."""

import dataclasses

import numpy as np

from sifting.architecture import build_specs, parse_arch
from sifting.datasets.image_set import ImageSet
from sifting.rounds import Checkpoint, Mask, Moments, Parameters, Round


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
