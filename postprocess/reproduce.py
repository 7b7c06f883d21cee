"""`python -m postprocess.reproduce NAME [NAME ...]` runs what figures of the papers need, and draws them.

A figure names the input files of its roles and how many seeds the paper shows. Every (input file, seed) is one run,
trained and stored as `python -m sifting.run INPUT ... --seeds N` does it: what is finished is not run again, what was
interrupted continues, and what another process works on is left to it. At `--scale small` inputs/small.in stands behind
every input file, and behind that the small.in of the input file's own folder, if there is one.
"""

import argparse
import functools
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postprocess.ahead import Ahead, estimate, plan_lines, rough_duration
from postprocess.command_line import Parser, aligned, run_command
from postprocess.figures import FIGURES, all_figures, base, figure_module, title
from postprocess.figures.__main__ import draw_figure, picture_format
from postprocess.rates import Rate, rates_of_device
from sifting.errors import DataError, InputError, RunsFailed
from sifting.experiment.seeds import seeds_in
from sifting.inputs import read_experiment
from sifting.training import many
from sifting.training.screen import duration

ALL = "all"
ALONE = many.How()


@dataclass(frozen=True)
class NeededRun(Ahead):
    """One experiment of one seed.

    Attributes:
        files: input files, as `python -m sifting.run` takes them.
        seed: its seed; the run is in save_dir/seed_N.
        assignments: of --set.
        folder: of --runs.
    """

    files: tuple[str, ...]
    seed: int
    assignments: tuple[str, ...] = ()
    folder: str | None = None

    @functools.cached_property
    def task(self) -> many.Task:
        """Raises InputError: a file or value that cannot be accepted."""
        experiment = read_experiment([str(base.INPUTS / name) for name in self.files], self.assignments)
        experiment = many.in_folder(experiment, self.folder)
        folder = str(Path(experiment.io.save_dir) / f"seed_{self.seed}")
        experiment = experiment.replace("IO", save_dir=folder).replace("Network", seed=self.seed)
        flags = [f"--set={assignment}" for assignment in self.assignments] + [f"--seeds={self.seed}"]
        flags += [] if self.folder is None else [f"--runs={self.folder}"]
        name = self.files[0].removeprefix("inputs/").removesuffix(".in")
        return many.Task(experiment, f"{name}, seed {self.seed}", [*self.files, *flags])


def runs_of(
    figure: str,
    scale: str,
    seeds: Sequence[int] | None = None,
    assignments: Sequence[str] = (),
    folder: str | None = None,
) -> dict[str, list[NeededRun]]:
    """The runs of each role of a figure.

    Args:
        scale: "full" or "small".
        seeds: in place of 1, 2, ..., as many as the figure shows.

    Raises:
        InputError: there is no such figure.
    """
    module = figure_module(figure)
    if seeds is None:
        shown = getattr(module, "SEEDS", 1)
        seeds = range(1, 1 + (shown if scale == "full" else getattr(module, "SMALL_SEEDS", shown)))
    return needed_runs(module.ROLES, scale, seeds, assignments, folder)


def needed_runs(
    roles: Mapping[str, str],
    scale: str,
    seeds: Sequence[int],
    assignments: Sequence[str] = (),
    folder: str | None = None,
) -> dict[str, list[NeededRun]]:
    """One run for each seed of each role."""
    return {
        role: [NeededRun(tuple(base.layered(name, scale)), seed, tuple(assignments), folder) for seed in seeds]
        for role, name in roles.items()
    }


@dataclass(frozen=True)
class Cost:
    """What runs still cost.

    Attributes:
        runs: how many there are; to_run: how many of them are not finished; seconds: of training that they need.
    """

    runs: int
    to_run: int
    seconds: float

    def __str__(self) -> str:
        if not self.to_run:
            return "finished" if self.runs else "no run"
        some = f"{self.to_run} of {self.runs}" if self.to_run < self.runs else f"{self.runs}"
        return f"{some} to run, {rough_duration(self.seconds)}"


