"""Plan: what running an experiment will do, found out and checked once, before images or TensorFlow are loaded."""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sifting import datasets
from sifting.architecture import LayerSpec, build_specs
from sifting.base.random_streams import draw_seed
from sifting.datasets import cache
from sifting.errors import DataError, RunDirectoryError, SiftingError
from sifting.experiment.experiment import Experiment
from sifting.inputs import read_experiment
from sifting.network.observables import own_observables
from sifting.network.plates import Shape
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs
from sifting.runs.reference import read_round_file
from sifting.sparse.choice import NO_NUMBA, obstacle

RESTART_FILES = ("rest_weights_file", "rest_mask_file")


@dataclass(frozen=True)
class Plan:
    """A run that can be made.

    Attributes:
        asked: the experiment as the input file has it.
        experiment: the same with its seed.
        images: its images, before they are loaded.
        specs: the architecture.
        directory: where results are, or will be.
        overwrite: whether rounds that are in the way may be deleted.
        begins: True: the run begins with its first round, and what is stored from there on is in the way and will be
            deleted; False: it goes on from what is stored.
    """

    asked: Experiment
    experiment: Experiment
    images: datasets.PlannedImages
    specs: tuple[LayerSpec, ...]
    directory: RunDirectory
    overwrite: bool
    begins: bool

    def settled(self) -> "Plan":
        """The same for what is in the directory now. Raises as `plan`."""
        drawn = self.experiment.network.seed
        experiment, begins = _settle(self.asked, self.images.facts.shape, self.directory, self.overwrite, lambda: drawn)
        return dataclasses.replace(self, experiment=experiment, begins=begins)


def plan(experiment: Experiment, overwrite: bool = False) -> Plan:
    """Check all that can be checked before images are loaded. Changes nothing.

    Raises:
        InputError: values that do not fit images, architecture or other runs; a recorded input file is damaged; an
            observable of the user's is none.
        DataError: the user's own images are missing or damaged.
        RunDirectoryError: the directory holds another experiment, or a file of it is damaged.
    """
    own_observables()  # rather than after a round
    images = datasets.planned(experiment)
    experiment, shape = images.experiment, images.facts.shape
    try:
        specs = build_specs(experiment.network.arch, experiment.method.prune, shape, images.facts.classes)
    except ValueError as error:
        accepted = f"layers that fit images of {shape[1]} x {shape[2]} pixels ({error})"
        raise experiment.error("Network", "arch", accepted) from None
    directory = directory_of(experiment)
    if experiment.network.restart:
        _check_restart(experiment, specs)
    for key, path in experiment.method.other_runs().items():
        adopted = key == experiment.method.adopts_from and 0 in directory.rounds() and not overwrite
        if not adopted:
            _check_other_run(experiment, key, path, specs)
    reason = obstacle(specs)
    if experiment.network.sparse == "always" and reason:
        raise experiment.error("Network", "sparse", f"auto or never: {reason}")
    if experiment.network.sparse == "auto" and reason:
        experiment = experiment.replace("Network", sparse="never")
    settled, begins = _settle(experiment, shape, directory, overwrite, draw_seed)
    return Plan(experiment, settled, images, specs, directory, overwrite, begins)


def is_finished(plan: Plan) -> bool:
    """Whether all rounds that are asked for are stored by now. Raises as `plan`."""
    if not (plan.directory.rounds() and plan.directory.read_record().get("finished")):
        return False
    now = dataclasses.replace(plan, overwrite=False).settled()
    recorded = recorded_experiment(now.directory)
    if now.begins or recorded is None:
        return False
    ours, theirs = ((one.network, one.method, one.io.tensorboard) for one in (now.experiment, recorded))
    return ours == theirs


def recorded_experiment(directory: RunDirectory, assignments: Sequence[str] = ()) -> Experiment | None:
    """What the input file beside a run says, with these "Section.key=value"; None if there is none."""
    path = directory.recorded_input
    return None if path is None else read_experiment([str(path)], assignments)


