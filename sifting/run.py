"""Run the experiment of an input file.

The same command again continues a run that was interrupted. Results go to the save_dir of [IO]; docs/input.md has all
keys.
"""

import os
import sys

from absl import app, flags, logging

from sifting import datasets
from sifting.base import devices, input_files
from sifting.base.command_line import COMPLETING, Parser
from sifting.base.signals import Signals
from sifting.datasets import describe
from sifting.errors import InputError, Interrupted, SiftingError
from sifting.experiment.seeds import of_seed, seeds_in
from sifting.inputs import read_experiment
from sifting.runs.directory import RunDirectory
from sifting.training import dry_run, many
from sifting.training.launch import run
from sifting.training.plan import directory_of

_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "print layers, rounds, memory and disk, and stop")
_DESCRIBE = flags.DEFINE_boolean("describe", False, "print a table of the images' classes, and stop")
_DEVICES = flags.DEFINE_boolean("devices", False, "print what TensorFlow sees of the machine, and stop")
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "delete the rounds in the way, and start anew")
# their help: parser()
_SET = flags.DEFINE_multi_string("set", [], "")
_SEEDS = flags.DEFINE_string("seeds", None, "")
_JOBS = flags.DEFINE_string("jobs", None, "")
_CLUSTER = flags.DEFINE_string("cluster", None, "")
_KEEP_GOING = flags.DEFINE_boolean("keep_going", True, "")
_COMMANDS = flags.DEFINE_boolean("commands", False, "")
_RUNS = flags.DEFINE_string("runs", None, "")

_HELP = ("--help", "-help", "--helpshort", "-h", "-?")


def main(arguments: list[str]) -> int:
    """The exit code: 0, 2 for refused input, 1 for a run that failed, 128 + n for signal n."""
    logging.set_verbosity(logging.WARNING)
    if _DEVICES.value:
        _show(devices.describe())
        return 0
    with Signals().handled() as signals:
        try:
            for path in filter(input_files.is_missing, arguments[1:]):
                print(f"sifting: no {path} here; taking the one that comes with sifting", file=sys.stderr)
            tasks = tasks_of(arguments[1:])
            if _DESCRIBE.value:
                _show(describe.describe(datasets.load(tasks[0].experiment, print)))
            if _DESCRIBE.value and not _DRY_RUN.value:
                return 0
            how = many.How(many.jobs_of(_JOBS.value), _KEEP_GOING.value, _CLUSTER.value)
            many.prepared(tasks)  # all, before the first is run
            if _DRY_RUN.value:
                _show("\n".join(dry_run.outlook(task.plan) for task in tasks))
                return 0
            if _COMMANDS.value:
                many.show_commands(tasks)
                return 0
            for task in tasks:
                task.plan.images.check_files()
            alone = len(tasks) == 1 and how.cluster is None
            if alone:
                run(tasks[0].plan, signals)
            failed = [] if alone else many.work_off(tasks, how)
            print_results([directory_of(task.experiment) for task in tasks])
            many.told(failed, len(tasks))
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


def tasks_of(paths: list[str]) -> list[many.Task]:
    """One run, or one for each of --seeds."""
    if not paths:
        raise InputError(
            "no input file; accepted: python -m sifting.run INPUT [OVERRIDE ...], such as inputs/quickstart.in"
        )
    experiment = many.in_folder(read_experiment(paths, _SET.value), _RUNS.value)
    arguments = [*paths, *(f"--set={assignment}" for assignment in _SET.value)]
    arguments += ["--overwrite"] if _OVERWRITE.value else []
    arguments += [f"--runs={_RUNS.value}"] if _RUNS.value else []
    if _SEEDS.value is None:
        return [many.Task(experiment, experiment.io.save_dir, arguments, _OVERWRITE.value)]
    return [
        many.Task(
            read_experiment(paths, [*_SET.value, *of_seed(experiment, seed)]),
            f"seed {seed}",
            [*arguments, f"--seeds={seed}"],
            _OVERWRITE.value,
        )
        for seed in seeds_in(_SEEDS.value)
    ]


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
    seeds = len(directories) > 1  # in folders beside each other
    print(f"figures    python -m postprocess.summary {directories[0].folder.parent if seeds else directories[0]}")


def parser() -> Parser:
    """What completes and helps: absl's own help exits with 1, and shows no usage nor flags of an installed command."""
    shown = Parser(prog="python -m sifting.run", description=__doc__)
    words = "later files override earlier ones, key by key"
    shown.add_argument("input", nargs="*", metavar="INPUT", help=words)
    shown.add_settings("stronger than the files; may be repeated")
    shown.add_argument("--seeds", metavar="N,N,...", help="run these, into save_dir/seed_N")
    for flag in (_DRY_RUN, _DESCRIBE, _DEVICES, _OVERWRITE):
        shown.add_argument(f"--{flag.name}", action="store_true", help=flags.FLAGS[flag.name].help)
    many.add_options(shown)
    return shown


def _parse_flags(arguments: list[str]) -> list[str]:
    """absl's flag parser, with our way of refusing and of helping."""
    if COMPLETING in os.environ:
        parser().parse_args()  # ends
    if any(argument in _HELP for argument in arguments[1:]):
        _show(parser().format_help().rstrip())
        raise SystemExit(0)
    try:
        return flags.FLAGS(arguments, known_only=False)
    except (flags.Error, ValueError) as error:  # absl raises ValueError for --nooverwrite=1
        print(f"sifting: {str(error).splitlines()[0]}; accepted: see python -m sifting.run --help", file=sys.stderr)
        raise SystemExit(2) from None


def command() -> None:
    """As `python -m sifting.run`."""
    app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
    command()