def costs(
    assignments: Sequence[str] = (), folder: str | None = None, rates: Sequence[Rate] = ()
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Of all figures what they show, and their Cost at each scale, last of all together; and lines about figures of
    extensions that are refused, and those of input files that are not here."""
    modules, others = all_figures()
    for name, module in list(modules.items()):
        if len(base.known_roles(module.ROLES)) < len(module.ROLES):
            del modules[name]
            others.append(f"{name}: of input files that are not here; accepted: postprocess.figures {name} RUN_DIR")
    listed: dict[str, dict[str, Any]] = {name: {"shows": title(module)} for name, module in modules.items()}
    listed["all figures"] = {"shows": "(runs that figures share are counted once)"}
    for scale in base.SCALES:
        needed = _shared({name: runs_of(name, scale, None, assignments, folder) for name in modules})
        every = _distinct(needed.values())
        seconds = estimate(every, lambda line: print(line, file=sys.stderr), rates)
        for name, entry in listed.items():
            runs = _distinct([needed[name]]) if name in needed else every
            missing = [run for run in runs if not run.finished]
            entry[scale] = Cost(len(runs), len(missing), sum(seconds[run] for run in missing))
    return listed, others


def list_lines(assignments: Sequence[str] = (), folder: str | None = None, rates: Sequence[Rate] = ()) -> list[str]:
    """A table of `costs`, and its lines."""
    listed, others = costs(assignments, folder, rates)
    rows = [(name, *(str(entry[scale]) for scale in base.SCALES), entry["shows"]) for name, entry in listed.items()]
    return [*aligned([("figure", *base.SCALES, "shows"), *rows], left=True).splitlines(), *others]


def _shared(needed: Mapping[str, Mapping[str, Sequence[NeededRun]]]) -> dict[str, dict[str, list[NeededRun]]]:
    """The same, with one object for what several figures need."""
    one: dict[NeededRun, NeededRun] = {}
    return {
        name: {role: [one.setdefault(run, run) for run in runs] for role, runs in roles.items()}
        for name, roles in needed.items()
    }


def _distinct(groups: Iterable[Mapping[str, Sequence[NeededRun]]]) -> list[NeededRun]:
    """The runs of several figures, each once."""
    return list(dict.fromkeys(run for roles in groups for runs in roles.values() for run in runs))


def complete(
    needed: Mapping[str, Mapping[str, Sequence[NeededRun]]],
    scale: str,
    how: many.How = ALONE,
    dry_run: bool = False,
    rates: Sequence[Rate] = (),
) -> dict[str, str]:
    """Show what is needed and how long it takes, and run what is missing.

    Args:
        needed: of each figure, the runs by role, as of needed_runs; each is run once.
        dry_run: show only.
        rates: as of estimate.

    Returns:
        Figures whose runs are not all there, and why.

    Raises:
        SiftingError: refused input, images that are missing for all figures, or the only run failed.
        Interrupted: a signal came; the same call goes on.
    """
    needed = _shared(needed)
    many.prepared([run.task for run in _distinct(needed.values())])
    lacks: dict[str, str] = {}
    if not (dry_run or how.commands):
        for name, roles in needed.items():
            try:
                for run in _distinct([roles]):
                    if not run.finished:
                        run.plan.images.check_files()
            except DataError as error:
                lacks[name] = f"{error}{'; or use --scale small here' if scale == 'full' else ''}"
        if lacks and len(lacks) == len(needed):
            raise DataError(next(iter(lacks.values())))
    runs = _distinct(needed[name] for name in needed if name not in lacks)
    missing = [run for run in runs if not run.finished]
    if how.commands:
        many.show_commands([run.task for run in missing])
        return {}
    if not runs:
        print("no run is needed")
        return lacks
    seconds = estimate(runs, rates=rates)
    print("\n".join(plan_lines(seconds, how.jobs or 1)), flush=True)
    if dry_run or not missing:
        return lacks
    began = time.monotonic()
    tasks = {run.task: run for run in missing}

    def announce(task: many.Task) -> None:
        left = [run for other, run in tasks.items() if other.open]
        print(
            f"\nrun {len(tasks) - len(left) + 1} of {len(tasks)}, about "
            f"{rough_duration(sum(seconds[run] for run in left))} left: {task.name}",
            flush=True,
        )

    failed = many.work_off(list(tasks), how, announce)
    print(f"\n{len(tasks)} {'runs' if len(tasks) > 1 else 'run'} in {duration(time.monotonic() - began)}")
    if failed and len(needed) == 1:
        many.told(failed, len(tasks))
    many.named(failed)
    for name, roles in needed.items():
        if any(run.task.error for run in _distinct([roles])):
            lacks[name] = "some of its runs failed"
    return lacks


def refused(lacks: Mapping[str, str], of: int, what: str) -> None:
    """Name what was not done for lack of runs. Raises RunsFailed, if there is any."""
    for name, why in lacks.items():
        print(f"sifting: {name}: {why}", file=sys.stderr)
    if lacks:
        raise RunsFailed(f"{len(lacks)} of {of} {what}")


def _reproduce(options: argparse.Namespace) -> None:
    how = many.how(options)
    rates = [] if options.device is None else rates_of_device(options.device)
    if options.list:
        if options.json:
            listed, _ = costs(options.set, how.runs, rates)
            print(json.dumps(listed, indent=1, default=vars))
        else:
            print("\n".join(list_lines(options.set, how.runs, rates)))
        return
    names = list(FIGURES) if options.name == [ALL] else options.name
    if not names:
        raise InputError(f"no figure named; accepted: {', '.join(FIGURES)}, {ALL}")
    if options.output is not None and len(names) > 1:
        raise InputError(f"--output {options.output}: accepted with one figure; several go to their default places")
    seeds = None if options.seeds is None else seeds_in(options.seeds)
    needed = {name: runs_of(name, options.scale, seeds, options.set, how.runs) for name in names}
    lacks = complete(needed, options.scale, how, options.dry_run, rates)
    if options.dry_run or how.commands:
        return
    # The runs have all others in their input files already; [Scale] is not for them a second time.
    assignments = [one for one in options.set if one.strip().lower().startswith("data.")]
    for name, roles in needed.items():
        if name not in lacks:
            runs = {role: [run.plan.directory for run in group] for role, group in roles.items()}
            output = options.output or Path(how.runs or "", default_output(name, options.scale))
            for path in draw_figure(name, runs, base.Options(None, assignments, print), output):
                print(path, flush=True)
    refused(lacks, len(needed), "figures are not drawn")


def default_output(name: str, scale: str) -> Path:
    """figures/SCALE/NAME.png, or the ending of a movie."""
    return Path("figures", scale, f"{name}.{picture_format(getattr(figure_module(name), 'MOVIE', False), None, print)}")


def add_options(parser: Parser, seeds: str) -> None:
    """The flags that say which runs are made, and how; seeds: their default, in words."""
    words = "default: full; small: fewer units, embedded images"
    parser.add_argument("--scale", choices=base.SCALES, default="full", help=words)
    parser.add_argument("--seeds", metavar="N,N,...", help=f"default: {seeds}")
    parser.add_settings("of all runs; may be repeated")
    parser.add_argument("--dry_run", action="store_true", help="show the plan, and stop")
    many.add_options(parser)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog="python -m postprocess.reproduce",
        description="Run what figures of the papers need, unless it is finished, and draw them.",
    )
    parser.add_names(f"such as pb-1; {ALL}: all figures", lambda: [*FIGURES, ALL])
    add_options(parser, "1, 2, ..., as many as the paper shows")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: figures/SCALE/NAME.png")
    parser.add_argument("--list", action="store_true", help="all figures, with what they still cost")
    parser.add_argument("--json", action="store_true", help="of --list: as JSON")
    parser.add_argument(
        "--device", type=Path, metavar="FILE", help="estimate for the device that device_check measured"
    )
    return run_command(_reproduce, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
