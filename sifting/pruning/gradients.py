"""Scores from derivatives: SNIP, SynFlow and GraSP. As those of scores.py, but they need TensorFlow."""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias, TypeVar

import numpy as np
import tensorflow as tf

from sifting.network.forward import ScoredNetwork, as_tensors, single_batch_moments
from sifting.network.rounds import Mask, Moments, Parameters, slices
from sifting.pruning.scopes import globally
from sifting.pruning.scores import Scores

Images: TypeAlias = np.ndarray | tf.Tensor  # one row an image; or their labels
Gradients = dict[int, tf.Tensor]  # by layer; weights, too
_Nested = TypeVar("_Nested")


def snip(network: ScoredNetwork, x: Images, labels: Images, moments: str | None = "batch") -> Scores:
    """Connection sensitivity |dL/dm| / sum |dL/dm| of each weight, Lee et al. 2019; float64, weights only.

    L is the mean cross entropy over all images, m the mask of a weight; the sum is over all prunable layers.

    Args:
        x: float32 [n, channels * height * width], (pixel - mean) / 255; labels: int [n]. Memory does not grow with n.
        moments: "batch": all n images are normalised together, as in training; "initial": by the running moments
            before training, (0, 1); None: not at all.

    Raises:
        ValueError: another `moments`.
    """
    network = as_tensors(network, tf.float64)
    gradients = _mask_gradients(network, x, labels, network.moments_by(x, moments), moments == "batch")
    return _normalised(network, {layer: tf.abs(gradient) for layer, gradient in gradients.items()})


