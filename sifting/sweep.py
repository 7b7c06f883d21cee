"""Run an experiment with several values of some keys: `python -m sifting.sweep INPUT [OVERRIDE ...] --grid KEY=VALUES`.

    python -m sifting.sweep inputs/quickstart.in --grid Network.learning_rate=0.1,0.3 --grid IMP.prune_ratio=0.3,0.5
        --seeds 1,2,3

A section [Sweep] of an input file says the same, a line a key. Every combination of values is a run into
save_dir/KEY=VALUE,KEY=VALUE, or save_dir/KEY=VALUE,KEY=VALUE/seed_N. All of them are checked before the first one
starts; what is finished is not run again, so that values can be added later.
"""

import argparse
import hashlib
import itertools
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sifting.base.command_line import Parser, run_command
from sifting.errors import InputError, SiftingError
from sifting.experiment.experiment import kind_of, refusal
from sifting.experiment.seeds import of_seed, seeds_in
from sifting.inputs import SECTIONS, SWEEP, named_key, read_experiment, read_sweep
from sifting.training import many
from sifting.training.plan import is_finished

_LONGEST = 40  # characters of a value in the name of a folder
_GRID = "--grid"
_SOURCE = f"--set or {_GRID}"


@dataclass(frozen=True)
class Axis:
    """A key and its values.

    Attributes:
        section, name: of the key.
        values: as text, as the resolved input file has them, each once.
    """

    section: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """One combination of values.

    Attributes:
        name: of its folder; empty where nothing varies.
        assignments: "Section.key=value" of each key.
    """

    name: str
    assignments: tuple[str, ...]


# --- which experiments ---------------------------------------------------------------------------------------------


def axis(section: str, name: str, text: str, source: str) -> Axis:
    """Values are joined by ",", or by ";" where they have commas themselves. source: the file, or --grid.

    Raises:
        InputError: a value, or a key, that cannot be accepted.
    """
    if section == "IO" or (section, name) == ("Network", "seed"):
        raise refusal(source, section, name, text, "any key but those of [IO]; seeds are given by --seeds")
    kind, values = kind_of(SECTIONS[section], name), []
    for value in map(str.strip, text.split(";" if ";" in text else ",")):
        try:
            parsed = kind.parse(value)
        except ValueError:
            values_of_it = f"{kind.accepts}; several joined by ',', or by ';'"
            raise refusal(source, section, name, value, values_of_it) from None
        values.append("" if parsed is None else kind.format(parsed))
    return Axis(section, name, tuple(dict.fromkeys(values)))


def axes_of(files: Sequence[str], grid: Iterable[str] = ()) -> list[Axis]:
    """Those of the [Sweep] sections and of --grid, which is stronger."""
    found: dict[tuple[str, str], Axis] = {}
    for (section, name), (text, source) in read_sweep(files).items():
        if section != SWEEP:
            found[section, name] = axis(section, name, text, f"{source}: [{SWEEP}]")
    for assignment in grid:
        target, separator, text = assignment.partition("=")
        if not (separator and "." in target):
            accepted = "Section.key=VALUE,VALUE, such as Network.learning_rate=0.1,0.3"
            raise InputError(f"{_GRID} '{assignment}': accepted: {accepted}")
        pair = named_key(target, text, _GRID)
        found[pair] = axis(*pair, text, _GRID)
    return list(found.values())


def points_of(axes: Sequence[Axis]) -> list[Point]:
    """Every combination, the last key changing fastest."""
    names = [one.name for one in axes]
    shown = [one.name if names.count(one.name) == 1 else f"{one.section}.{one.name}" for one in axes]
    return [
        Point(
            ",".join(f"{name}={_safe(value)}" for name, value in zip(shown, values, strict=True)),
            tuple(f"{one.section}.{one.name}={value}" for one, value in zip(axes, values, strict=True)),
        )
        for values in itertools.product(*(one.values for one in axes))
    ]


