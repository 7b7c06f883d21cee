"""Statistics of a layer's preactivations: central moments, kurtosis and cavity scores (Redman et al. 2024, section 3).

The preactivations are lambda_i = sum_j W_ij x~_j + b_i with x~ = gamma z + beta, z the normalised inputs (Eq. 3).

`inputs`, in what follows, is anything that can be iterated over again and again and gives the same blocks of x~ each
time, [block, n_in]: LayerInputs, or a list of arrays. One block at a time is in memory, and all arithmetic is float64.
A mean is taken in a first pass over the inputs, what is central in a second one, so that nothing cancels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sifting.architecture import EPSILON, network_inputs
from sifting.network.rounds import Moments, Parameters

BLOCK = 1000  # images; 25 MB of float64 for 3072 inputs

# A standard deviation below this part of sum_j |W_ij| rms(x~_j) is zero: float64 sums leave about 1e-13 of it, and
# the network's own float32 numbers could not tell 1e-8 of it from zero.
_SMALLEST_DEVIATION = 1e-10

# If removing a weight leaves less of the fourth moment than this part, the expansion in moments is not used: rounding
# would have grown from 1e-15 to 1e-7. That part is 1 % of the standard deviation.
_SMALLEST_REST = 1e-8


@dataclass(frozen=True, eq=False)
class ImageBlocks:
    """The network's inputs, see architecture.network_inputs, block by block: float32 [block, n_in].

    Attributes:
        images: uint8 [n, n_in]; may be a read-only memory map.
        mean: float32 [n_in], the mean image, in pixel values.
        rows: int [m], which images, in this order; None for all.
        block: images at a time.
    """

    images: NDArray[np.uint8]
    mean: NDArray[np.float32]
    rows: NDArray[np.integer] | None = None
    block: int = BLOCK

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        count = len(self.images if self.rows is None else self.rows)
        for start in range(0, count, self.block):
            taken = slice(start, start + self.block)
            images = self.images[taken if self.rows is None else self.rows[taken]]
            yield network_inputs(images.astype(np.float32), self.mean)


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """x~ = gamma (x - mean) / sqrt(variance + 1e-10) + beta, what the weights of a dense layer see, block by block.

    Iterating gives float64 [block, n_in].

    Attributes:
        source: iterable again and again, blocks of x [block, n_in]: ImageBlocks, or the outputs of the layer before.
        parameters: gamma and beta are used.
        moments: mean and variance that normalise; None for z = x, no normalisation.
    """

    source: Iterable[np.ndarray]
    parameters: Parameters
    moments: Moments | None

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        gamma, beta = (values.astype(np.float64) for values in (self.parameters.gamma, self.parameters.beta))
        mean: NDArray[np.float64] | float = 0.0
        if self.moments is not None:
            mean = self.moments.mean.astype(np.float64)
            gamma /= np.sqrt(self.moments.variance.astype(np.float64) + EPSILON)
        for x in self.source:
            inputs = np.subtract(x, mean, dtype=np.float64)
            inputs *= gamma
            inputs += beta
            yield inputs


@dataclass(frozen=True, eq=False)
class CentralMoments:
    """Moments of the preactivations of every node, over all inputs ([nodes]) or those of each class ([classes, nodes]).

    Attributes:
        count: int64 [] or [classes], inputs; all moments of an empty class are 0.
        mean: float64, E[lambda].
        m2, m3, m4: float64, E[(lambda - E lambda)^k].
        scale: float64 [nodes], sum_j |W_ij| sqrt(E[x~_j^2]) over all inputs. Rounding is proportional to it.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    m3: NDArray[np.float64]
    m4: NDArray[np.float64]
    scale: NDArray[np.float64]

    def pooled(self) -> "CentralMoments":
        """Over all classes together, from the moments of each."""
        share = self.count / self.count.sum()
        mean = share @ self.mean
        d = self.mean - mean
        m2 = share @ (self.m2 + d**2)
        m3 = share @ (self.m3 + 3 * d * self.m2 + d**3)
        m4 = share @ (self.m4 + 4 * d * self.m3 + 6 * d**2 * self.m2 + d**4)
        return CentralMoments(self.count.sum(), mean, m2, m3, m4, self.scale)


