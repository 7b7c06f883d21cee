"""Starting, continuing and refusing an experiment: what the command and the Python interface share."""

import dataclasses
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from sifting import __version__, datasets, dry_run
from sifting.architecture import LayerSpec, build_specs
from sifting.errors import DataError, RunDirectoryError, SiftingError
from sifting.inputs import Experiment, read_experiment
from sifting.methods import OTHER_RUNS, Iterative
from sifting.quiet import native_messages_hidden
from sifting.random_streams import draw_seed
from sifting.run_directory import RunDirectory, find_runs, read_round_file
from sifting.signals import Signals


def directory_of(experiment: Experiment) -> RunDirectory:
    """Where its results are, or will be."""
    return RunDirectory(experiment.io.save_dir, experiment.io.prefix)


def check(experiment: Experiment, overwrite: bool = False) -> None:
    """Refuse what can be refused before images are loaded. Raises InputError or DataError."""
    data = datasets.check(experiment)
    try:
        specs = build_specs(experiment.network.arch, experiment.method.prune, data.shape, data.classes)
    except ValueError as error:
        raise experiment.error(
            "Network", "arch", f"layers that fit images of {data.shape[1]} x {data.shape[2]} pixels ({error})"
        ) from None
    if experiment.network.restart:
        _check_restart(experiment, specs)
    for key in OTHER_RUNS:
        if getattr(experiment.method, key, None) is not None:
            taken = key == "dense_run" and 0 in directory_of(experiment).rounds() and not overwrite
            if not taken:
                _check_other_run(experiment, key, specs)


def _check_other_run(experiment: Experiment, key: str, specs: tuple[LayerSpec, ...]) -> None:
    """The run that a key of the method names must be of this architecture and have what is taken from it."""
    name, method, network = experiment.method_name, experiment.method, experiment.network
    try:
        runs = find_runs([getattr(method, key)])
        if len(runs) != 1:
            raise RunDirectoryError(f"{len(runs)} seeds; one of them is meant")
        numbers = runs[0].rounds()
        stored = runs[0].read_round(0 if key == "dense_run" else numbers[-1])
    except SiftingError as error:
        raise experiment.error(name, key, f"a run directory, or DIR/PREFIX ({error})") from None
    if _layers(stored.specs) != _layers(specs):
        raise experiment.error(name, key, "a run of the same architecture")
    if key == "like" and numbers == [0]:
        raise experiment.error(name, key, "a run with rounds besides round 0")
    if key == "dense_run":
        steps = [checkpoint.step for checkpoint in stored.checkpoints]
        needed = sorted(method.stored_steps(0, network.steps))
        if not (steps and steps[0] == method.rewind_step and set(needed) <= set(steps)):
            raise experiment.error(
                name, key, f"a run whose round 0 stored its weights at steps {needed}; this one has {steps}"
            )


def _dense_run_warnings(experiment: Experiment, directory: RunDirectory) -> list[str]:
    """What [Data] and [Network] of a dense_run have that this experiment has not, where its input file is there."""
    named = getattr(experiment.method, "dense_run", None)
    if named is None or 0 in directory.rounds():
        return []
    path = find_runs([named])[0].path("input.in")
    if not path.exists():
        return [f"Warning: dense_run = {named} has no input file; it may be of other images or settings"]
    there = dataclasses.replace(read_experiment([str(path)]), method=experiment.method)
    return [f"Warning: dense_run = {named} is another experiment: {line}" for line in _differences(there, experiment)]


