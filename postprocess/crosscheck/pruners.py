"""Kind `pruners`: SNIP and SynFlow scores and masks of the official PyTorch code, against sifting.pruning.

The recorded network has ReLU nodes, weights W0, W1, ... and no biases or normalisation; all its weights are one pool.
Names of arrays say what was recorded: METHOD_scoreL for layer L of the dense network, snip_U_maskL and
synflow_U_N_maskL for density U, reached in N iterations. Scores must agree within 1e-9, masks in every entry.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from postprocess.crosscheck.recording import Recording, not_compared, relative_difference, verdict
from sifting.architecture import DENSE, OUTPUT, LayerSpec
from sifting.base.quiet import native_messages_hidden
from sifting.network.rounds import Mask, Parameters

TOLERANCE = 1e-9
_SCORE = re.compile(r"(snip|synflow)_score[0-9]+")
_MASK = re.compile(r"(snip_[^_]+|synflow_[^_]+_[0-9]+)_mask[0-9]+")
_INPUT = re.compile(r"x|y|W[0-9]+")


@dataclass(frozen=True)
class Results:
    """Scores by method and masks by setting (METHOD_DENSITY, METHOD_DENSITY_ITERATIONS), one array [n_in, n_out] a
    layer."""

    scores: dict[str, list[np.ndarray]]
    masks: dict[str, list[np.ndarray]]


def check(recording: Recording, loops: Sequence[str]) -> list[bool]:
    """Compare one recording and print the comparison; whether it agrees. Nothing is trained by `loops`."""
    theirs = read_results(recording)
    ours = replay(recording, theirs)
    print(f"{recording.name}  {'-'.join(map(str, _dims(recording)))}; tolerance: scores {TOLERANCE:g}, masks equal")
    known = (_INPUT, _SCORE, _MASK)
    others = [name for name in recording.arrays if not any(pattern.fullmatch(name) for pattern in known)]
    not_compared(others)
    return [verdict(_compare_scores(ours, theirs) + _compare_masks(ours, theirs))]


# --- what was recorded


def read_results(recording: Recording) -> Results:
    """Raises DataError: scores or masks that are missing, of a wrong shape, or no masks."""
    settings = _first_groups(_MASK, recording)
    methods = dict.fromkeys([*_first_groups(_SCORE, recording), *(setting.split("_")[0] for setting in settings)])
    if not settings:
        raise recording.refusal("has no masks, such as snip_0.1_mask0 or synflow_0.1_100_mask0")
    for setting in settings:
        _, density, *iterations = setting.split("_")
        if not _is_density(density) or not all(map(int, iterations)):
            raise recording.refusal(f"{setting}_mask0 names no density in (0, 1] or no iteration")
    masks = {setting: _layers(recording, f"{setting}_mask") for setting in settings}
    for setting, layers in masks.items():
        if not all(np.isin(mask, (0, 1)).all() for mask in layers):
            raise recording.refusal(f"{setting}_mask has entries that are neither 0 nor 1")
    return Results({method: _layers(recording, f"{method}_score") for method in methods}, masks)


def _first_groups(pattern: re.Pattern[str], recording: Recording) -> list[str]:
    """Of the names of arrays that match, each once, in their order."""
    return list(dict.fromkeys(match[1] for match in map(pattern.fullmatch, recording.arrays) if match))


def _is_density(text: str) -> bool:
    try:
        return 0 < float(text) <= 1
    except ValueError:
        return False


def _dims(recording: Recording) -> list[int]:
    """Inputs, nodes of each hidden layer, classes."""
    dims = recording.described("dims")
    if not (isinstance(dims, list) and len(dims) >= 2 and all(type(size) is int and size >= 1 for size in dims)):
        raise recording.refusal(f"meta dims = {dims}; accepted: sizes of two layers or more")
    return dims


def _layers(recording: Recording, prefix: str) -> list[np.ndarray]:
    """prefix0, prefix1, ...: arrays shaped like the weights."""
    dims = _dims(recording)
    return [recording.array(f"{prefix}{layer}", shape) for layer, shape in enumerate(zip(dims, dims[1:], strict=False))]


# --- replay


def replay(recording: Recording, recorded: Results) -> Results:
    """Our scores and masks for everything that was `recorded`.

    Raises:
        DataError: weights, images or labels that are missing or do not fit.
    """
    with native_messages_hidden():
        from sifting.network.forward import ScoredNetwork
        from sifting.pruning.gradients import iterated_synflow, snip, synflow
        from sifting.pruning.scopes import globally

    weights = _layers(recording, "W")
    network = ScoredNetwork(
        specs=tuple(LayerSpec(DENSE, W.shape, True) for W in weights[:-1])
        + (LayerSpec(OUTPUT, weights[-1].shape, True),),
        image_shape=(1, 1, len(weights[0])),
        parameters={
            layer: Parameters(W, np.zeros(W.shape[1]), np.ones(W.shape[0]), np.zeros(W.shape[0]))
            for layer, W in enumerate(weights)
        },
        masks={
            layer: Mask(np.ones(W.shape, np.float32), np.ones(W.shape[1], np.float32))
            for layer, W in enumerate(weights)
        },
    )
    scores = {}
    if "snip" in recorded.scores:
        scores["snip"] = snip(network, *_images(recording), moments=None)
    if "synflow" in recorded.scores:
        scores["synflow"] = synflow(network)
    masks = {}
    for setting in recorded.masks:
        method, density, *iterations = setting.split("_")
        if method == "snip":
            masks[setting] = globally(scores["snip"], network.masks, 1 - float(density))
        else:
            masks[setting] = iterated_synflow(network, 1 - float(density), int(iterations[0]))
    return Results(
        {method: [layer.W for layer in found.values()] for method, found in scores.items()},
        {setting: [layer.W for layer in found.values()] for setting, found in masks.items()},
    )


def _images(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Network inputs [n, n_in] and int32 labels [n]."""
    dims = _dims(recording)
    x = recording.array("x", (None, dims[0]))
    y = recording.array("y", (len(x),))
    if len(x) == 0 or np.any((y < 0) | (y >= dims[-1])):
        raise recording.refusal(f"y; accepted: labels 0 ... {dims[-1] - 1} of one image or more")
    return x, y.astype(np.int32)


