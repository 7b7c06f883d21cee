"""PREFIX_history.csv: one line a validation, all rounds in order, made of the stored rounds alone.

    round                the number of the round
    step                 of its training: the errors are those before the update of this step
    validation_error     1 - accuracy on the validation images
    training_error       1 - accuracy on the batch of this step
    mean_training_error  mean over the batches since the validation before, that of this step included
    density              u of all prunable layers together, biases not counted
    density_L            u of layer L, L = 1, 2, ...; max-pools have none
    connected_L          number of nodes of layer L that keep at least one input weight
    NAME                 each of the user's observables, see docs/extending.md

Losses are not among the files of a run, and so not here.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sifting.architecture import LayerSpec
from sifting.network.observables import own_values
from sifting.network.rounds import Round, density, layer_counts
from sifting.runs.directory import RunDirectory

Columns = dict[str, npt.NDArray[Any]]


def columns(result: Round, own: Mapping[str, float] | None = None) -> Columns:
    """The columns of one round, [validations] each: whole numbers int64, errors float32, densities and the user's own
    observables, network.observables.own_values, float64."""
    steps = np.array(result.validation_steps, np.int64)
    means = [mean_training_error(result.training_errors, result.validation_steps, n) for n in range(len(steps))]
    counts = layer_counts(result.masks, result.specs)
    of_round = {
        "density": density(result.masks, result.specs),
        **{f"density_{count.layer + 1}": count.density for count in counts},
        **{f"connected_{count.layer + 1}": count.connected for count in counts},
        **(own or {}),
    }
    return {
        "round": np.full(len(steps), result.number),
        "step": steps,
        "validation_error": result.validation_errors,
        "training_error": result.training_errors[steps],
        "mean_training_error": np.array(means, np.float32),
        **{name: np.full(len(steps), value) for name, value in of_round.items()},
    }


def mean_training_error(errors: npt.NDArray[np.float32], steps: Sequence[int], place: int) -> np.float64:
    """Of the batches since the validation before, that of the validated step included.

    Args:
        errors: of each step's batch, at least up to steps[place]; steps: with a validation; place: which of them.
    """
    first = steps[place - 1] + 1 if place else 0
    mean: np.float64 = np.mean(errors[first : steps[place] + 1], dtype=np.float64)
    return mean


def history(rounds: Iterable[Round], run: object) -> Columns:
    """The columns of the rounds of a run, joined; {} without rounds."""
    parts = [columns(result, own_values(result, run)) for result in rounds]
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def read(directory: RunDirectory) -> Columns:
    """The columns of the file as float64; {} if it is not there, or none."""
    try:
        with open(directory.path("history.csv"), encoding="utf-8", newline="") as file:
            names, *rows = csv.reader(file)
        return dict(zip(names, np.array(rows, np.float64).reshape(len(rows), len(names)).T, strict=True))
    except (OSError, ValueError, csv.Error):
        return {}


def header(specs: Sequence[LayerSpec], own: Iterable[str] = ()) -> str:
    """The first line of the file; own: names of the user's observables."""
    layers = [number for number, spec in enumerate(specs, 1) if spec.has_weights]
    fixed = ["round", "step", "validation_error", "training_error", "mean_training_error", "density"]
    of_layers = (f"{name}_{layer}" for name in ("density", "connected") for layer in layers)
    return ",".join([*fixed, *of_layers, *own]) + "\n"


def lines(result: Round, own: Mapping[str, float] | None = None) -> str:
    """The lines of one round; numbers in as many digits as tell them apart in their own type."""
    return "".join(",".join(map(str, row)) + "\n" for row in zip(*columns(result, own).values(), strict=True))
