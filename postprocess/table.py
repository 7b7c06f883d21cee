"""One line an experiment: `python -m postprocess.table DIR [DIR ...]`.

All runs in these folders and below them, ours or the TF1 code's. Seeds, runs of which all else is equal, share a line
of means and standard deviations; in front stand the settings in which the lines differ. `--plot` draws one column over
one of these settings.
"""

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from postprocess.command_line import Parser, aligned, run_command
from postprocess.differences import Group, seed_groups, varying
from postprocess.figures import base, drawing
from postprocess.observables import Observable, observables
from postprocess.seeds import best_accuracy, common_rounds, mean_and_sd, read_seeds, statistics
from sifting.errors import InputError
from sifting.experiment.keys import RATIO
from sifting.runs.directory import RunDirectory
from sifting.runs.find import runs_below

RUN = "run"  # the column that tells lines apart of whose settings nothing is known


class Row(NamedTuple):
    """What a line says.

    Attributes:
        group: its runs.
        settings: by name, those in which lines differ, as text; "-" for what a method does not have.
        round: number of the round that is shown.
        values: of each column, float64 [runs].
    """

    group: Group
    settings: Mapping[str, str]
    round: int
    values: Mapping[str, NDArray[np.float64]]

    def mean_and_sd(self, name: str) -> tuple[float, float]:
        mean, sd = mean_and_sd(self.values[name])
        return float(mean), float(sd)


def columns() -> dict[str, Observable]:
    """The best error, and all observables but the accuracy."""
    error = Observable("best error [%]", lambda result: 1 - best_accuracy(result), 100)
    return {"error": error} | {name: entry for name, entry in observables().items() if name != "accuracy"}


def rows_of(runs: Iterable[RunDirectory], at_density: float | None = None) -> list[Row]:
    """One row for each group of seeds, ordered by their settings.

    Args:
        at_density: u of the round that is shown, or of the nearest on a log scale; None: the last that all seeds have.

    Raises:
        DataError, RunDirectoryError: rounds that are damaged, or none in common.
    """
    groups = seed_groups(runs)
    pairs = varying([group.settings for group in groups if group.settings is not None])
    keys = [key for _, key in pairs]
    names = {pair: pair[1] if keys.count(pair[1]) == 1 else ".".join(filter(None, pair)) for pair in pairs}
    rows = []
    for group in groups:
        settings = {names[pair]: (group.settings or {}).get(pair, "-") for pair in pairs}
        if len(groups) > 1 and any(other.settings is None for other in groups):
            settings = {RUN: str(group)} | settings
        number = common_rounds(group.runs)[-1] if at_density is None else read_seeds(group.runs).nearest(at_density)
        rounds = [run.read_round(number) for run in group.runs]
        values = {
            name: np.array([column.measured(one, run) for run, one in zip(group.runs, rounds, strict=True)])
            for name, column in columns().items()
        }
        rows.append(Row(group, settings, number, values))
    return sorted(rows, key=lambda row: [_in_order(text) for text in row.settings.values()])


def _in_order(text: str) -> tuple[float, str]:
    """Numbers by size, before text."""
    number = _number(text)
    return (np.inf, text) if number is None else (number, "")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --- as text -------------------------------------------------------------------------------------------------------


def as_text(rows: Sequence[Row]) -> list[list[str]]:
    """Titles, then each row: settings, number of seeds, round, mean and s.d. of the columns."""
    lines = [[*rows[0].settings, "seeds", "round", *(column.title for column in columns().values())]]
    for row in rows:
        cells = (column.cell(*row.mean_and_sd(name)) for name, column in columns().items())
        lines.append([*row.settings.values(), str(len(row.group.runs)), str(row.round), *cells])
    return lines


