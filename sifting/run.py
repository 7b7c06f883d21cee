"""Run the experiment of an input file.

    python -m sifting.run INPUT [OVERRIDE ...] [--set Section.key=value ...]

Later files override earlier ones key by key, and --set overrides them all. The same command again continues a run
that was interrupted. Results go to [IO] save_dir; see docs/input.md for all keys.
"""

import dataclasses
import gc
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from absl import app, flags, logging

from sifting import __version__, datasets, describe, dry_run
from sifting.architecture import LayerSpec, build_specs
from sifting.errors import DataError, InputError, Interrupted, RunDirectoryError, SiftingError
from sifting.inputs import Experiment, read_experiment
from sifting.keys import integer
from sifting.methods import OTHER_RUNS, Iterative
from sifting.quiet import native_messages_hidden
from sifting.random_streams import draw_seed
from sifting.run_directory import RunDirectory, find_runs, read_round_file
from sifting.signals import Signals

_SET = flags.DEFINE_multi_string("set", [], "Section.key=value, stronger than the input files; may be repeated.")
_SEEDS = flags.DEFINE_list("seeds", None, "Run these seeds in turn, into save_dir/seed_N.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Print what would be done, and do nothing.")
_DESCRIBE = flags.DEFINE_boolean("describe", False, "Print a table of the classes of the images, and do not train.")
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Delete the rounds that are in the way, and start anew.")


def main(arguments: list[str]) -> int:
    """The exit code: 0, 2 for refused input, 1 for a run that failed, 128 + n for signal n."""
    logging.set_verbosity(logging.WARNING)
    with Signals().handled() as signals:
        try:
            experiments = read_experiments(arguments[1:])
            for experiment in experiments:
                check(experiment)
            if _DRY_RUN.value:
                _show("\n".join(map(dry_run.describe, experiments)))
            if _DESCRIBE.value:
                _show(describe.describe(datasets.load(experiments[0], print)))
            if _DRY_RUN.value or _DESCRIBE.value:
                return 0
            for experiment in experiments:
                if os.path.isdir(experiment.io.save_dir):
                    settle(_directory(experiment), experiment)  # the last seed is refused now, not after the others
            directories = []
            for experiment in experiments:
                directories.append(run(experiment, signals))
                gc.collect()  # traced functions refer to themselves, and to the images on the device
            print_results(directories)
        except (SiftingError, Interrupted) as error:
            print(f"sifting: {error}", file=sys.stderr)
            return error.exit_code
    return 0


def _show(text: str) -> None:
    """Print a long text, of which a reader such as `head` may take a part only."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end


def read_experiments(paths: list[str]) -> list[Experiment]:
    """One experiment, or one for each of --seeds."""
    if not paths:
        raise InputError(
            "no input file; accepted: python -m sifting.run INPUT [OVERRIDE ...], such as inputs/quickstart.in"
        )
    experiment = read_experiment(paths, _SET.value)
    if _SEEDS.value is None:
        return [experiment]
    try:
        seeds = [integer(0).parse(seed) for seed in _SEEDS.value]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds '{','.join(_SEEDS.value)}': accepted: different whole numbers >= 0, such as 1,2,3,4")
    return [read_experiment(paths, [*_SET.value, *_of_seed(experiment, seed)]) for seed in seeds]


def _of_seed(experiment: Experiment, seed: int) -> list[str]:
    """What one of --seeds changes: seed, save_dir, and other runs that have a sub-folder of this seed."""
    folder = f"seed_{seed}"
    changes = [f"Network.seed={seed}", f"IO.save_dir={os.path.join(experiment.io.save_dir, folder)}"]
    for key in OTHER_RUNS:
        if getattr(experiment.method, key, None) is not None:
            path = Path(getattr(experiment.method, key))  # DIR, or DIR/PREFIX
            if (path / folder).is_dir():
                changes.append(f"{experiment.method_name}.{key}={path / folder}")
            elif (path.parent / folder).is_dir():
                changes.append(f"{experiment.method_name}.{key}={path.parent / folder / path.name}")
    return changes


def check(experiment: Experiment) -> None:
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
            taken = key == "dense_run" and 0 in _directory(experiment).rounds() and not _OVERWRITE.value
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
        if not (steps and steps[0] == method.weights_step and set(needed) <= set(steps)):
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


def _layers(specs: tuple[LayerSpec, ...]) -> list[tuple]:
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


def run(experiment: Experiment, signals: Signals) -> RunDirectory:
    """Run, or continue, one experiment."""
    directory = _directory(experiment)
    with directory.lock():
        experiment, in_the_way = settle(directory, experiment)
        # The screen starts after everything that can be refused at once; TensorFlow takes seconds to import.
        from sifting.screen import Screen

        screen = Screen(dry_run.expected_rounds(experiment))
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
            from sifting.drivers import DRIVERS
            from sifting.session import Session, describe_device

        session = Session(experiment, image_set, directory, screen, signals)
        directory.write_record({**directory.read_record(), **_record(experiment, image_set.source)})
        screen.line(f"training on {describe_device()}")
        try:
            DRIVERS[experiment.method_name](session)
            session.finish()
        finally:
            screen.close()
        if not directory.rounds():
            screen.line("No round was trained: stop_ratio is met before the first one, or there is no level to train.")
        elif directory.rounds() == stored:
            screen.line("All rounds were there already.")
    return directory


def _directory(experiment: Experiment) -> RunDirectory:
    return RunDirectory(experiment.io.save_dir, experiment.io.prefix)


def settle(directory: RunDirectory, experiment: Experiment) -> tuple[Experiment, int | None]:
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
    if _OVERWRITE.value or not begun:
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


def _record(experiment: Experiment, source: str) -> dict:
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


def print_results(directories: list[RunDirectory]) -> None:
    """The closing table, and where everything is."""
    from postprocess.summary import round_table

    directories = [directory for directory in directories if directory.rounds()]
    if not directories:
        return
    print(round_table(directories))
    for directory in directories:
        print(f"rounds     {directory.path('itdata_N.pkl')}, {directory.path('findata.pkl').name}")
        print(f"log        {directory.path('out.dat')}")
        print(f"settings   {directory.path('input.in')}, {directory.path('run.json').name}")
    print(f"figures    python -m postprocess.summary {' '.join(str(directory) for directory in directories)}")


def _parse_flags(arguments: list[str]) -> list[str]:
    """absl's flag parser, with our way of refusing."""
    try:
        return flags.FLAGS(arguments, known_only=False)
    except (flags.Error, ValueError) as error:  # absl raises ValueError for --nooverwrite=1
        print(f"sifting: {str(error).splitlines()[0]}; accepted: see python -m sifting.run --help", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    app.run(main, flags_parser=_parse_flags)
