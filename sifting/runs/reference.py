"""The reference's lists and its log: the only place that knows them."""

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sifting.architecture import CONVOLUTION, DENSE, OUTPUT, POOL, LayerSpec
from sifting.base import checksums
from sifting.base.pickles import load_pickle
from sifting.errors import DataError, one_line
from sifting.network.rounds import NOTHING, Checkpoint, Mask, Moments, Parameters, Round, connected_fraction

CHECKSUM = "checksum"  # of a round's file, in run.json


def _specs_from_lists(arch: list[Any]) -> tuple[LayerSpec, ...]:
    return tuple(LayerSpec(str(kind), tuple(int(n) for n in shape), bool(prunable)) for kind, shape, prunable in arch)


def _specs_to_lists(specs: tuple[LayerSpec, ...]) -> list[list[Any]]:
    return [[spec.kind, list(spec.shape), spec.prunable] for spec in specs]


def _fresh(values: npt.ArrayLike, dtype: type) -> np.ndarray:
    """A C-ordered copy. Pickles show which objects are the same one, and an array that was unpickled has a dtype
    object of its own: only from fresh arrays do equal rounds give equal bytes."""
    array: np.ndarray = np.empty(np.shape(values), dtype)
    array[...] = values
    return array


def _to_lists(values: Mapping[int, Parameters | Mask], layers: int) -> list[list[np.ndarray]]:
    """Copies of the arrays of every layer; an empty list for a layer without any."""
    return [[_fresh(value, np.float32) for value in values.get(layer, ()) if value.size] for layer in range(layers)]


def round_to_lists(result: Round) -> list[Any]:
    """The reference's list of 10."""
    layers = len(result.specs)
    return [
        _specs_to_lists(result.specs),
        _fresh(result.sparsities, np.float64),
        [checkpoint.step for checkpoint in result.checkpoints],
        list(range(len(result.training_errors))),
        list(result.validation_steps),
        list(result.training_errors),
        list(result.validation_errors),
        [_to_lists(checkpoint.parameters, layers) for checkpoint in result.checkpoints],
        [[_fresh(np.stack(moments), np.float32) for moments in c.moments.values()] for c in result.checkpoints],
        _to_lists(result.masks, layers),
    ]


def findata_to_lists(
    specs: tuple[LayerSpec, ...], ratios: Iterable[np.ndarray], best_validation_errors: Iterable[np.floating]
) -> list[Any]:
    """The reference's list of 3: architecture, then ratios and best validation error of every round."""
    return [
        _specs_to_lists(specs),
        [_fresh(values, np.float64) for values in ratios],
        [np.float32(error) for error in best_validation_errors],
    ]


MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def round_from_lists(content: list[Any], number: int) -> Round:
    """The inverse of round_to_lists. Raises one of MALFORMED for lists of another shape."""
    arch, ratios, checkpoint_steps, _, validation_steps, training, validation, weights, moments, masks = content
    specs = _specs_from_lists(arch)
    dense = [index for index, spec in enumerate(specs) if spec.is_dense]
    checkpoints = [
        Checkpoint(
            int(step), _from_lists(Parameters, range(len(specs)), layers), _from_lists(Moments, dense, dense_moments)
        )
        for step, layers, dense_moments in zip(checkpoint_steps, weights, moments, strict=True)
    ]
    result = Round(
        number,
        specs,
        np.asarray(ratios, dtype=np.float64),
        _from_lists(Mask, range(len(specs)), masks),
        tuple(checkpoints),
        np.asarray(training, dtype=np.float32),
        tuple(int(step) for step in validation_steps),
        np.asarray(validation, dtype=np.float32),
    )
    _check_shapes(result)
    return result


def _from_lists(kind: type, layers: Iterable[int], lists: Any) -> dict[int, Any]:
    """Parameters, Mask or Moments by layer; a layer of an empty list has none."""
    return {
        layer: kind(*(np.asarray(array, dtype=np.float32) for array in arrays))
        for layer, arrays in zip(layers, lists, strict=True)
        if len(arrays)
    }


