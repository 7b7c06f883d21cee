"""What the figures of Redman et al. 2024 share: arrays of all seeds, and curves with the range of the seeds.

Arrays come from postprocess.analyse, which stores them beside the runs, so that a figure is drawn again in a moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from postprocess import analyse
from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import base, drawing, panels
from postprocess.locality import displacement_maps, full_map, near_share
from postprocess.masks import mask_plate
from sifting.errors import RunDirectoryError
from sifting.run_directory import RunDirectory

AFTER_TEN = 0.7**10  # u after ten prunings of 30 %: s = 97.2 %
MASKS, MASK_COLUMNS = 30, 6

# The paper's black, blue and red; markers and dashes also tell them apart.
LINES = {
    "imp": drawing.Line("#000000", "o", "-"),
    "oneshot": drawing.Line(panels.BLUE, "s", "--"),
    "random": drawing.Line(panels.ORANGE, "^", ":"),
    "imp_clone": drawing.Line(panels.ORANGE, "s", "--"),
}
NAMES = {"imp": "IMP", "oneshot": "oneshot", "random": "random", "imp_clone": "IMP on the Gaussian clone"}


class OverSeeds(NamedTuple):
    """Statistics over the runs, float64 [rounds] each; nan where no run has a value."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def over_seeds(values: np.ndarray) -> OverSeeds:
    """Mean, minimum and maximum over the last axis, leaving nan out.

    Args:
        values: float64 [rounds, runs].
    """
    known = np.isfinite(values)
    none = ~known.any(axis=-1)
    low, high = (
        np.where(none, np.nan, extreme(np.where(known, values, bound), axis=-1))
        for extreme, bound in ((np.min, np.inf), (np.max, -np.inf))
    )
    return OverSeeds(base.mean_and_sd(values)[0], low, high)


def analysed(runs: Sequence[RunDirectory], part: str, options: base.Options) -> list[dict[Any, Any]]:
    """The arrays of a part of postprocess.analyse for each run; computed where they are not stored.

    Raises:
        RunDirectoryError: the part cannot be computed for a run; the line says why.
    """
    found = []
    for directory in runs:
        experiment = base.own_experiment(directory, options.assignments)
        run = analyse.Run(directory, experiment, analyse.Options(), options.report)
        reason = run.why_not(analyse.PARTS[part])
        if reason:
            raise RunDirectoryError(f"{directory}: no {part}: {reason}")
        found.append(analyse.analyse(run, [part])[part])
    return found


def by_round(found: Sequence[Mapping[int, Mapping[str, Any]]], name: str, rounds: Iterable[int]) -> np.ndarray:
    """A number of every round and run, float64 [rounds, runs]; nan where a run has no such round."""
    return np.array([[float(run[n][name]) if n in run else np.nan for run in found] for n in rounds])


def width_statistics(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of sigma_x in pixels, of the part "masks" of one round: over all nodes that have a width.

    Returns:
        median, mean; converged_mean, without the nodes whose width lies at a bound; converged and nodes, how many.
    """
    widths, converged = arrays["l1_sigma_x"], arrays["l1_converged"] != 0
    known = widths[np.isfinite(widths)]
    return {
        "median": np.median(known) if known.size else np.nan,
        "mean": np.mean(known) if known.size else np.nan,
        "converged_mean": np.mean(widths[converged]) if converged.any() else np.nan,
        "converged": int(np.count_nonzero(converged)),
        "nodes": len(widths),
    }


def range_curve(ax: Axes, x: np.ndarray, values: np.ndarray, line: drawing.Line, label: str) -> base.Numbers:
    """The mean over the runs as a line, minimum to maximum as a band.

    Args:
        x: float [rounds]; values: float [rounds, runs].

    Returns:
        For the JSON: x, mean, low, high, runs.
    """
    found = over_seeds(values)
    ax.plot(
        x,
        found.mean,
        color=line.colour,
        marker=line.marker,
        linestyle=line.style,
        markersize=3.5,
        linewidth=1.3,
        label=label,
    )
    ax.fill_between(x, found.low, found.high, color=line.colour, alpha=0.2, linewidth=0)
    return {"x": x, **found._asdict(), "runs": values}


def sparsity_axis(ax: Axes) -> None:
    """For curves over u in percent: a reversed log axis, with ticks at sparsities s = 1 - u."""
    ax.set_xscale("log")
    low, high = sorted(ax.get_xlim())
    ax.set_xlim(high, low)
    ticks = [u for u in (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1) if low <= u <= high]
    ax.set_xticks(ticks)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda u, _: f"{100 - u:g}"))
    ax.set_xlabel("sparsity, s [%]")


def masks_panel(ax: Axes, runs: Sequence[RunDirectory], shown: base.Shown, letter: str, name: str) -> base.Numbers:
    """The masks of the most connected nodes of the first run, under the letter, the name and the sparsity.

    Returns:
        For the JSON: round, u, s, L3 of the layer, the nodes and their connections.
    """
    mask = base.pooled_mask(base.read_rounds(runs[:1], shown.number))
    nodes = select_nodes(input_connections(mask), "most", MASKS)
    panels.plate_panel(ax, mask_plate(mask, MASKS, MASK_COLUMNS))
    far = f" (paper: {sparsity(shown.wanted)})" if shown.wanted is not None and "paper" in shown.label else ""
    drawing.letter(ax, letter, f"{name}, s = {sparsity(shown.u)}{far}")
    same = displacement_maps(mask).same
    return shown.numbers() | {
        "s": 1 - shown.u,
        "L3": near_share(same) / near_share(full_map(len(same) // 2)),
        "nodes": nodes,
        "C_in": input_connections(mask)[nodes],
    }


def sparsity(u: float) -> str:
    """Three digits of s = 1 - u: 97.2 %."""
    return f"{100 * (1 - u):.3g} %"
