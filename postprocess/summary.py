"""One figure and one table of an experiment: `python -m postprocess.summary RUN_DIR [RUN_DIR ...]`.

Of several seeds numbers are given as mean and standard deviation, and maps, histogram and plate show the nodes of all
of them together. Runs that differ in more than the seed have tables and figures of their own.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from postprocess.command_line import Parser, aligned, run_command
from postprocess.connectivity import input_connections
from postprocess.differences import pooled, seed_differences
from postprocess.locality import DisplacementMaps, displacement_maps
from postprocess.masks import mask_plate
from postprocess.observables import observables
from postprocess.receptive_field import unlocalised_width
from postprocess.seeds import Seeds, common_rounds, mean_and_sd, pooled_mask, read_seeds
from sifting.errors import InputError, RunDirectoryError
from sifting.network.plates import Shape
from sifting.network.rounds import Round
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Summary:
    """The rounds of one experiment, over its seeds.

    Attributes:
        seeds: u and accuracy of the rounds.
        numbers: of each of the observables float64 [rounds, runs]; nan where undefined or where a run has ended.
        maps: S_sc and S_dc of layer 1 in each round, summed over the runs; None where they are not defined.
        connections: C_in of layer 1 in each round, int64 [nodes of all runs that have it]; None for a convolution.
        shown: the round of maps, histogram and plate.
        mask: uint8 [n_0, runs * nodes], 1 where connected: first-layer masks of that round, the nodes of all runs side
            by side; None where the first layer is a convolution.
    """

    seeds: Seeds
    numbers: Mapping[str, NDArray[np.float64]]
    maps: tuple[DisplacementMaps | None, ...]
    connections: tuple[np.ndarray | None, ...]
    shown: int
    mask: NDArray[np.uint8] | None

    @property
    def rounds(self) -> tuple[int, ...]:
        return self.seeds.rounds

    @property
    def image_shape(self) -> Shape | None:
        """Of the images that the first layer looks at, see Round.image_shape."""
        return self.seeds.image_shape

    def mean_and_sd(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Over the runs, float64 [rounds] each. The (sample) standard deviation is nan for fewer than two runs."""
        return mean_and_sd(self.numbers[name])


def summarise(runs: Sequence[RunDirectory], shown: int | None = None) -> Summary:
    """Read every round of every run once, and compute what table and figure need.

    Args:
        runs: seeds of one experiment.
        shown: the round whose masks are kept; default: the last one that all runs have.

    Raises:
        DataError: a pickle that is damaged.
        RunDirectoryError: no rounds, a round that does not exist, or runs that differ in more than the seed.
    """
    _check_seeds(runs)
    common = common_rounds(runs)
    shown = common[-1] if shown is None else shown
    if shown not in common:
        raise RunDirectoryError(f"{runs[0]}: has no round {shown}; accepted: one of {', '.join(map(str, common))}")
    numbers: dict[str, dict[tuple[int, int], float]] = {name: {} for name in observables()}
    maps: dict[int, DisplacementMaps] = {}
    connections: dict[int, list[np.ndarray]] = {}
    masks: list[NDArray[np.uint8]] = []

    def measure(row: int, column: int, result: Round) -> None:
        for name, observable in observables().items():
            numbers[name][row, column] = observable.measured(result, runs[column])
        if result.specs[0].is_dense:
            mask = result.masks[0].W
            connections.setdefault(row, []).append(input_connections(mask))
            if result.number == shown:
                masks.append(pooled_mask([result]))
            if shape := result.image_shape:
                own = displacement_maps(mask, shape)
                maps[row] = DisplacementMaps(*map(np.add, maps[row], own)) if row in maps else own

    seeds = read_seeds(runs, measure)
    places = range(len(seeds.rounds))
    return Summary(
        seeds,
        {name: seeds.table(values) for name, values in numbers.items()},
        tuple(maps.get(row) for row in places),
        tuple(np.concatenate(connections[row]) if row in connections else None for row in places),
        shown,
        np.concatenate(masks, axis=1) if masks else None,
    )


def _check_seeds(runs: Sequence[RunDirectory]) -> None:
    """Refuse runs of which their input files say that they are no seeds of one experiment."""
    for run in runs[1:]:
        differences = seed_differences(runs[0], run)
        if differences:
            more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
            raise RunDirectoryError(
                f"{run}: is not another seed of {runs[0]} ({'; '.join(differences[:3])}{more}); to see both: "
                "python -m postprocess.compare A B"
            )


def round_table(runs: Sequence[RunDirectory]) -> str:
    """The table of rounds of one run, or of several seeds (mean +- s.d.); '-' where a number is not defined.

    Raises:
        DataError, RunDirectoryError: as summarise does.
    """
    return format_table(summarise(runs))


