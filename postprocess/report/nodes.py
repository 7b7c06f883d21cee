"""The nodes of a run as the page shows them: weights as images, receptive fields, scores, preactivations, images.

A node of layer 1 looks at the inputs through its own weights, one of a deeper layer through the effective ones, see
postprocess.masks. Weights, C_in and fits are those of the end of a round. Where it starts, with the rewind weights
under its masks, are kurtosis and cavity scores (postprocess.analyse), of the same training images as there.
"""

import base64
import io
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from postprocess.activations import layer_inputs_of_images, preactivations, top_images
from postprocess.analyse import PARTS, Analysis
from postprocess.connectivity import input_connections, most_connected
from postprocess.kurtosis import IMAGES_PER_CLASS, Kurtosis, first_of_each_class
from postprocess.locality import displacement_maps
from postprocess.masks import input_images, layer_masks
from postprocess.receptive_field import receptive_fields
from sifting.datasets.image_set import ImageSet
from sifting.errors import SiftingError
from sifting.network.rounds import Round
from sifting.network.statistics import ImageBlocks, cavity_scores, class_moments
from sifting.runs.directory import RunDirectory

LEVELS = 7  # of a weight's size; the sign comes on top
BINS, REACH = 40, 5.0  # of a histogram of preactivations: from -REACH to REACH standard deviations, and beyond
TOP = 5  # images that drive a node
VALUES = 10_400_000  # weights and scores of a page, which keep it below 5 MB
FEWEST_NODES = 12


class Arrays:
    """Arrays of small numbers for the page's script: compressed together, each named by its place."""

    def __init__(self) -> None:
        self._content = bytearray()

    def add(self, values: np.ndarray) -> dict[str, Any]:
        self._content += bytes(-len(self._content) % 4)
        start = len(self._content)
        self._content += np.ascontiguousarray(values).tobytes()
        return {"at": start, "shape": values.shape, "type": values.dtype.name}

    def encoded(self) -> str:
        return packed(bytes(self._content))


def packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def explore(directory: RunDirectory, arrays: Arrays, images: int, values: int = VALUES) -> dict[str, Any]:
    """What the script shows of one run; {} if its first layer does not look at images.

    Args:
        arrays: get the large ones.
        images: validation images from which those that drive a node are chosen; 0: nothing that needs images.
        values: about so many weights at most; the most connected nodes of the last round come first.
    """
    run = Analysis(directory, report=lambda line: None)
    last = run[run.numbers[-1]]
    if last.image_shape is None:
        return {}
    image_set, without = _images(run) if images else (None, "--images 0")
    start = "" if image_set is None else run.why_not(PARTS["kurtosis"])
    layers = range(max(1, len(last.specs) - 1))
    count = max(FEWEST_NODES, values // (last.specs[0].shape[0] * len(run) * (len(layers) + 1)))
    nodes = [most_connected(input_connections(last.masks[layer].W))[:count] for layer in layers]
    numbers: Iterable[int] = run.numbers
    if sys.stderr.isatty():  # rich before 14.3 ends a line of a log even if it shows nothing
        numbers = track(numbers, f"{directory}", console=Console(stderr=True), transient=True)
    columns: list[dict[str, list[Any]]] = [defaultdict(list) for _ in layers]
    for number in numbers:
        result = run[number]
        for layer, found in enumerate(_of_masks(result, nodes)):
            if image_set is not None:
                found |= _trained(result, image_set, layer, nodes[layer], images)
                found |= {} if start else _at_start(run, result, layer, nodes[layer])
            for name, value in found.items():
                columns[layer][name].append(value)
    stacked = [{name: np.stack(values) for name, values in column.items()} for column in columns]
    shown: dict[str, Any] = {"shape": last.image_shape, "node_rounds": run.numbers, "without": without, "start": start}
    shown["layers"] = []
    if image_set is not None:
        shown |= _sprite(image_set, stacked)
    for layer, column in enumerate(stacked):
        words = {"layer": layer + 1, "of": last.specs[layer].shape[1], "nodes": nodes[layer].tolist()}
        shown["layers"].append(words | _packed(column, arrays))
    return shown


def _images(run: Analysis) -> tuple[ImageSet | None, str]:
    """The images, or why there are none."""
    try:
        return run.image_set, ""
    except SiftingError as error:
        return None, str(error)


def _of_masks(result: Round, nodes: Sequence[NDArray[np.intp]]) -> list[dict[str, Any]]:
    """Of each layer."""
    layers = range(len(nodes))
    own = [result.masks[layer].W for layer in layers]
    parameters = result.checkpoints[-1].parameters if result.checkpoints else {}
    weights = [parameters[layer].W * own[layer] if parameters else own[layer] for layer in layers]
    found = []
    effective = zip(layer_masks(own, "effective"), accumulate(weights, np.matmul), strict=True)
    for layer, (mask, W) in enumerate(effective):
        taken, maps = mask[:, nodes[layer]], displacement_maps(mask, result.image_shape)
        fits, quantised = receptive_fields(taken, shape=result.image_shape), _quantised(W[:, nodes[layer]], taken)
        columns: dict[str, Any] = {"weights": quantised[0], "scale": quantised[1]}
        columns |= {"C_in": input_connections(own[layer][:, nodes[layer]]), "inputs": input_connections(taken)}
        columns |= {"sigma_x": fits.sigma_x, "sigma_y": fits.sigma_y, "r_squared": fits.r_squared}
        columns |= {"converged": fits.converged.astype(int)}
        for name, counts in (("S_sc", maps.same), ("S_dc", maps.different)):
            largest = max(int(counts.max()), 1)
            columns |= {name: np.rint(255 / largest * counts[1:-1, 1:-1]).astype(np.uint8), f"{name}_max": largest}
        found.append(columns)
    return found


def _quantised(values: np.ndarray, mask: np.ndarray, percentile: float = 100) -> tuple[np.ndarray, np.ndarray]:
    """int8 [nodes, inputs], each node's sizes up to a percentile of what is kept in LEVELS, 0 where pruned; and that
    size, [nodes]."""
    sizes = np.where(mask != 0, np.abs(np.nan_to_num(values)), 0)
    kept = (size[own != 0] for size, own in zip(sizes.T, np.asarray(mask).T, strict=True))
    largest = np.array([np.percentile(size, percentile) if size.size else 0.0 for size in kept])
    largest = np.maximum(largest, np.finfo(np.float32).tiny)
    levels = np.clip(np.ceil(sizes / largest * LEVELS), 1, LEVELS) * np.where(np.nan_to_num(values) < 0, -1, 1)
    return np.where(mask != 0, levels, 0).T.astype(np.int8), largest


def _trained(
    result: Round, image_set: ImageSet, layer: int, nodes: NDArray[np.intp], images: int
) -> dict[str, np.ndarray]:
    """Preactivations of validation images at the end of the round, and the images where they are largest."""
    source = ImageBlocks(image_set.val_images[:images], image_set.mean)
    inputs = layer_inputs_of_images(result, source, image_set.shape, layer)
    values = preactivations(inputs, result.masks[layer], nodes)
    top = top_images(values, TOP)
    return {
        "trained": _histograms(values),
        "kurtosis_trained": Kurtosis.of(
            class_moments([values], np.eye(len(nodes)), np.zeros(len(values), int))
        ).over_all,
        "top": top.rows,
        "top_values": top.values,
    }


def _at_start(run: Analysis, result: Round, layer: int, nodes: NDArray[np.intp]) -> dict[str, np.ndarray | float]:
    """Preactivations of training images, and the cavity scores of layer 1."""
    images, rewind = run.image_set, run[0].checkpoints[0]
    rows = first_of_each_class(images.labels, IMAGES_PER_CLASS)
    source = ImageBlocks(images.images, images.mean, rows)
    normalise = "batch" if layer else "stored"
    inputs = layer_inputs_of_images(run[0], source, images.shape, layer, rewind.step, result.masks, normalise)
    mask, W = result.masks[layer].W, rewind.parameters[layer].W
    found = Kurtosis.of(class_moments(inputs, W * mask, images.labels[rows]))
    values: dict[str, Any] = {
        "initial": _histograms(preactivations(inputs, result.masks[layer], nodes)),
        "kurtosis": found.over_all[nodes],
        "kurtosis_mean": found.mean,
        "kurtosis_within_class": found.mean_within_class,
    }
    if layer == 0:
        values["scores"] = cavity_scores(inputs, W[:, nodes], mask[:, nodes]).T
    return values


def _histograms(values: np.ndarray) -> NDArray[np.uint16]:
    """Counts of the standardised values of each column, [nodes, BINS]; 0 without a variance."""
    spread = values.std(axis=0)
    z = (values - values.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    counts = [np.histogram(column, BINS, (-REACH, REACH))[0] for column in z.clip(-REACH, REACH).T]
    shown: NDArray[np.uint16] = (np.array(counts) * (spread > 0)[:, None]).clip(0, 65535).astype(np.uint16)
    return shown


def _sprite(image_set: ImageSet, layers: Sequence[dict[str, np.ndarray]]) -> dict[str, Any]:
    """The images that drive the nodes as one picture, tiles row by row; `top` then counts these."""
    rows = np.unique(np.concatenate([column["top"].ravel() for column in layers]))
    for column in layers:
        column["top"] = np.searchsorted(rows, column["top"]).astype(np.uint16)
    columns, (channels, height, width) = 32, image_set.shape
    tiles = input_images(image_set.val_images[rows].T, image_set.shape)
    if channels != 3:
        tiles = np.repeat(tiles.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    tiles = np.concatenate([tiles, np.zeros((-len(tiles) % columns, *tiles.shape[1:]), np.uint8)])
    picture = tiles.reshape(-1, columns, height, width, 3).swapaxes(1, 2).reshape(-1, columns * width, 3)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=80)
    uri = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
    return {"sprite": uri, "labels": image_set.val_labels[rows].tolist()}


def _packed(column: Mapping[str, np.ndarray], arrays: Arrays) -> dict[str, Any]:
    """Large arrays are named by their places, small ones are lists."""
    column = dict(column)
    found: dict[str, Any] = {}
    if "scores" in column:
        pairs = [
            _quantised(one.T, mask.T, 99.5) for one, mask in zip(column.pop("scores"), column["weights"], strict=True)
        ]
        column["cavity"], column["cavity_scale"] = (np.stack(values) for values in zip(*pairs, strict=True))
    for name, values in column.items():
        small = values.dtype.itemsize > 2
        found[name] = rounded(values) if small else arrays.add(values)
    return found


def rounded(values: Any) -> Any:
    """Lists of numbers for JSON, four digits of those that are not whole; None for what is not defined."""
    if np.ndim(values):
        return [rounded(value) for value in values]
    if isinstance(values, np.integer):
        return int(values)
    number = float(f"{float(values):.4g}")
    return None if not np.isfinite(number) else int(number) if number == int(number) else number