def _mask_gradients(
    network: ScoredNetwork, x: Images, labels: Images, moments: Mapping[int, Moments], of_images: bool
) -> Gradients:
    """dL/dmask_W, float64, of every layer with weights from the first prunable one on.

    Moments `of_images` make L depend on all images at once. The adjoint method takes them for variables: layer by
    layer, from the last to the first, one pass over the images differentiates
        J = L + sum over later layers of  dL/dmean . mean + dL/dvariance . variance
    with respect to the layer's mask, mean and variance. The derivatives in it are known from the passes before, and
    with fixed moments J is a sum over images, so blocks of them can be added. (dvariance/dmean is 0.)
    """
    first = min(network.prunable, default=len(network.specs))
    weighted = [layer for layer in network.parameters if layer >= first]
    passes = [weighted]
    if of_images:
        dense = [layer for layer in weighted if network.specs[layer].is_dense]
        passes = [[layer] for layer in reversed(dense)] + [[layer for layer in weighted if layer not in dense]]
    adjoints: dict[int, Moments] = {}

    def share(rows: slice) -> tf.Tensor:  # of a block of images in J
        terms = []

        def observe(layer: int, inputs: tf.Tensor) -> None:
            if layer in adjoints:
                squares = tf.math.squared_difference(inputs, moments[layer].mean)
                terms.append(tf.reduce_sum(adjoints[layer].mean * inputs + adjoints[layer].variance * squares))

        loss = network.loss(x[rows], labels[rows], moments, observe)
        return tf.add_n([loss, *terms]) / len(x)

    def gradient(rows: slice, variables: dict[int, list[tf.Tensor]]) -> dict[int, list[tf.Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            J = share(rows)
        found: dict[int, list[tf.Tensor]] = tape.gradient(J, variables)
        return found

    gradients = {}
    for layers in filter(None, passes):
        variables = {layer: [network.masks[layer].W, *moments.get(layer, ())] for layer in layers}
        found = _sum(gradient(rows, variables) for rows in network.blocks(len(x)))
        for layer in layers:
            gradients[layer] = found[layer][0]
            if of_images and layer in moments:
                adjoints[layer] = Moments(*found[layer][1:])
    return gradients


def synflow(network: ScoredNetwork) -> Scores:
    """Synaptic saliency |theta * dR/dtheta| of each weight, Tanaka et al. 2020; float64, weights only.

    R is the sum of the outputs for an input of ones, of a network with |W| for W and without biases or normalisation
    (gamma = 1, beta = 0): the sum, over all paths, of the products of |W * mask| along them.
    """
    parameters = {layer: _positive(values) for layer, values in network.parameters.items()}
    positive = as_tensors(replace(network, parameters=parameters), tf.float64)
    weights = _weights(positive)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        R = positive.flow()
    gradients = tape.gradient(R, weights)
    return {layer: Mask((weights[layer] * gradients[layer]).numpy()) for layer in network.prunable}


def _positive(parameters: Parameters) -> Parameters:
    """|W|, b = 0, gamma = 1, beta = 0."""
    W, b, gamma, beta = parameters
    return Parameters(abs(W), np.zeros_like(b), np.ones_like(gamma), np.zeros_like(beta))


def exponential_schedule(sparsity: float, iterations: int) -> list[float]:
    """Sparsities 1 - (1 - sparsity)^(k / iterations), k = 1 ... iterations: each keeps the same fraction of the last
    (Tanaka et al. 2020). The last one is `sparsity` itself."""
    density = round(1 - sparsity, 15)  # 0.1 for 1 - 0.9, which is 0.09999999999999998: counts are cut to integers
    return [1 - density ** ((i + 1) / iterations) for i in range(iterations - 1)] + [sparsity]


def iterated_synflow(
    network: ScoredNetwork, sparsity: float, iterations: int, scope: Callable[..., Scores] = globally
) -> dict[int, Mask]:
    """SynFlow, Algorithm 1 of Tanaka et al. 2020: score, prune to the next sparsity of the schedule, score again.

    Args:
        network: with the masks to start from.
        sparsity: to reach, in [0, 1), of each pool of `scope` (scopes.globally or layerwise).

    Returns:
        The masks, float32.

    Raises:
        ScoresNotFinite: see scopes.
    """
    for target in exponential_schedule(sparsity, iterations):
        network = replace(network, masks=scope(synflow(network), network.masks, target))
    return network.masks


def grasp(
    network: ScoredNetwork,
    x: Images,
    labels: Images,
    batch_size: int,
    temperature: float = 200.0,
    moments: str | None = "batch",
) -> Scores:
    """theta * (H g) / sum |theta * (H g)| of each weight, Wang et al. 2020; float64, weights only.

    Removing a weight changes the squared norm of the gradient by S(-theta) = -2 theta * (H g) to first order (their
    Eqs. 7 and 8); they remove those with the largest S, whose removal increases it most or decreases it least, which
    are the lowest here. g and H are gradient and Hessian of the mean cross entropy of logits / temperature with
    respect to the weights of all layers, prunable or not.

    Args:
        x, labels, moments: as in snip, but images are taken, and with "batch" normalised, `batch_size` at a time: g is
            the mean over the batches (by their images), H g the mean of each batch's H times that g.

    Raises:
        ValueError: another `moments`, or batch_size < 1.
    """
    network = as_tensors(network, tf.float64)
    used = single_batch_moments if moments == "batch" else network.moments_by(x, moments)
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}: accepted: 1 or more")
    batches = list(slices(len(x), batch_size))
    weights = _weights(network)

    def share(rows: slice) -> tf.Tensor:  # of one batch in L
        return network.loss(x[rows], labels[rows], used, temperature=temperature) / len(x)

    def gradient(rows: slice) -> Gradients:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            L = share(rows)
        gradients: Gradients = tape.gradient(L, weights)
        return gradients

    def product(rows: slice) -> Gradients:  # of the batch's Hessian with g
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            own = gradient(rows)
            along_g = tf.add_n([tf.reduce_sum(own[layer] * g[layer]) for layer in weights])
        products: Gradients = tape.gradient(along_g, weights)
        return products

    g = _sum(map(gradient, batches))
    Hg = _sum(map(product, batches))
    return _normalised(network, {layer: weights[layer] * Hg[layer] for layer in weights})


# --- what several scores share


def _sum(structures: Iterable[_Nested]) -> _Nested:
    """Sum of equally nested tensors, holding two at a time."""
    return functools.reduce(lambda total, new: tf.nest.map_structure(tf.add, total, new), structures)


def _weights(network: ScoredNetwork) -> Gradients:
    """W by layer."""
    return {layer: values.W for layer, values in network.parameters.items()}


def _normalised(network: ScoredNetwork, values: Gradients) -> Scores:
    """Scores of the prunable layers, 0 where masked, divided by the sum of their sizes over all those layers.

    If that sum is 0, no order follows: the scores are NaN, which scopes refuse.
    """
    scores = {layer: np.where(network.masks[layer].W != 0, values[layer], 0.0) for layer in network.prunable}
    total = sum(np.sum(np.abs(score)) for score in scores.values())
    with np.errstate(invalid="ignore"):
        return {layer: Mask(score / total) for layer, score in scores.items()}
