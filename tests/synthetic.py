"""A tiny experiment and made-up rounds of it, for tests that need an input file and run directories but no training."""

import copy
from pathlib import Path

import numpy as np

from sifting.architecture import LayerSpec, build_specs, parse_arch
from sifting.rounds import Checkpoint, Mask, Moments, Parameters, Round

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