def notes(rows: Sequence[Row], at_density: float | None = None) -> list[str]:
    """What a reader of the table must know: how runs are pooled, and which are not what they seem."""
    runs = [run for row in rows for run in row.group.runs]
    shown = "the last round that all have" if at_density is None else f"the round with u nearest to {at_density:.3g}"
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    lines = [f"{count}; seeds of which all else is equal are pooled: mean \u00b1 s.d. of {shown}"]
    lines += [
        f"Warning: one seed several times: {', '.join(map(str, row.group.runs))}"
        for row in rows
        if row.group.settings is not None and len(set(row.group.seeds)) < len(row.group.seeds)
    ]
    if at_density is not None:
        ratios = [round(row.mean_and_sd("density")[0] / at_density, 2) for row in rows]
        far = sum(not 1 / base.FAR <= ratio <= base.FAR for ratio in ratios)
        if far:
            lines.append(f"Warning: {far} of {len(rows)} lines have no round within 25 % of u = {at_density:.3g}")
    records = {run: run.read_record() for run in runs}
    unfinished = [str(run) for run, record in records.items() if record and not record.get("finished")]
    if unfinished:
        lines.append(f"Warning: not finished: {', '.join(unfinished)}")
    return lines


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry a row."""
    return [
        {
            "settings": dict(row.settings),
            "seeds": row.group.seeds,
            "runs": [str(run) for run in row.group.runs],
            "round": row.round,
            **{name: statistics(values) for name, values in row.values.items()},
        }
        for row in rows
    ]


def write_csv(rows: Sequence[Row]) -> None:
    """To standard output: settings, number of seeds, round, and of each column its mean NAME and s.d. NAME_sd."""
    names = list(columns())
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*rows[0].settings, "seeds", "round", *(f"{name}{end}" for name in names for end in ("", "_sd"))])
    for row in rows:
        numbers = [number for name in names for number in row.mean_and_sd(name)]
        shown = [repr(number) if np.isfinite(number) else "" for number in numbers]
        writer.writerow([*row.settings.values(), len(row.group.runs), row.round, *shown])


# --- as a figure ---------------------------------------------------------------------------------------------------


def draw(rows: Sequence[Row], name: str, over: str) -> Figure:
    """A column over a setting: means, with a band of one standard deviation, a line for each value of the others."""
    column = columns()[name]
    lines: dict[str, list[Row]] = {}
    for row in rows:
        others = [f"{key} = {text}" for key, text in row.settings.items() if key != over]
        lines.setdefault(", ".join(others), []).append(row)
    texts = sorted({row.settings[over] for row in rows}, key=_in_order)
    numbers = [_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    numeric = len(known) == len(texts)
    places = dict(zip(texts, known if numeric else range(len(texts)), strict=True))
    figure = drawing.new_figure(3.6, 5.4)
    ax = figure.add_subplot()
    for (label, group), line in zip(lines.items(), itertools.cycle(drawing.LINES), strict=False):
        means, sds = zip(*(row.mean_and_sd(name) for row in group), strict=True)
        x = [places[row.settings[over]] for row in group]
        drawing.mean_panel(
            ax, x, column.factor * np.array(means), column.factor * np.array(sds), **line.look, label=label
        )
    if numeric and min(known) > 0 and max(known) >= 10 * min(known):
        ax.set_xscale("log")
    if len(texts) <= 10 or not numeric:
        ax.set_xticks(list(places.values()), texts)
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel=over, ylabel=column.title)
    if len(lines) > 1:
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=drawing.SMALL)
    return figure


# --- the command ---------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.table", description="One line an experiment, seeds pooled.")
    parser.add_argument("dir", nargs="+", metavar="DIR", help="all runs in these folders and below; or DIR/PREFIX")
    parser.add_argument("--at_density", metavar="U", help="show the round nearest to u; default: the last one")
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--csv", action="store_true", help="numbers, in place of the table")
    formats.add_argument("--json", action="store_true", help="the same, with those of each seed")
    parser.add_argument("--plot", metavar="COLUMN", help=f"draw it: {', '.join(columns())}")
    parser.add_argument("--over", metavar="KEY", help="the setting on the x axis, such as Network.learning_rate")
    parser.add_argument("--output", type=Path, metavar="FILE", help="of the figure; default: COLUMN_over_KEY.png")
    return run_command(_table_command, parser, arguments)


def _table_command(options: argparse.Namespace) -> None:
    at_density = density_option(options.at_density)
    if options.plot is not None and options.plot not in columns():
        raise InputError(f"--plot {options.plot}: accepted: {', '.join(columns())}")
    if (options.plot is None) != (options.over is None):
        raise InputError("--plot COLUMN and --over KEY go together; accepted: both or none")
    rows = rows_of(runs_below(options.dir), at_density)
    over = _over(options.over, rows)
    show(rows, at_density, "json" if options.json else "csv" if options.csv else "text")
    if over is not None:
        output = options.output or Path(f"{options.plot}_over_{over}.png")
        with drawing.figure_style():
            drawing.save_figure(draw(rows, options.plot, over), output)
        print(output, file=sys.stderr if options.json or options.csv else sys.stdout)


def density_option(text: str | None) -> float | None:
    """What --at_density says."""
    try:
        return None if text is None else float(RATIO.parse(text))
    except ValueError:
        raise InputError(f"--at_density {text}: accepted: {RATIO.accepts}, such as 0.05") from None


def _over(name: str | None, rows: Sequence[Row]) -> str | None:
    """The setting that --over names, with or without its section."""
    known = list(rows[0].settings)
    found = [setting for setting in known if name in (setting,) or (name or "").endswith(f".{setting}")]
    if name is not None and not found:
        differ = ", ".join(known) or "none: all is equal but the seeds"
        raise InputError(f"--over {name}: is equal in all runs, or unknown; accepted: {differ}")
    return found[0] if found else None


def show(rows: Sequence[Row], at_density: float | None = None, form: str = "text") -> None:
    """Print the table, or its numbers as json or csv; with those the notes go to stderr."""
    if form == "json":
        print(json.dumps(as_json(rows), indent=2))
    elif form == "csv":
        write_csv(rows)
    else:
        print(aligned(as_text(rows)))
    print("\n".join(notes(rows, at_density)), file=sys.stdout if form == "text" else sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