def format_table(summary: Summary) -> str:
    """One line a round, in aligned columns."""
    cells = [["round", *map(str, summary.rounds)]]
    for name, observable in observables().items():
        cells.append([observable.title, *map(observable.cell, *summary.mean_and_sd(name))])
    return aligned(zip(*cells, strict=True))


def draw_summary(summary: Summary, title: str) -> "Figure":
    """Accuracy, locality and RF width over the rounds; S_sc, S_dc, C_in and the most connected masks of one round."""
    from postprocess.figures import drawing  # matplotlib, for which the table at the end of a run need not wait

    figure = drawing.new_figure(7.2, 14)
    figure.suptitle(f"{title}\nMaps, histogram and masks: {describe_round(summary)}", x=0.01, ha="left", fontsize=11)
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 1.05))
    accuracy, locality, width = (figure.add_subplot(grid[0, column]) for column in range(3))
    same, different, connections = (figure.add_subplot(grid[1, column]) for column in range(3))
    plate = figure.add_subplot(grid[:, 3])

    drawing.density_curve(accuracy, summary.seeds)
    accuracy.set_title("Accuracy as weights are pruned")
    shape = summary.image_shape
    if shape and summary.mask is not None:
        drawing.mean_panel(locality, summary.rounds, *summary.mean_and_sd("locality"))
        drawing.round_axis(locality, "L3", 1.0)
        drawing.mean_panel(width, summary.rounds, *summary.mean_and_sd("rf_width"))
        drawing.round_axis(width, "RF width [pixels]", unlocalised_width(shape), note_above=True)
        maps = displacement_maps(summary.mask, shape)
        drawing.map_panel(same, maps.same, large=True, bar=True)
        if shape[0] > 1:
            drawing.map_panel(different, maps.different, same=False, large=True, bar=True)
        else:
            drawing.empty_panel(different, "not defined: the images are grey")
        drawing.plate_panel(plate, mask_plate(summary.mask, count=50, columns=5, shape=shape))
    else:
        for ax in (locality, width, same, different, plate):
            drawing.empty_panel(ax, "not defined: the first layer\ndoes not look at images")
    locality.set_title("Locality index L3")
    width.set_title("Receptive-field width")
    same.set_title("$S_{sc}$, pairs of the same colour")
    different.set_title("$S_{dc}$, pairs of different colours")
    plate.set_title("Masks of the most connected nodes")
    if summary.mask is None:
        drawing.empty_panel(connections, "not defined: the first layer is a convolution")
    else:
        counts = input_connections(summary.mask)
        drawing.connections_panel(connections, counts, len(summary.mask), legend=True)
    connections.set_title("Connections per node")
    return figure


def describe_round(summary: Summary) -> str:
    """Such as 'round 10, u = 2.82 %'."""
    from postprocess.figures.drawing import percent

    return f"round {summary.shown}, u = {percent(summary.seeds.u_of(summary.shown))} %"


_RUN_DIRS = "save_dir, DIR/PREFIX, or a folder of seeds (seed_1, seed_2, ...); seeds of one experiment are pooled"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.summary", description="The table of rounds of a run, and one figure.")
    parser.add_argument("run_dir", nargs="+", metavar="RUN_DIR", help=_RUN_DIRS)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: PREFIX_summary.png in the RUN_DIR, as it is named"
    )
    parser.add_argument("--round", type=int, help="round of the maps and masks; default: the last that all runs have")
    return run_command(_summarise_command, parser, arguments)


def _summarise_command(options: argparse.Namespace) -> None:
    from postprocess.figures import drawing

    named = {run: Path(path) for path in options.run_dir for run in find_runs([path])}
    experiments = pooled(named)
    if options.output is not None and len(experiments) > 1:
        raise InputError(f"--output {options.output}: accepted with one experiment; several go to their default places")
    for runs in experiments:
        title = str(runs[0])
        if len(runs) > 1:
            print(f"{len(runs)} seeds of one experiment: {', '.join(map(str, runs))}")
            title += f" and {len(runs) - 1} more: mean and s.d. of the runs, nodes of all"
        elif len(experiments) > 1:
            print(title)
        summary = summarise(runs, options.round)
        print(format_table(summary))
        output = options.output or _named(named[runs[0]], runs[0]).path("summary.png")
        with drawing.figure_style():
            drawing.save_figure(draw_summary(summary, title), output)
        print(output)


def _named(path: Path, first: RunDirectory) -> RunDirectory:
    """Where the files of what the user has named go: of a folder of seeds not beside the first seed's own."""
    return RunDirectory(path, first.prefix) if first.folder.parent == path else first


if __name__ == "__main__":
    sys.exit(main())
