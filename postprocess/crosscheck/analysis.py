"""Kind `postprocess`: what the reference's notebook made of a recorded run, against postprocess.

Names of arrays say what was recorded, NAME being any word:

    NAME_rN_lL_sc, _dc             S maps of round N, the effective mask of layer L (of layer 1: its own)
    NAME_rN_lL_connections         C_in of its nodes
    NAME_rN_pixel_connections_normalised   C_out,0 over its maximum, [S, S, 3]
    NAME_rN_top_nodes              nodes of layer 1, the most connected first
    NAME_rN_probabilities, _top1   of the validation images, last checkpoint
    NAME_rN_removal_max, _min      top-1 accuracy without the k most / least connected nodes, k = 0, s, 2 s, ...
    NAME_mask, NAME_sc, NAME_dc    a mask and its S maps

`meta` names the file of the run, of kind imp, in the same folder. Maps, counts, accuracies and curves must be equal,
the order of nodes (and so the removal curves) up to ties, probabilities within 1e-5.
"""

import itertools
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from postprocess.connectivity import input_connections, most_connected
from postprocess.crosscheck.imp import ImpRecording, read_recorded_experiment
from postprocess.crosscheck.recording import Recording, load_recording, not_compared, verdict
from postprocess.evaluation import evaluate, probabilities, removal_curve, removal_order
from postprocess.locality import displacement_maps
from postprocess.masks import effective_mask, pixel_map
from sifting.base.quiet import native_messages_hidden
from sifting.datasets.image_set import ImageSet
from sifting.network.rounds import Round

TOLERANCE = 1e-5  # of probabilities
USUAL_REMOVAL_STEP = 8  # nodes, in the notebook
MOST_CHOICES = 1000  # of nodes among equally connected ones
_OF_LAYER = re.compile(r".+_r(?P<round>[0-9]+)_l(?P<layer>[0-9]+)_(?P<what>sc|dc|connections)")
_OF_ROUND = re.compile(
    r".+_r(?P<round>[0-9]+)_(?P<what>pixel_connections_normalised|top_nodes|probabilities|top1|removal_max|removal_min)"
)
_OF_MASK = re.compile(r"(?P<mask>.+)_(?P<what>sc|dc)")


def check(recording: Recording, loops: Sequence[str]) -> list[bool]:
    """Compare one recording and print the comparison; whether it agrees. Nothing is trained by `loops`.

    Raises:
        DataError: the recorded run is missing, or arrays are missing or of a wrong shape.
    """
    with native_messages_hidden():
        import sifting.network.forward  # noqa: F401  TensorFlow, without its start-up messages
    partner = recording.path.parent / str(recording.described("run"))
    run = ImpRecording.of(load_recording(partner, ["imp"]))
    print(f"{recording.name}  of {run.name}; tolerance: probabilities {TOLERANCE:g}, all else equal")
    with tempfile.TemporaryDirectory() as folder:
        val_size = read_recorded_experiment(run, "plain", Path(folder)).network.val_size
    images = run.image_set(val_size)
    failures, others = [], []
    for name in sorted(recording.arrays):
        compare = _comparison(recording, run, images, name)
        if compare is None:
            others += [] if name.endswith("_mask") else [name]
            continue
        found = compare()
        print(f"{name:44} {found or 'equal'}")
        if found and not found.startswith("within"):
            failures.append(f"{name}: {found}")
    not_compared(others)
    if len(others) == len(recording.arrays):
        raise recording.refusal("has none of the arrays that this kind has, such as NAME_r3_l1_sc")
    return [verdict(failures)]


def _comparison(recording: Recording, run: ImpRecording, images: ImageSet, name: str) -> Callable[[], str] | None:
    """What compares an array: says how it differs, nothing if it is equal. None for arrays that are not results."""
    theirs = recording.array(name)
    if match := _OF_LAYER.fullmatch(name):
        mask = _effective_mask(recording, run, int(match["round"]), int(match["layer"]))
        return partial(_compare_mask, mask, match["what"], theirs)
    if match := _OF_ROUND.fullmatch(name):
        number = int(match["round"])
        _effective_mask(recording, run, number, 1)  # refuses rounds that the run does not have
        return partial(_OF_ROUND_COMPARISONS[match["what"]], run.round(number), images, theirs)
    if (match := _OF_MASK.fullmatch(name)) and f"{match['mask']}_mask" in recording.arrays:
        return partial(_compare_mask, recording.array(f"{match['mask']}_mask", (None, None)), match["what"], theirs)
    return None


