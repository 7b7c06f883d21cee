"""How long experiments will take, from the rate at which others trained."""

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from sifting.base.quiet import native_messages_hidden
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError, one_line
from sifting.training.dry_run import expected_rounds
from sifting.training.plan import Plan

_MEASURED_SECONDS, _MEASURED_IMAGES = 0.5, 2000
_FAR = 4  # steps of this many times the work of all measured ones are not extrapolated to


class Rate(NamedTuple):
    """Seconds of one training step of a measured experiment.

    Attributes:
        work: of a step, as `step_work` counts it.
        seconds: of a step.
    """

    work: float
    seconds: float


def step_work(plan: Plan) -> float:
    """Multiplications of one step, up to a factor: batch size times weights."""
    return float(plan.experiment.network.batch_size * sum(spec.parameters for spec in plan.specs))


def estimated_rounds(plan: Plan) -> int:
    """How many rounds the experiment will have; a guess where pruning goes on until most nodes are disconnected."""
    known = expected_rounds(plan.experiment)
    if known is not None:
        return known
    inputs = [math.prod(spec.weight_shape[:-1]) for spec in plan.specs if spec.prunable]
    return plan.experiment.method.likely_rounds(inputs)


def recorded_rate(plan: Plan, record: Mapping[str, Any]) -> Rate | None:
    """The median rate of a run's rounds without sparse layers, from its run.json; None: no such round was timed."""
    rounds = (entry for entry in record.get("rounds", {}).values() if not entry.get("sparse_layers"))
    rates = [entry["steps_per_second"] for entry in rounds if "steps_per_second" in entry]
    return Rate(step_work(plan), 1 / float(np.median(rates))) if rates else None


def _to_errors(line: str) -> None:
    """Standard output may be JSON."""
    print(line, file=sys.stderr)


def measured_rate(plan: Plan) -> Rate:
    """Train the network of an experiment for a few steps on random pixels. Takes seconds, most of them to compile."""
    with native_messages_hidden():
        from sifting.base.compute import tensor_float_32
        from sifting.network.model import initial_parameters
        from sifting.training.session import network_and_trainer
    data = plan.images.facts
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (_MEASURED_IMAGES, math.prod(data.shape)), np.uint8)
    labels = rng.integers(0, data.classes, _MEASURED_IMAGES).astype(np.int32)
    mean = np.full(pixels.shape[1], 127.5, np.float32)
    images = ImageSet(pixels, labels, pixels, labels, mean, data.shape, data.classes, "random pixels")
    values, trainer = network_and_trainer(plan.experiment, plan.specs, images, _to_errors)
    values.set_parameters(initial_parameters(plan.specs, seed=0))
    with tensor_float_32(plan.experiment.network.tf32):
        trainer.train(0, 0, 1)  # compiles
        steps, seconds = 1, 0.0
        while seconds < _MEASURED_SECONDS and steps < trainer.most_steps:
            steps = min(4 * steps, trainer.most_steps)
            began = time.perf_counter()
            trainer.train(0, 0, steps)
            seconds = time.perf_counter() - began
    return Rate(step_work(plan), seconds / steps)


def rates_of_device(path: Path) -> list[Rate]:
    """What postprocess.device_check found. Raises DataError if the file is another."""
    try:
        return [Rate(*map(float, rate)) for rate in json.loads(path.read_text())["rates"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = one_line(error) if isinstance(error, OSError) else "it is another file"
        raise DataError(
            f"--device {path}: cannot be read ({reason}); accepted: what postprocess.device_check writes"
        ) from None


def must_be_measured(rates: Sequence[Rate], plans: Iterable[Plan]) -> list[Plan]:
    """Experiments whose rate has to be measured before those of all can be told: the one with the most work in a step
    and, where nothing is known at all, also the one with the least."""
    ordered = sorted(plans, key=step_work)
    if not ordered or (rates and step_work(ordered[-1]) <= _FAR * max(rate.work for rate in rates)):
        return []
    return [ordered[-1]] if rates or step_work(ordered[0]) == step_work(ordered[-1]) else [ordered[0], ordered[-1]]


def step_seconds(rates: Sequence[Rate], work: float) -> float:
    """Seconds of a step: a + b work with a, b >= 0, fitted to the relative deviations of all rates by least squares.

    Raises:
        ValueError: there are no rates.
    """
    works, seconds = np.array(rates, float).reshape(-1, 2).T
    if not works.size:
        raise ValueError("no rates")
    design = np.stack([np.ones_like(works), works / works.max()], axis=1) / seconds[:, None]
    (overhead, slope), _ = nnls(design, np.ones_like(works))
    return float(overhead + slope * work / works.max())


def spread(rates: Sequence[Rate]) -> tuple[float, float] | None:
    """How far measured rates are from what step_seconds makes of them: the smallest and largest ratio of seconds. None
    for fewer than four, of which the fit leaves too little."""
    if len(rates) < 4:
        return None
    ratios = [rate.seconds / step_seconds(rates, rate.work) for rate in rates]
    return min(ratios), max(ratios)


def training_seconds(plan: Plan, rates: Sequence[Rate], rounds: int) -> float:
    """Seconds that `rounds` rounds of an experiment take, without those of loading and validation."""
    return rounds * plan.experiment.network.steps * step_seconds(rates, step_work(plan))
