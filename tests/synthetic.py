"""A tiny experiment, made-up rounds of it and files of images, for tests that need them but no training."""

import copy
import dataclasses
import os
from pathlib import Path

import numpy as np

from sifting.architecture import LayerSpec, build_specs, parse_arch
from sifting.network.rounds import Checkpoint, Mask, Moments, Parameters, Round
from sifting.runs.directory import RunDirectory

REFERENCE = Path(__file__).parent / "data" / "imp_fc_sgd_run"  # a run that the TF1 code wrote

SPECS = build_specs(parse_arch("f4:x"), (True, False), (3, 32, 32), 10)

_INPUT = {
    "IO": {},
    "Data": {"dataset": "EdgeCollage32", "collage_images": "300", "collage_val_images": "40"},
    "Network": {"arch": "f4:x", "steps": "20", "batch_size": "5", "val_size": "30", "validate_step": "10", "seed": "1"},
}
_LEVELS = {"prune": "T:F", "sparsity": "0.5, 0.9"}
_METHODS = {
    "IMP": {"prune": "T:F", "weights_step": "5", "max_iterations": "3"},
    "OneShot": _LEVELS | {"weights_step": "5"},
    "SNIP": _LEVELS | {"images": "100"},
    "SynFlow": _LEVELS,
    "Random": _LEVELS,
    "LayerByLayer": {"prune": "T:F", "weights_step": "5"},
    "GraSP": _LEVELS | {"images": "100"},
    "Cavity": {"prune": "T:F", "weights_step": "5", "images": "100", "max_iterations": "3"},
}


def input_text(folder: Path, *changes: str, method: str = "IMP") -> str:
    """An input file for the specs above; its save_dir and cache_dir are in `folder`.

    Args:
        changes: "Section.key=value"; without "=value" the key is left out.
        method: name of the method section.
    """
    sections = copy.deepcopy(_INPUT | {method: _METHODS[method]})
    sections["IO"] = {"save_dir": str(folder / "run"), "cache_dir": str(folder / "cache")}
    for change in changes:
        target, given, value = change.partition("=")
        section, _, key = target.partition(".")
        if given:
            sections.setdefault(section, {})[key] = value
        else:
            del sections[section][key]
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for section, entries in sections.items()
    )


def write_input(folder: Path, *changes: str, name: str = "test.in", method: str = "IMP") -> Path:
    path = folder / name
    path.write_text(input_text(folder, *changes, method=method))
    return path


def made_round(
    number: int, specs: tuple[LayerSpec, ...] = SPECS, W: tuple[np.ndarray, ...] = (), error: float = 0.5
) -> Round:
    """A round of 20 steps with weights stored at steps 5 and 20, whose numbers mean nothing but those given.

    Args:
        W: masks of the weights, of each layer; default: ones.
        error: of every validation.
    """
    weighted = {layer: spec for layer, spec in enumerate(specs) if spec.has_weights}
    kept = {layer: np.ones(spec.weight_shape) for layer, spec in weighted.items()} | dict(enumerate(W))
    dense = {layer: spec for layer, spec in weighted.items() if spec.is_dense}

    def zeros(*sizes):
        return (np.zeros(size, np.float32) for size in sizes)

    parameters = {layer: Parameters(np.full(spec.weight_shape, number, np.float32)) for layer, spec in weighted.items()}
    masks = {layer: Mask(mask.astype(np.float32)) for layer, mask in kept.items()}
    for layer, spec in dense.items():
        n_in, nodes = spec.shape
        parameters[layer] = Parameters(parameters[layer].W, *zeros(nodes, n_in, n_in))
        masks[layer] = Mask(masks[layer].W, np.ones(nodes, np.float32))
    moments = {layer: Moments(*zeros(spec.shape[0], spec.shape[0])) for layer, spec in dense.items()}
    return Round(
        number,
        specs,
        np.full(sum(spec.prunable for spec in specs), 1 - 0.7**number),
        masks,
        tuple(Checkpoint(step, parameters, moments) for step in (5, 20)),
        np.full(21, 0.5, np.float32),
        (0, 10, 20),
        np.full(3, error, np.float32),
    )


def masked_run(folder: Path, local: bool, error: float, rounds: int = 3, size: int = 16) -> RunDirectory:
    """A run whose first layer keeps 30 % of its weights a round: in discs that shrink (local), or at random."""
    rng = np.random.default_rng(6)
    specs = (LayerSpec("f", (3 * size**2, 12), True), LayerSpec("x", (12, 4), False))
    y, x = np.mgrid[:size, :size]
    centres = rng.uniform(4, size - 4, (12, 2))
    distance = np.stack([np.hypot(y - cy, x - cx) for cy, cx in centres], axis=-1)
    distance = np.broadcast_to(distance, (3, size, size, 12)).reshape(-1, 12)
    order = distance + 0.01 * rng.random(distance.shape) if local else rng.random(distance.shape)
    masks = [order <= np.quantile(order, 0.3**number) for number in range(rounds)]
    return stored_run(folder, *(made_round(n, specs, (mask,), error - 0.01 * n) for n, mask in enumerate(masks)))


def stored_run(folder: Path, *rounds: Round) -> RunDirectory:
    """A run of these rounds."""
    folder.mkdir(parents=True, exist_ok=True)
    directory = RunDirectory(folder, "IMP")
    for result in rounds:
        directory.write_round(result)
    return directory


class RunsCode:
    """Pickles into a call that makes the folder code_was_run."""

    def __reduce__(self):
        return os.mkdir, ("code_was_run",)


def official_batch(count: int, first_label: int = 1, seed: int = 0, size: int = 32, **fields) -> dict:
    """What the pickle of an official ImageNet or CIFAR-10 file holds; fields: more of them, or others."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3 * size * size), dtype=np.uint8)
    return {"data": pixels, "labels": list(range(first_label, first_label + count))} | fields


def npz_fields(**changes) -> dict:
    """A user's 10 + 3 images of 5 x 5 pixels in three classes; a field that is None is left out."""
    rng = np.random.default_rng(0)
    fields = {
        "images": rng.integers(0, 256, (10, 5, 5, 3), dtype=np.uint8),
        "labels": np.arange(10) % 3,
        "val_images": rng.integers(0, 256, (3, 5, 5, 3), dtype=np.uint8),
        "val_labels": np.array([2, 2, 0], np.uint8),
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def assert_same(one, other) -> None:
    """Equal values of equal types, at every depth."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        one, other = vars(one), vars(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, (list, tuple)):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    else:
        assert one == other