def directory_of(experiment: Experiment) -> RunDirectory:
    """Where its results are, or will be."""
    return RunDirectory(experiment.io.save_dir, experiment.io.prefix)


# --- other runs ----------------------------------------------------------------------------------------------------


def _check_other_run(experiment: Experiment, key: str, path: str, specs: tuple[LayerSpec, ...]) -> None:
    """The run that a key of the method names must be of this architecture and have what is taken from it."""
    method = experiment.method
    try:
        runs = find_runs([path])
        if len(runs) != 1:
            raise RunDirectoryError(f"{len(runs)} seeds; one of them is meant")
        numbers = runs[0].rounds()
        stored = runs[0].read_round(method.round_of_other_run(key, numbers))
    except SiftingError as error:
        raise experiment.error(method.name, key, f"a run directory, or DIR/PREFIX ({error})") from None
    if _layers(stored.specs) != _layers(specs):
        raise experiment.error(method.name, key, "a run of the same architecture")
    method.check_other_run(experiment, key, numbers, stored)


def _check_restart(experiment: Experiment, specs: tuple[LayerSpec, ...]) -> None:
    """The two files of a restart must hold this architecture; methods that prune what is left, round by round, also
    need the sparsities of the same pruned layers."""
    network, method = experiment.network, experiment.method
    for key in RESTART_FILES:
        try:
            stored = read_round_file(Path(getattr(network, key)))
        except DataError as error:
            raise experiment.error("Network", key, f"the pickle of a round ({error})") from None
        if _layers(stored.specs) != _layers(specs) or not stored.checkpoints:
            raise experiment.error("Network", key, "a round of the same architecture, with stored weights")
    if method.round_by_round and stored.specs != specs:
        raise experiment.error("Network", key, f"a round with the same [{method.name}] prune")
    count = len(stored.checkpoints)
    if not -count <= network.restart_weights_step < count:
        accepted = f"{-count} to {count - 1}: {network.rest_mask_file} stores {count}"
        raise experiment.error("Network", "restart_weights_step", accepted)


