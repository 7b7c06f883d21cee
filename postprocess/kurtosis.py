"""Kurtosis of the preactivations (Redman et al. 2024, Eq. 3 and 4, Fig. 4B), and how unequal a node's weights are.

lambda = W . (gamma z + beta) + b with the weights of a checkpoint, in Fig. 4B the rewind point, times the masks of a
round. What z is, and why stored moments go with other masks in the first layer only, says `normalise` in
postprocess.activations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from postprocess.activations import layer_inputs_of_images
from postprocess.seeds import nanmean
from sifting.datasets.image_set import ImageSet
from sifting.network.rounds import Mask, Round
from sifting.network.statistics import CentralMoments, ImageBlocks, class_moments, kurtosis

IMAGES_PER_CLASS = 100


@dataclass(frozen=True, eq=False)
class Kurtosis:
    """Kurtosis of the preactivations of one layer. nan where the variance is zero.

    Attributes:
        over_all: float64 [nodes], over all inputs.
        within_class: float64 [classes, nodes], over the inputs of one class.
        images: int64 [classes], the inputs of each class that were used. Gaussian preactivations give
            3 (n - 1) / (n + 1) over n inputs, so compare results of equal n.
    """

    over_all: np.ndarray
    within_class: np.ndarray
    images: np.ndarray

    @classmethod
    def of(cls, moments: CentralMoments) -> "Kurtosis":
        """From the moments of the preactivations, by class."""
        return cls(kurtosis(moments.pooled()), kurtosis(moments), moments.count)

    @property
    def mean(self) -> float:
        """Over all inputs, then the mean over the nodes; nan if no node has a variance."""
        return float(nanmean(self.over_all))

    @property
    def mean_within_class(self) -> float:
        """Within the class for each node, then the mean over nodes, then over classes: the curves of Fig. 4B."""
        return float(nanmean(nanmean(self.within_class)))

    @property
    def left_out(self) -> int:
        """Nodes of zero variance, which `mean` leaves out."""
        return int(np.sum(np.isnan(self.over_all)))

    @property
    def left_out_within_class(self) -> int:
        """Pairs of a node and a class with images that `mean_within_class` leaves out, for zero variance there."""
        return int(np.sum(np.isnan(self.within_class[self.images > 0])))


def image_kurtosis(
    result: Round,
    image_set: ImageSet,
    layer: int = 0,
    step: int | None = None,
    masks: Mapping[int, Mask] | None = None,
    images_per_class: int | None = IMAGES_PER_CLASS,
    normalise: str = "stored",
) -> Kurtosis:
    """Kurtosis of the preactivations of any dense layer of a stored network, from the training images.

    Args:
        result: whose checkpoint.
        layer: index in the architecture.
        step: of the checkpoint; None: the last one.
        masks: by layer, such as those of a later round; None: those of `result`.
        images_per_class: at most so many, the first ones; None for all. Kurtosis.images has what it came to.
        normalise: "stored", "batch" or "none", see postprocess.activations.

    Raises:
        DataError, ValueError: as activations.layer_inputs_of_images, which refuses "stored" for a deeper layer under
            other masks.
    """
    rows = first_of_each_class(image_set.labels, images_per_class)
    source = ImageBlocks(image_set.images, image_set.mean, rows)
    inputs = layer_inputs_of_images(result, source, image_set.shape, layer, step, masks, normalise)
    mask = (result.masks if masks is None else masks)[layer]
    return Kurtosis.of(class_moments(inputs, inputs.parameters.W * mask.W, image_set.labels[rows]))


def first_of_each_class(labels: np.ndarray, images_per_class: int | None) -> np.ndarray:
    """Rows of the first `images_per_class` images of every class, int64, ascending; of all images for None."""
    rows = np.arange(len(labels))
    if images_per_class is None:
        return rows
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    return np.sort(order[rows - np.repeat(starts, counts) < images_per_class])


def inverse_participation_ratio(W: np.ndarray) -> NDArray[np.float64]:
    """Inverse participation ratio of each node's weights: sum_j W_ij^4 / (sum_j W_ij^2)^2; large: few weights, local.

    Between 1 / (number of weights), all equally large, and 1, a single one; 3 / n_in for n_in Gaussian weights.

    Args:
        W: [n_in, nodes], already masked.

    Returns:
        float64 [nodes]; nan for a node without weights.
    """
    squares = np.asarray(W, np.float64) ** 2
    largest = np.max(squares, axis=0)
    relative = np.divide(squares, largest, out=np.full(squares.shape, np.nan), where=largest > 0)
    ratio: NDArray[np.float64] = np.sum(relative**2, axis=0) / np.sum(relative, axis=0) ** 2
    return ratio