def input_moments(source: Iterable[np.ndarray]) -> Moments:
    """Mean and population variance of the blocks of `source`, float64 [n_in] each; two passes.

    Raises:
        ValueError: there are no inputs.
    """
    count, (mean,), _ = _input_means(source)
    return Moments(mean, sum(np.sum((x - mean) ** 2, axis=0) for x in source) / count.sum())


def preactivation_moments(inputs: Iterable[np.ndarray], W: np.ndarray, b: np.ndarray | float = 0.0) -> CentralMoments:
    """Moments of lambda over all inputs, [nodes]. Arguments and errors as class_moments."""
    return class_moments(inputs, W, None, b).pooled()


def class_moments(
    inputs: Iterable[np.ndarray], W: np.ndarray, labels: np.ndarray | None, b: np.ndarray | float = 0.0
) -> CentralMoments:
    """Moments of lambda within each class, all classes in the same two passes.

    Args:
        inputs: blocks of x~ [block, n_in].
        W: [n_in, nodes], already masked.
        labels: int [n], 0 <= label, one for each input in the order of the blocks; None: one class.
        b: [nodes], already masked; it moves the mean only.

    Returns:
        CentralMoments [max(labels) + 1, nodes].

    Raises:
        ValueError: there are no inputs, or not as many as labels.
    """
    W = np.asarray(W, np.float64)
    count, means, rms = _input_means(inputs, labels)
    powers = np.zeros((3, len(count), W.shape[1]))
    for x, groups in _with_labels(inputs, labels):
        centred = (x - means[groups]) @ W
        power = centred
        for total in powers:
            power = power * centred
            _add_by_class(total, power, groups)
    m2, m3, m4 = powers / np.maximum(count, 1)[:, None]
    mean = np.where(count[:, None] > 0, means @ W + b, 0.0)
    return CentralMoments(count, mean, m2, m3, m4, rms @ np.abs(W))


def kurtosis(moments: CentralMoments) -> NDArray[np.float64]:
    """E[(lambda - E lambda)^4] / (E[(lambda - E lambda)^2])^2, Eq. 4 of Redman et al. 2024; 3 for a Gaussian.

    In print the second E is missing. The sample's moments are used as they are, so n Gaussian numbers give
    3 (n - 1) / (n + 1) on average.

    Returns:
        float64, shaped like the moments; nan where the variance is zero: a standard deviation of at most 1e-10 of
        the node's scale. That holds for nodes without weights or with weights of constant inputs only, and for
        classes of one image or none.
    """
    return _kurtosis(moments.m2, moments.m4, moments.scale)


def cavity_scores(inputs: Iterable[np.ndarray], W: np.ndarray, mask: np.ndarray) -> NDArray[np.float64]:
    """Cavity score of every weight of a layer, Eq. 5 and 6 of Redman et al. 2024.

    With lambda' = lambda_i - W_ij x~_j the score is (kurt[lambda'] - kurt[lambda_i]) / kurt[lambda_i] if
    kurt[lambda_i] >= 3, and its negative otherwise (the paper leaves 3 itself open). Negative: without the weight the
    preactivation is more Gaussian.

    The moments of lambda' are polynomials in W_ij whose coefficients are the joint moments E[lambda^k x~_j^l]. The few
    weights that carry nearly all of their node's preactivation are computed one by one, in two more passes, because
    there the polynomial cancels.

    Args:
        inputs: blocks of x~ [block, n_in].
        W: [n_in, nodes]; mask: of the same shape, 0 or 1.

    Returns:
        float64 [n_in, nodes]; nan where the mask is 0, and where lambda_i or lambda' has zero variance (see kurtosis).

    Raises:
        ValueError: there are no inputs.
    """
    from sifting.network.joint_moments import add_joint_moments  # imports numba

    W = np.asarray(W, np.float64) * mask
    nodes, kept = np.nonzero(np.asarray(mask).T)
    count, (mean,), rms = _input_means(inputs)
    lx, l2x2, l3x, lx3 = joint = np.zeros((4, len(kept)))
    x2, x4 = np.zeros((2, len(W)))
    l2, l4 = np.zeros((2, W.shape[1]))
    for block in inputs:
        x = block - mean
        l = x @ W
        add_joint_moments(joint, x, l, kept, nodes)
        for values, second, fourth in ((x, x2, x4), (l, l2, l4)):
            squared = values**2
            second += squared.sum(axis=0)
            fourth += np.einsum("bi,bi->i", squared, squared)
    for total in (joint, x2, l2, x4, l4):
        total /= count

    scale = rms @ np.abs(W)
    whole = _kurtosis(l2, l4, scale)[nodes]
    w, x2, x4, l2, l4 = W[kept, nodes], x2[kept], x4[kept], l2[nodes], l4[nodes]
    rest2 = l2 - w * (2 * lx - w * x2)
    rest4 = l4 - w * (4 * l3x - w * (6 * l2x2 - w * (4 * lx3 - w * x4)))
    rest = _kurtosis(rest2, rest4, scale[nodes])
    dominant = np.isfinite(whole) & (rest4 <= _SMALLEST_REST * np.maximum(l4, w**4 * x4))
    rest[dominant] = _kurtosis_without(inputs, W, kept[dominant], nodes[dominant])
    scores = np.full(W.shape, np.nan)
    scores[kept, nodes] = np.where(whole >= 3, rest - whole, whole - rest) / whole
    return scores


