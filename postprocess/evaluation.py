"""Accuracy of stored networks, and what is left of it when nodes are removed (P&B Fig. 1c).

Networks are evaluated in float32 on the validation images, block by block, without training. `normalise` is that of
postprocess.activations: "stored" is the network as validation saw it. In late rounds the stored moments of a node that
has lost its inputs can spoil it (docs/fidelity.md); "batch" takes the moments of the validation images instead.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from postprocess.activations import LayerBlocks, masked_network, network_moments
from postprocess.connectivity import most_connected
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError
from sifting.network.rounds import Mask, Round
from sifting.network.statistics import ImageBlocks

ORDERS = ("most", "least", "random")


class Accuracy(NamedTuple):
    """Fractions of the images whose class is the first, or among the first five, by logit."""

    top1: float
    top5: float


# --- from logits


def label_ranks(logits: np.ndarray, labels: np.ndarray) -> NDArray[np.intp]:
    """How many classes come before the right one, int64 [n]: 0 if it is the first.

    Classes are ordered by logit, equal ones by index, as argmax does. A logit that is not a number never helps: its
    class comes before the right one, or is the right one and comes last.

    Args:
        logits: [n, classes]; labels: int [n].
    """
    labels = np.asarray(labels)[:, None]
    own = np.take_along_axis(logits, labels, axis=1)
    before = ~(logits <= own) | ((logits == own) & (np.arange(logits.shape[1]) < labels))
    np.put_along_axis(before, labels, False, axis=1)
    ranks: NDArray[np.intp] = np.count_nonzero(before, axis=1)
    return ranks


def accuracy(logits: Iterable[np.ndarray], labels: np.ndarray) -> Accuracy:
    """Top-1 and top-5 accuracy in one pass.

    Args:
        logits: blocks [block, classes], such as those of `logit_blocks`.
        labels: int [n], in the order of the blocks.

    Raises:
        ValueError: there are no images, or not as many as labels.
    """
    start, hits = 0, np.zeros(2, np.int64)
    for block in logits:
        stop = start + len(block)
        if stop > len(labels):
            raise ValueError(f"{len(labels)} labels, but at least {stop} images")
        ranks = label_ranks(block, labels[start:stop])
        hits += np.count_nonzero(ranks < 1), np.count_nonzero(ranks < 5)
        start = stop
    if start != len(labels) or start == 0:
        raise ValueError(f"{start} images and {len(labels)} labels: accepted: as many of both, at least one")
    return Accuracy(*(hits / start).tolist())


# --- of a round


def logit_blocks(result: Round, image_set: ImageSet, step: int | None = None, normalise: str = "stored") -> LayerBlocks:
    """Logits of the validation images, blocks float32 [block, classes], as often as one likes.

    Args:
        result: whose weights and masks.
        step: of the checkpoint; None: the last one.
        normalise: "stored", "batch" or "none", see postprocess.activations.

    Raises:
        DataError: no such checkpoint; images or classes of another number than the run's.
        ValueError: normalise is none of the three.
    """
    classes = result.specs[-1].nodes
    if image_set.classes != classes:
        raise DataError(f"images of {image_set.classes} classes; accepted: {classes}, those of the network")
    network = masked_network(result, image_set.shape, step)
    source = ImageBlocks(image_set.val_images, image_set.mean)
    last = len(result.specs)
    moments = network_moments(network, result.checkpoint_at(step), source, last, normalise)
    return LayerBlocks(network, moments, source, last, np.float32)


def evaluate(result: Round, image_set: ImageSet, step: int | None = None, normalise: str = "stored") -> Accuracy:
    """Accuracy on the validation images. Arguments and errors as logit_blocks; ValueError: no validation images."""
    return accuracy(logit_blocks(result, image_set, step, normalise), image_set.val_labels)


def probabilities(result: Round, image_set: ImageSet, step: int | None = None, normalise: str = "stored") -> np.ndarray:
    """Softmax of the logits of all validation images, float32 [n, classes]. Arguments and errors as logit_blocks."""
    return np.concatenate([softmax(block, axis=1) for block in logit_blocks(result, image_set, step, normalise)])


# --- node removal


@dataclass(frozen=True, eq=False)
class RemovalCurve:
    """Accuracy of a network that has lost nodes of its first layer.

    Attributes:
        sizes: int64 [k], how many nodes.
        top1, top5: float64 [k].
        full: accuracy of the full network.
    """

    sizes: NDArray[np.integer]
    top1: NDArray[np.float64]
    top5: NDArray[np.float64]
    full: Accuracy

    @property
    def relative(self) -> NDArray[np.float64]:
        """top1 / that of the full network, float64 [k]: P&B Fig. 1c; nan if the full network is never right."""
        relative: NDArray[np.float64]
        relative = np.divide(self.top1, self.full.top1, out=np.full(len(self.top1), np.nan), where=self.full.top1 > 0)
        return relative


def removal_order(connections: np.ndarray, order: str = "most", seed: int = 0) -> np.ndarray:
    """The order in which nodes are removed, int64 [nodes].

    Args:
        connections: int [nodes], C_in (connectivity.input_connections).
        order: "most": the most connected first, ties by index; "least": the same from its end; "random": drawn from
            `seed`.

    Raises:
        ValueError: order is none of the three.
    """
    if order not in ORDERS:
        raise ValueError(f"order = {order!r}: accepted: {', '.join(ORDERS)}")
    if order == "random":
        return np.random.default_rng(seed).permutation(len(connections))
    return most_connected(connections)[:: 1 if order == "most" else -1]


def without_nodes(mask: Mask, nodes: np.ndarray) -> Mask:
    """The mask without the input weights of these nodes; their biases stay."""
    W = mask.W.copy()
    W[:, nodes] = 0
    return mask._replace(W=W)


def removal_curve(
    result: Round,
    image_set: ImageSet,
    order: Sequence[int] | np.ndarray,
    sizes: Sequence[int] | NDArray[np.integer],
    step: int | None = None,
    normalise: str = "stored",
) -> RemovalCurve:
    """Remove nodes of the first layer, evaluate, do not train: P&B Fig. 1c.

    The columns of mask_W of the nodes become zero. Their biases stay, so that a removed node gives the constant
    ReLU(b * mask_b), and so do the moments: the stored ones, or for normalise = "batch" those of the full network.

    Args:
        order: int, nodes in the order of their removal, such as removal_order's.
        sizes: how many of them are removed; one evaluation each.
        step, normalise: as logit_blocks.

    Raises:
        DataError: the first layer is a convolution or a max-pool; else as logit_blocks.
        ValueError: a size that `order` does not have, a node twice; else as evaluate.
    """
    if not result.specs[0].is_dense:
        raise DataError("only nodes of a dense first layer can be removed; here it is a convolution or a max-pool")
    order, sizes = np.asarray(order), np.asarray(sizes)
    if len(np.unique(order)) < len(order):
        raise ValueError("order has a node twice; accepted: every node at most once")
    if sizes.size and not 0 <= sizes.min() <= sizes.max() <= len(order):
        raise ValueError(f"sizes = {sizes.tolist()}: accepted: 0 to {len(order)}, the nodes in order")
    logits = logit_blocks(result, image_set, step, normalise)

    def after_removal(size: int) -> Accuracy:
        masks = {**result.masks, 0: without_nodes(result.masks[0], order[:size])}
        network = dataclasses.replace(logits.network, masks=masks)
        return accuracy(dataclasses.replace(logits, network=network), image_set.val_labels)

    full = accuracy(logits, image_set.val_labels)
    curve = [after_removal(size) if size else full for size in sizes]
    top1, top5 = np.array(curve, np.float64).reshape(-1, 2).T
    return RemovalCurve(sizes, top1, top5, full)