def _safe(value: str) -> str:
    """A value as a part of the name of a folder: letters, digits, and . + - _; no two values become one."""
    name = value.replace(", ", "+").replace(",", "+").replace(":", "-") or "unset"
    if re.fullmatch(rf"[\w.+-]{{1,{_LONGEST}}}", name, re.ASCII):
        return name
    kept = re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII)[-_LONGEST + 9 :]
    return f"{kept}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def seeds_of(files: Sequence[str], text: str | None) -> list[int] | None:
    """Those of --seeds, else those of [Sweep]; None: that of the input file."""
    source = "--seeds"
    if text is None:
        text, source = read_sweep(files).get((SWEEP, "seeds"), (None, ""))
        source += f": [{SWEEP}] seeds ="
    return None if text is None else seeds_in(text, source)


def plans_of(
    files: Sequence[str],
    points: Iterable[Point],
    seeds: Sequence[int] | None = None,
    assignments: Sequence[str] = (),
    runs: str | None = None,
) -> dict[str, many.Task]:
    """The run of each point and seed, planned, by its folder in the save_dir of the input files; `runs`: of --runs.

    Raises:
        SiftingError: a point that cannot be run, or two that are one experiment; the line begins with its name.
    """
    tasks: dict[str, many.Task] = {}
    names: dict[tuple[Any, ...], str] = {}
    for point in points:
        try:
            given = [*assignments, *point.assignments]
            experiment = read_experiment(files, given, _SOURCE)
            same = names.setdefault((experiment.data, experiment.network, experiment.method), point.name)
            if same != point.name:
                raise InputError(f"is the same experiment as {same}; accepted: one of them")
            folder = str(Path(many.in_folder(experiment, runs).io.save_dir, point.name))
            for seed in [None] if seeds is None else seeds:
                place = [f"IO.save_dir={folder}"]
                if seed is not None:
                    place = of_seed(experiment.replace("IO", save_dir=folder), seed)
                name = point.name if seed is None else os.path.join(point.name, f"seed_{seed}")
                here = [*given, *place]
                tasks[name] = many.Task(
                    read_experiment(files, here, _SOURCE),
                    name,
                    [*files, *(f"--set={assignment}" for assignment in here)],
                )
                _ = tasks[name].plan
        except SiftingError as error:
            raise type(error)(f"{point.name}: {error}" if point.name else str(error)) from None
    return tasks


# --- running them --------------------------------------------------------------------------------------------------


def _sweep(options: argparse.Namespace) -> None:
    from postprocess.ahead import (  # matplotlib and scipy, which a refusal need not wait for
        OfTask,
        estimate,
        plan_lines,
    )
    from postprocess.table import density_option, rows_of, show

    at_density = density_option(options.at_density)
    points = points_of(axes_of(options.input, options.grid))
    how = many.how(options)
    tasks = plans_of(options.input, points, seeds_of(options.input, options.seeds), options.set, how.runs)
    missing = {name: task.plan for name, task in tasks.items() if not is_finished(task.plan)}
    if how.commands:
        many.show_commands(list(tasks.values()))
        return
    if options.dry_run:
        print("\n".join(plan_lines(estimate(list(map(OfTask, tasks.values()))), how.jobs or 1)))
        return
    print(f"{len(tasks)} {'runs' if len(tasks) > 1 else 'run'}, {len(missing)} to do", flush=True)
    for one in missing.values():
        one.images.check_files()
    failed = many.work_off([tasks[name] for name in missing], how)
    if stored := [task.plan.directory for task in tasks.values() if task.plan.directory.rounds()]:
        show(rows_of(stored, at_density), at_density)
    many.told(failed, len(missing))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog="python -m sifting.sweep", description="Run an experiment with several values of some keys, and compare."
    )
    parser.add_argument("input", nargs="+", metavar="INPUT", help="input files, as of sifting.run")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE,VALUE",
        help="may be repeated; ';' joins values with commas",
    )
    parser.add_argument("--seeds", metavar="N,N,...", help="of every point; default: that of the input file")
    parser.add_settings("of all runs; may be repeated")
    parser.add_argument("--at_density", metavar="U", help="of the table at the end, as of postprocess.table")
    parser.add_argument("--dry_run", action="store_true", help="check and list the runs, with their cost, and stop")
    many.add_options(parser)
    return run_command(_sweep, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
