"""What a stored network makes of images, layer by layer, and the images that activate a node most (P&B Fig. 3b and 15).

The network is that of a Round: weights, gamma and beta of one of its checkpoints, its own masks or others. Layers are
counted as in the architecture, from 0 in arguments and from 1, as in the papers, in messages. `normalise` says what z
is in lambda = W . (gamma z + beta) + b:

    stored  the input, normalised by the running moments that are stored with the checkpoint, as in validation
    batch   the input, normalised by the mean and variance of the very inputs that are analysed
    none    the input itself, z = x

It applies to the layer in question and to all before it. Stored moments belong to the masks that were used while the
checkpoint was trained; under other masks those of deeper layers are another network's, and refused.

Images are read block by block, and only a block of what the layers before make of them is in memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sifting.architecture import layer_outputs
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError
from sifting.network.rounds import Checkpoint, Mask, MaskedNetwork, Moments, Round
from sifting.network.statistics import ImageBlocks, LayerInputs, input_moments

if TYPE_CHECKING:  # TensorFlow is for deeper layers only, and takes seconds to import
    import tensorflow as tf

NORMALISATIONS = ("stored", "batch", "none")


# --- what a layer receives


@dataclass(frozen=True, eq=False)
class LayerBlocks:
    """The inputs x of a layer before its normalisation, which the layers before it make of images, block by block.

    Iterating gives [block, n_in] of type `dtype`, as often as one likes: a `source` for statistics.LayerInputs.

    Attributes:
        network: a MaskedNetwork.
        moments: by layer, those that normalise its input (only layers before `layer` count); None: nothing is.
        source: blocks of the network's inputs, such as sifting.network.statistics.ImageBlocks.
        layer: whose inputs; one more than the last layer for the logits.
        dtype: float64, or float32 for the very numbers of validation.
    """

    network: MaskedNetwork
    moments: Mapping[int, Moments] | None
    source: Iterable[np.ndarray]
    layer: int
    dtype: type = np.float64

    def __iter__(self) -> Iterator[np.ndarray]:
        import tensorflow as tf

        from sifting.network.forward import as_tensors

        network = as_tensors(self.network, self.dtype)
        for block in self.source:
            for rows in network.blocks(len(block)):
                yield self._through_layers(network, tf.cast(block[rows], self.dtype)).numpy()

    def _through_layers(self, network: MaskedNetwork, x: "tf.Tensor") -> "tf.Tensor":
        from sifting.network.forward import apply_layer

        for layer in range(self.layer):
            x = apply_layer(network, layer, x, self.moments.get(layer) if self.moments else None)
        return x


def masked_network(
    result: Round,
    image_shape: tuple[int, int, int],
    step: int | None = None,
    masks: Mapping[int, Mask] | None = None,
) -> MaskedNetwork:
    """The network of one checkpoint of a round.

    Args:
        image_shape: (channels, height, width).
        step: of the checkpoint; None: the last one.
        masks: by layer; None: those of the round.

    Raises:
        DataError: no such checkpoint, or the images have another size than those of the run.
    """
    inputs = [int(np.prod(image_shape)), *layer_outputs(result.specs, image_shape)][:-1]
    for layer, (spec, size) in enumerate(zip(result.specs, inputs, strict=True)):
        if spec.is_dense and spec.shape[0] != size:
            raise DataError(
                f"images of shape {tuple(image_shape)} give layer {layer + 1} {size} inputs; accepted: images of the "
                f"shape that the run was trained on, which give {spec.shape[0]}"
            )
    masks = dict(result.masks if masks is None else masks)
    return MaskedNetwork(result.specs, image_shape, result.checkpoint_at(step).parameters, masks)


def network_moments(
    network: MaskedNetwork, checkpoint: Checkpoint, source: Iterable[np.ndarray], stop: int, normalise: str
) -> dict[int, Moments] | None:
    """What normalises the inputs of the layers before `stop`; see the module about `normalise`.

    For "batch", mean and population variance over all of `source`, float64, layer after layer, each layer before
    normalised with its own: what forward.moments_over gives, in two passes over the images a dense layer.

    Returns:
        By layer, or None if nothing is normalised.

    Raises:
        ValueError: normalise is none of the three, or there are no images.
    """
    if normalise not in NORMALISATIONS:
        raise ValueError(f"normalise = {normalise!r}: accepted: {', '.join(NORMALISATIONS)}")
    if normalise == "stored":
        return checkpoint.moments
    if normalise == "none":
        return None
    moments: dict[int, Moments] = {}
    for layer, spec in enumerate(network.specs[:stop]):
        if spec.is_dense:
            moments[layer] = input_moments(LayerBlocks(network, moments, source, layer))
    return moments


def layer_inputs(
    checkpoint: Checkpoint, source: Iterable[np.ndarray], layer: int = 0, normalise: str = "stored"
) -> LayerInputs:
    """x~ = gamma z + beta of one layer, from the layer's own inputs.

    Args:
        checkpoint: gamma and beta are used, and for normalise = "stored" the running moments.
        source: blocks [block, n_in] of the layer's inputs x, before normalisation; read once more for "batch".
        layer: index in the architecture.
        normalise: "stored", "batch" or "none", see the module.

    Raises:
        DataError: there is no such layer, or it has no input normalisation (it is a convolution or a max-pool).
        ValueError: "batch" finds no inputs.
    """
    if layer not in checkpoint.moments:
        accepted = ", ".join(map(str, checkpoint.moments))
        raise DataError(f"layer = {layer}: accepted: {accepted}, which have normalised inputs")
    stored = input_moments(source) if normalise == "batch" else checkpoint.moments[layer]
    return LayerInputs(source, checkpoint.parameters[layer], None if normalise == "none" else stored)


def layer_inputs_of_images(
    result: Round,
    source: Iterable[np.ndarray],
    image_shape: tuple[int, int, int],
    layer: int = 0,
    step: int | None = None,
    masks: Mapping[int, Mask] | None = None,
    normalise: str = "stored",
) -> LayerInputs:
    """x~ = gamma z + beta of any dense layer of a stored network, from images. The first layer needs no TensorFlow.

    Args:
        source: blocks of the network's inputs, such as sifting.network.statistics.ImageBlocks.
        image_shape: (channels, height, width).
        layer: index in the architecture.
        step: of the checkpoint; None: the last one.
        masks: by layer; None: those of the round.
        normalise: "stored", "batch" or "none", see the module.

    Raises:
        DataError: no such checkpoint or dense layer; images of another size; or normalise = "stored" for a layer whose
            inputs come through other masks than those of the round.
        ValueError: normalise is none of the three; else as layer_inputs.
    """
    checkpoint = result.checkpoint_at(step)
    network = masked_network(result, image_shape, step, masks)
    before = [number for number in network.masks if number < layer]
    same = (np.array_equal(*pair) for n in before for pair in zip(result.masks[n], network.masks[n], strict=True))
    if normalise == "stored" and not all(same):
        raise DataError(
            f"the moments that round {result.number} stored for layer {layer + 1} are those of its own masks, not "
            "of these; accepted: normalise = 'batch' or 'none', the first layer, or the masks of that round"
        )
    moments = network_moments(network, checkpoint, source, layer, normalise)
    return layer_inputs(
        checkpoint, LayerBlocks(network, moments, source, layer) if before else source, layer, normalise
    )


# --- the images that activate a node most


class TopImages(NamedTuple):
    """The images of the highest preactivations of each node, the highest first; equal ones in the order of the images.

    rows: int64 [nodes, count], which images; values: [nodes, count], their preactivations, before ReLU.
    """

    rows: NDArray[np.int64]
    values: np.ndarray


def most_activating(
    result: Round,
    image_set: ImageSet,
    layer: int = 0,
    nodes: Sequence[int] | np.ndarray | None = None,
    count: int = 3,
    step: int | None = None,
    normalise: str = "stored",
) -> TopImages:
    """The validation images with the highest activations over nodes of a dense layer (P&B Fig. 3b and 15 show 3).

    Images are ranked by the preactivation lambda = W . x~ + b, in float64. Where it is positive it is the activation;
    below zero, where ReLU would make all images equal, it still ranks them. A node that no image changes has the first
    images.

    Args:
        image_set: its validation images are used, and TopImages.rows counts them.
        layer: index in the architecture; of the output layer the nodes are the classes.
        nodes: int [k], which nodes; None: all. The most connected: connectivity.most_connected(...)[:k].
        count: images a node.
        step: of the checkpoint; None: the last one.
        normalise: "stored", "batch" or "none", see the module.

    Returns:
        TopImages [k, count], nodes in the order given.

    Raises:
        DataError, ValueError: as layer_inputs_of_images. ValueError: there are fewer images.
    """
    source = ImageBlocks(image_set.val_images, image_set.mean)
    inputs = layer_inputs_of_images(result, source, image_set.shape, layer, step, normalise=normalise)
    values = preactivations(inputs, result.masks[layer], slice(None) if nodes is None else np.asarray(nodes))
    if not 1 <= count <= len(values):
        raise ValueError(f"count = {count}: accepted: 1 to {len(values)}, the number of images")
    return top_images(values, count)


def preactivations(inputs: LayerInputs, mask: Mask, nodes: np.ndarray | slice) -> NDArray[np.float64]:
    """lambda = W . x~ + b of some nodes, masked: float64 [images, nodes]."""
    W = (inputs.parameters.W * mask.W)[:, nodes].astype(np.float64)
    b = (inputs.parameters.b * mask.b)[nodes].astype(np.float64)
    return np.concatenate([x @ W + b for x in inputs])


def top_images(values: np.ndarray, count: int) -> TopImages:
    """Of preactivations [images, nodes]."""
    rows = np.argsort(-values, axis=0, kind="stable")[:count].T
    return TopImages(rows, np.take_along_axis(values.T, rows, axis=1))