def _layers(specs: tuple[LayerSpec, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """An architecture without what is pruned."""
    return [(spec.kind, spec.shape) for spec in specs]


def _check_restart(experiment: Experiment, specs: tuple[LayerSpec, ...]) -> None:
    """The two files of a restart must hold this architecture; methods that prune what is left, round by round, also
    need the sparsities of the same pruned layers."""
    network = experiment.network
    for key in ("rest_weights_file", "rest_mask_file"):
        path = getattr(network, key)
        try:
            stored = read_round_file(Path(path))
        except DataError as error:
            raise experiment.error("Network", key, f"the pickle of a round ({error})") from None
        if _layers(stored.specs) != _layers(specs) or not stored.checkpoints:
            raise experiment.error("Network", key, "a round of the same architecture, with stored weights")
        if key == "rest_mask_file":
            if isinstance(experiment.method, Iterative) and stored.specs != specs:
                raise experiment.error("Network", key, f"a round with the same [{experiment.method_name}] prune")
            count, index = len(stored.checkpoints), network.restart_weights_step
            if not -count <= index < count:
                raise experiment.error(
                    "Network", "restart_weights_step", f"{-count} to {count - 1}: {path} stores {count}"
                )


def run(
    experiment: Experiment, signals: Signals, overwrite: bool = False, stream: TextIO | None = None
) -> RunDirectory:
    """Run, or continue, one experiment.

    Args:
        signals: tells when to save and stop.
        overwrite: delete the rounds that are in the way.
        stream: where progress is shown; default: standard output.

    Raises:
        SiftingError: the problem in one line; Interrupted: a signal came, everything was saved.
    """
    datasets.check_files(experiment)
    directory = directory_of(experiment)
    with directory.lock():
        experiment, in_the_way = settle(directory, experiment, overwrite)
        # The screen starts after everything that can be refused at once; TensorFlow takes seconds to import.
        from sifting.screen import Screen

        screen = Screen(dry_run.expected_rounds(experiment), stream)
        screen.line(
            f"{experiment.method_name} of {experiment.data.dataset}, seed {experiment.network.seed}, into {directory}_*"
        )
        for line in _dense_run_warnings(experiment, directory):
            screen.line(line)
        image_set = datasets.load(experiment, screen.line)
        # Only now that nothing can be refused any more: a refusal leaves the directory as it was.
        if in_the_way is not None:
            directory.remove_rounds(in_the_way)
            directory.keep_input(in_the_way)
        stored = directory.rounds()
        directory.write_input(experiment.to_text())
        with native_messages_hidden():
            from sifting.drivers import driver_of
            from sifting.session import Session, describe_device

        session = Session(experiment, image_set, directory, screen, signals)
        directory.write_record({**directory.read_record(), **_record(experiment, image_set.source)})
        screen.line(f"training on {describe_device()}")
        try:
            driver_of(experiment.method)(session)
            session.finish()
        finally:
            screen.close()
        if not directory.rounds():
            screen.line("No round was trained: stop_ratio is met before the first one, or there is no level to train.")
        elif directory.rounds() == stored:
            screen.line("All rounds were there already.")
    return directory


def settle(directory: RunDirectory, experiment: Experiment, overwrite: bool = False) -> tuple[Experiment, int | None]:
    """Decide between starting, continuing and refusing. Changes nothing.

    Returns:
        The experiment with its seed; the number from which on rounds, and the round in progress, are in the way and to
        be removed, or None.

    Raises:
        RunDirectoryError: the directory holds another experiment, or a file of it is damaged.
        InputError: its recorded input file is damaged.
    """
    network = experiment.network
    first = network.rest_it if network.restart else 0
    begun = bool(directory.rounds()) or os.path.exists(directory.checkpoint_path)
    if overwrite or not begun:
        _check_sources_stay(experiment, directory, first)
        return _with_seed(experiment, None), first
    recorded_path = directory.path("input.in")
    recorded = read_experiment([str(recorded_path)]) if recorded_path.exists() else None
    experiment = _with_seed(experiment, recorded)
    differences = _differences(recorded, experiment)
    if not differences:
        directory.read_checkpoint()  # what is damaged is refused here, before TensorFlow is imported
        directory.read_record()
        return experiment, None
    last = max(directory.rounds(), default=-1)
    if network.restart and last < first:
        return experiment, first  # that is the round in progress, which other settings began
    raise RunDirectoryError(
        f"{directory}: holds another experiment ({'; '.join(differences)}); accepted: another [IO] save_dir or prefix, "
        f"--overwrite to delete its rounds from {first} on, or [Network] restart with rest_it > {max(last, 0)} to go "
        "on from it"
    )


def _check_sources_stay(experiment: Experiment, directory: RunDirectory, first: int) -> None:
    """A run must not begin with a round that it deletes."""
    deleted = {directory.round_path(number).resolve() for number in directory.rounds() if number >= first}
    sources = []
    if experiment.network.restart:
        sources = [
            ("Network", key, Path(getattr(experiment.network, key))) for key in ("rest_weights_file", "rest_mask_file")
        ]
    for key in OTHER_RUNS:
        if getattr(experiment.method, key, None) is not None:
            run = find_runs([getattr(experiment.method, key)])[0]
            sources += [(experiment.method_name, key, run.round_path(number)) for number in run.rounds()]
    for section, key, path in sources:
        if path.resolve() in deleted:
            raise experiment.error(section, key, f"rounds that --overwrite does not delete, as it does from {first} on")


def _with_seed(experiment: Experiment, recorded: Experiment | None) -> Experiment:
    """Where the input file leaves the seed open: that of the recorded experiment, or a new one."""
    if experiment.network.seed is not None:
        return experiment
    return experiment.replace("Network", seed=recorded.network.seed if recorded else draw_seed())


def _differences(recorded: Experiment | None, experiment: Experiment) -> list[str]:
    """What makes the recorded experiment another one."""
    if recorded is None:
        return ["rounds without a recorded input file"]
    if recorded.method_name != experiment.method_name:
        return [f"[{recorded.method_name}] there, [{experiment.method_name}] here"]
    differences = []
    there = recorded.sections()
    for section, here in experiment.sections().items():
        for key in vars(here):
            old, new = getattr(there[section], key), getattr(here, key)
            facts = type(here).__dataclass_fields__[key].metadata
            if section != "IO" and not facts["continues"](old, new):
                recorded_text, text = (
                    "unset" if value is None else facts["kind"].format(value) for value in (old, new)
                )
                differences.append(f"[{section}] {key} = {recorded_text} there, {text} here")
    return differences


def _record(experiment: Experiment, source: str) -> dict[str, Any]:
    packages = ("tensorflow", "keras", "numpy")
    return {
        "seed": experiment.network.seed,
        "versions": {
            "sifting": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in packages},
        },
        "images": source,
        "finished": False,  # until the driver has ended
    }
