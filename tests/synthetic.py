"""A tiny experiment, made-up rounds of it and files of images, for tests that need them but no training."""

import copy
import dataclasses
import os
from pathlib import Path

import numpy as np

from sifting.architecture import LayerSpec, build_specs, parse_arch
from sifting.rounds import Checkpoint, Mask, Moments, Parameters, Round

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


def made_round(number: int, specs: tuple[LayerSpec, ...] = SPECS) -> Round:
    """A round of 20 steps whose numbers mean nothing; dense layers only. Weights are stored at steps 5 and 20."""
    parameters = {
        layer: Parameters(
            np.full(spec.weight_shape, number, np.float32),
            *(np.zeros(n, np.float32) for n in (spec.nodes, spec.shape[0], spec.shape[0])),
        )
        for layer, spec in enumerate(specs)
    }
    moments = {layer: Moments(*np.zeros((2, spec.shape[0]), np.float32)) for layer, spec in enumerate(specs)}
    return Round(
        number,
        specs,
        np.full(sum(spec.prunable for spec in specs), 1 - 0.7**number),
        {
            layer: Mask(np.ones(spec.weight_shape, np.float32), np.ones(spec.nodes, np.float32))
            for layer, spec in enumerate(specs)
        },
        tuple(Checkpoint(step, parameters, moments) for step in (5, 20)),
        np.full(21, 0.5, np.float32),
        (0, 10, 20),
        np.full(3, 0.5, np.float32),
    )


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