def _effective_mask(recording: Recording, run: ImpRecording, number: int, layer: int) -> np.ndarray:
    if number not in run.rounds or layer - 1 not in run.layers:
        raise recording.refusal(
            f"round {number}, layer {layer}; {run.name} has {len(run.rounds)} rounds and layers 1 to {len(run.layers)}"
        )
    return effective_mask([run.masks(number)[before].W for before in range(layer)])


# --- one comparison each


def _compare_mask(mask: np.ndarray, what: str, theirs: np.ndarray) -> str:
    if what == "connections":
        return _equal(input_connections(mask), theirs)
    maps = displacement_maps(mask)
    return _equal(maps.same if what == "sc" else maps.different, theirs)


def _compare_pixels(result: Round, images: ImageSet, theirs: np.ndarray) -> str:
    return _equal(pixel_map(result.masks[0].W).astype(theirs.dtype), theirs)


def _compare_order(result: Round, images: ImageSet, theirs: np.ndarray) -> str:
    connections = input_connections(result.masks[0].W)
    ours = most_connected(connections)[: len(theirs)]
    if len(set(theirs.tolist())) < len(theirs) or not np.isin(theirs, np.arange(len(connections))).all():
        return "not different nodes of layer 1"
    return _equal(connections[ours], connections[theirs])


def _compare_probabilities(result: Round, images: ImageSet, theirs: np.ndarray) -> str:
    ours = probabilities(result, images)
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, not {theirs.shape}"
    difference = np.max(np.abs(ours - theirs))
    return f"{'within' if difference <= TOLERANCE else 'beyond'} {TOLERANCE:g}: {difference:.1e}"


def _compare_top1(result: Round, images: ImageSet, theirs: np.ndarray) -> str:
    ours = evaluate(result, images).top1
    return "" if np.allclose(ours, theirs, rtol=0, atol=1e-9) else f"{ours:g}, not {theirs:g}"


def _compare_removal(order: str, result: Round, images: ImageSet, theirs: np.ndarray) -> str:
    """The sizes are not recorded: multiples of the notebook's step, or else of a step that gives so many of them."""
    nodes = result.specs[0].nodes
    steps = [step for step in range(1, nodes + 1) if len(range(0, nodes, step)) == len(theirs)]
    found = [_removal_differences(order, result, images, range(0, nodes, step), theirs) for step in steps]
    if not all(found):
        return ""
    usual = found[steps.index(USUAL_REMOVAL_STEP)] if USUAL_REMOVAL_STEP in steps else None
    return usual or next(iter(found), f"no step gives {len(theirs)} sizes below {nodes}")


def _removal_differences(order: str, result: Round, images: ImageSet, sizes: range, theirs: np.ndarray) -> str:
    """Which nodes go first among equally connected ones depends on the notebook's numpy: any choice may meet it."""
    connections = input_connections(result.masks[0].W)
    ranked = removal_order(connections, order)
    different = []
    for size, accuracy in zip(sizes, theirs, strict=True):
        last = connections[ranked[size - 1]]
        ties = np.flatnonzero(connections == last) if size else np.array([], int)
        certain = [node for node in ranked[:size] if node not in ties]
        choices = itertools.islice(itertools.combinations(ties, size - len(certain)), MOST_CHOICES)
        if not any(
            np.isclose(removal_curve(result, images, [*certain, *choice], [size]).top1[0], accuracy, rtol=0, atol=1e-9)
            for choice in choices
        ):
            different.append(size)
    return f"without {', '.join(map(str, different))} nodes" if different else ""


_OF_ROUND_COMPARISONS: dict[str, Callable[[Round, ImageSet, np.ndarray], str]] = {
    "pixel_connections_normalised": _compare_pixels,
    "top_nodes": _compare_order,
    "probabilities": _compare_probabilities,
    "top1": _compare_top1,
    "removal_max": partial(_compare_removal, "most"),
    "removal_min": partial(_compare_removal, "least"),
}


def _equal(ours: np.ndarray, theirs: np.ndarray) -> str:
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, not {theirs.shape}"
    different = np.count_nonzero(ours != theirs)
    return f"{different} of {ours.size} entries differ, by up to {np.max(np.abs(ours - theirs)):g}" if different else ""