def _array_shapes(spec: LayerSpec) -> dict[type, list[tuple[int, ...]]]:
    """Shapes of one layer's arrays in the reference's lists."""
    if not spec.is_dense:
        weights = [spec.weight_shape] if spec.has_weights else []
        return {Parameters: weights, Mask: weights, Moments: []}
    n_in, n_out = spec.shape
    mask = [(n_in, n_out), (n_out,)]
    return {Parameters: [*mask, (n_in,), (n_in,)], Mask: mask, Moments: [(n_in,), (n_in,)]}


def _check_shapes(result: Round) -> None:
    """Raise ValueError unless everything has the shape that the architecture and the steps give it."""
    for spec in result.specs:
        if len(spec.shape) != {DENSE: 2, OUTPUT: 2, CONVOLUTION: 5, POOL: 2}.get(spec.kind):
            raise ValueError(f"a layer '{spec.kind}' of shape {spec.shape}")
    if result.sparsities.shape != (sum(spec.prunable for spec in result.specs),):
        raise ValueError(f"ratios of shape {result.sparsities.shape}, not one for each prunable layer")
    last_step = max(result.validation_steps, default=-1)
    if len(result.validation_errors) != len(result.validation_steps) or len(result.training_errors) <= last_step:
        raise ValueError("errors that do not belong to the steps")
    layers: list[tuple[type, Mapping[int, Parameters | Mask | Moments]]] = [(Mask, result.masks)]
    for checkpoint in result.checkpoints:
        layers += [(Parameters, checkpoint.parameters), (Moments, checkpoint.moments)]
    for kind, values in layers:
        for layer, spec in enumerate(result.specs):
            shapes = [array.shape for array in values.get(layer, ()) if array is not NOTHING]
            if shapes != _array_shapes(spec)[kind]:
                raise ValueError(f"{kind.__name__} of shapes {shapes} in a layer '{spec.kind}' of shape {spec.shape}")


def check_round_file(path: Path) -> bool:
    """Whether it has been compared with the checksum that run.json has of it; runs of earlier versions have none.

    Raises:
        DataError: it is not what was written.
    """
    prefix, _, number = path.stem.rpartition("_itdata_")
    record = path.with_name(f"{prefix}_run.json")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no such file, or another one of this name
        checksum = json.loads(record.read_text())["rounds"][number][CHECKSUM]
        if checksums.of_file(path) != checksum:
            raise DataError(
                f"{path}: is damaged: its checksum is not that of {record.name}; remove it to train its round anew"
            )
        return True
    return False


def read_round_file(path: Path) -> Round:
    """Read an itdata pickle, ours or the reference's.

    Raises:
        DataError: missing, damaged, or not a list of 10 with these shapes.
    """
    number = re.search(r"_itdata_(\d+)\.pkl$", path.name)
    check_round_file(path)
    content = load_pickle(path)
    try:
        if not isinstance(content, list) or len(content) != 10:
            raise ValueError("not a list of 10")
        result = round_from_lists(content, int(number[1]) if number else 0)
        if not result.validation_steps:
            raise ValueError("no validation errors")
    except MALFORMED as error:
        raise DataError(f"{path}: is not the pickle of a round ({one_line(error)})") from None
    return result


# --- the log -------------------------------------------------------------------------------------------------------


def log_line(step: int, training_error: np.floating, validation_error: np.floating) -> str:
    """One validation, as the reference prints it; lines end in a carriage return."""
    return f"Step: {step:7d}, TE: {training_error:5.3f}, VE: {validation_error:5.3f}\r"


def log_summary(result: Round) -> str:
    """The line after a round."""
    return (
        f"Ratios: {result.sparsities}; more than 0 connections: {connected_fraction(result.masks, result.specs)}; "
        f"Emin: {float(result.best_validation_error)}\n"
    )


def log_lines(steps: Iterable[int], training_errors: np.ndarray, validation_errors: Iterable[np.floating]) -> str:
    return "".join(
        log_line(step, training_errors[step], error) for step, error in zip(steps, validation_errors, strict=True)
    )