def _layers(specs: tuple[LayerSpec, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """An architecture without what is pruned."""
    return [(spec.kind, spec.shape) for spec in specs]


def warnings(plan: Plan) -> list[str]:
    """What is missing for sparse layers; and what [Data] and [Network] of the run whose round 0 is adopted have that
    this experiment has not, where its input file is there."""
    lines = [f"Warning: sparse layers train densely: {NO_NUMBA}"] if obstacle(plan.specs) == NO_NUMBA else []
    method = plan.experiment.method
    path = method.other_runs().get(method.adopts_from)
    if path is None or 0 in plan.directory.rounds():
        return lines
    named, recorded = f"Warning: {method.adopts_from} = {path}", recorded_experiment(find_runs([path])[0])
    if recorded is None:
        return [*lines, f"{named} has no input file; it may be of other images or settings"]
    differences = _differences(dataclasses.replace(recorded, method=method), plan.experiment)
    return lines + [f"{named} is another experiment: {line}" for line in differences]


# --- starting, continuing and refusing -----------------------------------------------------------------------------


def _settle(
    experiment: Experiment, shape: Shape, directory: RunDirectory, overwrite: bool, new_seed: Callable[[], int]
) -> tuple[Experiment, bool]:
    """The experiment with its seed, and whether it begins (True) or goes on. Raises as `plan`."""
    network, first = experiment.network, experiment.network.first_round
    if overwrite or not (directory.rounds() or os.path.exists(directory.progress_path)):
        _check_sources_stay(experiment, directory, first)
        return _with_seed(experiment, new_seed), True
    recorded_path = directory.recorded_input
    if recorded_path is None:
        differences = ["rounds without a recorded input file"]
    else:
        recorded = read_experiment([str(recorded_path)])
        experiment = _with_seed(experiment, lambda: recorded.network.seed)
        if experiment.network.sparse == "auto":  # a run goes on as it began; earlier versions did not have the key
            begun = recorded.network.sparse if re.search("^sparse = ", recorded_path.read_text(), re.M) else "never"
            experiment = experiment.replace("Network", sparse=begun)
        differences = _differences(recorded, experiment)
    if not differences:
        progress = directory.read_progress(network.steps)  # refused, if damaged, before TensorFlow is imported
        if progress and progress.sparse and obstacle(progress.specs):
            raise RunDirectoryError(
                f"{directory.progress_path}: its round trains sparse layers, but {obstacle(progress.specs)}; accepted: "
                "remove it to train the round anew"
            )
        record = directory.read_record()
        # What is finished, and asked for no more, is not trained again.
        done = record.get("finished") and (recorded.network, recorded.method) == (experiment.network, experiment.method)
        differences = [] if done else _other_images(experiment, shape, record)
    if not differences:
        return experiment, False
    last = max(directory.rounds(), default=-1)
    if network.restart and last < first:
        return _with_seed(experiment, new_seed), True  # that is the round in progress, which other settings began
    raise RunDirectoryError(
        f"{directory}: holds another experiment ({'; '.join(differences)}); accepted: another [IO] save_dir or prefix, "
        f"--overwrite to delete its rounds from {first} on, or [Network] restart with rest_it > {max(last, 0)} to go "
        "on from it"
    )


def _with_seed(experiment: Experiment, seed: Callable[[], int]) -> Experiment:
    """With `seed` where the input file leaves it open."""
    return experiment if experiment.network.seed is not None else experiment.replace("Network", seed=seed())


def _check_sources_stay(experiment: Experiment, directory: RunDirectory, first: int) -> None:
    """A run must not begin with a round that it deletes."""
    deleted = {directory.round_path(number).resolve() for number in directory.rounds() if number >= first}
    sources = []
    if experiment.network.restart:
        sources = [("Network", key, Path(getattr(experiment.network, key))) for key in RESTART_FILES]
    for key, path in experiment.method.other_runs().items():
        run = find_runs([path])[0]
        sources += [(experiment.method_name, key, run.round_path(number)) for number in run.rounds()]
    for section, key, source in sources:
        if source.resolve() in deleted:
            raise experiment.error(section, key, f"rounds that --overwrite does not delete, as it does from {first} on")


def _differences(recorded: Experiment, experiment: Experiment) -> list[str]:
    """What makes the recorded experiment another one."""
    if recorded.method_name != experiment.method_name:
        return [f"[{recorded.method_name}] there, [{experiment.method_name}] here"]
    differences = []
    there = recorded.sections()
    for section, here in experiment.sections().items():
        for entry in dataclasses.fields(here):
            old, new = getattr(there[section], entry.name), getattr(here, entry.name)
            if section != "IO" and not entry.metadata["continues"](old, new):
                texts = ["unset" if value is None else entry.metadata["kind"].format(value) for value in (old, new)]
                differences.append(f"[{section}] {entry.name} = {texts[0]} there, {texts[1]} here")
    return differences


def _other_images(experiment: Experiment, shape: Shape, record: Mapping[str, Any]) -> list[str]:
    """What makes the images other ones than those the run of this run.json began with."""
    shapes = [" x ".join(map(str, one)) for one in (record.get("image_shape") or shape, shape)]
    if shapes[0] != shapes[1]:
        return [f"images of {shapes[0]} there, {shapes[1]} here"]
    return [OTHER_DRAWS] if other_draws(experiment, record) else []


OTHER_DRAWS = "an earlier version of sifting drew other images from the same seed"


def other_draws(experiment: Experiment, record: Mapping[str, Any]) -> bool:
    """Whether images that are made from a seed are other ones than those the run of this run.json began with."""
    if not record or record.get("image_format") == cache.FORMAT:  # without a record, nobody knows
        return False
    return experiment.data.dataset == "EdgeCollage32" or experiment.data.clone != "none"