# --- comparison


def _compare_scores(ours: Results, theirs: Results) -> list[str]:
    """Print a line a layer; what is beyond tolerance, in words."""
    failures = []
    print(f"{'scores':20}{'layer':>6}{'max|a-b|':>12}{'/ max|b|':>12}")
    for method, layers in theirs.scores.items():
        for layer, (a, b) in enumerate(zip(ours.scores[method], layers, strict=True)):
            relative = relative_difference(a, b)
            print(f"{method:20}{layer:6}{np.max(np.abs(a - b)):12.1e}{relative:12.1e}")
            if not relative <= TOLERANCE:
                failures.append(f"{method} scores of layer {layer} differ by {relative:.1e}")
    return failures


def _compare_masks(ours: Results, theirs: Results) -> list[str]:
    """Print a line a layer; which masks differ, in words."""
    failures = []
    print(f"{'masks':20}{'layer':>6}{'kept: ours':>12}{'theirs':>12}{'differ':>8}{'of':>10}")
    for setting, layers in theirs.masks.items():
        for layer, (a, b) in enumerate(zip(ours.masks[setting], layers, strict=True)):
            kept, differing = (np.count_nonzero(a), np.count_nonzero(b)), np.count_nonzero(a != b)
            print(f"{setting:20}{layer:6}{kept[0]:12}{kept[1]:12}{differing:8}{b.size:10}")
            if differing:
                failures.append(f"{setting}: {differing} mask entries of layer {layer} differ")
    return failures