def _kurtosis_without(
    inputs: Iterable[np.ndarray], W: np.ndarray, removed: np.ndarray, nodes: np.ndarray
) -> NDArray[np.float64]:
    """Kurtosis of the nodes `nodes` [k] when each misses its weight of the input `removed` [k]; float64 [k]."""
    values = np.empty(len(nodes))
    for start in range(0, len(nodes), W.shape[1]):  # bounds the memory by that of W
        taken = slice(start, start + W.shape[1])
        without = W[:, nodes[taken]]
        without[removed[taken], np.arange(without.shape[1])] = 0
        values[taken] = kurtosis(preactivation_moments(inputs, without))
    return values


def _kurtosis(m2: np.ndarray, m4: np.ndarray, scale: np.ndarray) -> NDArray[np.float64]:
    defined = m2 > (_SMALLEST_DEVIATION * scale) ** 2
    result: NDArray[np.float64] = np.divide(m4, m2**2, out=np.full(m2.shape, np.nan), where=defined)
    return result


def _input_means(
    inputs: Iterable[np.ndarray], labels: np.ndarray | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """One pass: inputs of each class, int64 [classes]; their means, float64 [classes, n_in], 0 for an empty class; and
    the root mean square over all of them, float64 [n_in]."""
    classes = 1 if labels is None else int(np.max(labels, initial=-1)) + 1
    count = np.zeros(classes, np.int64)
    sums, squares = None, 0.0
    for x, groups in _with_labels(inputs, labels):
        sums = np.zeros((classes, x.shape[1])) if sums is None else sums
        count += np.bincount(groups, minlength=classes)
        _add_by_class(sums, x, groups)
        squares = squares + np.einsum("bi,bi->i", x, x)
    if sums is None:
        raise ValueError("there are no inputs to take moments of")
    return count, sums / np.maximum(count, 1)[:, None], np.sqrt(squares / count.sum())


def _with_labels(
    inputs: Iterable[np.ndarray], labels: np.ndarray | None
) -> Iterator[tuple[NDArray[np.float64], np.ndarray]]:
    """The blocks, float64, each with its labels; 0 if there are none."""
    labels = None if labels is None else np.asarray(labels)
    start = 0
    for x in inputs:
        stop = start + len(x)
        groups = np.zeros(len(x), np.int64) if labels is None else labels[start:stop]
        if labels is not None and len(groups) < len(x):
            raise ValueError(f"{len(labels)} labels, but at least {stop} inputs")
        yield np.asarray(x, np.float64), groups
        start = stop
    if labels is not None and start < len(labels):
        raise ValueError(f"{len(labels)} labels, but {start} inputs")


def _add_by_class(total: np.ndarray, values: np.ndarray, labels: np.ndarray) -> None:
    """total[c] += the sum of the rows of `values` [block, k] with label c."""
    order = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[order], return_index=True)
    total[classes] += np.add.reduceat(values[order], starts, axis=0)
