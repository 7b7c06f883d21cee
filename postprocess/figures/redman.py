"""What the figures of Redman et al. 2024 share: arrays of all seeds, and curves with the range of the seeds.

Arrays come from postprocess.analyse, which stores them beside the runs, so that a figure is drawn again in a moment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from postprocess import analyse
from postprocess.analyse import stored_part
from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import base, drawing
from postprocess.locality import displacement_maps, relative_near_share
from postprocess.masks import mask_plate
from postprocess.receptive_field import LayerWidth, width_of_layer
from postprocess.seeds import mean_and_range
from sifting.runs.directory import RunDirectory

AFTER_TEN = 0.7**10  # u after ten prunings of 30 %: s = 97.2 %
MASKS, MASK_COLUMNS = 30, 6

# The paper's black, blue and red; markers and dashes also tell them apart.
LINES = {
    "imp": drawing.Line("#000000", "o", "-"),
    "oneshot": drawing.Line(drawing.BLUE, "s", "--"),
    "random": drawing.Line(drawing.ORANGE, "^", ":"),
    "imp_clone": drawing.Line(drawing.ORANGE, "s", "--"),
}
NAMES = {"imp": "IMP", "oneshot": "oneshot", "random": "random", "imp_clone": "IMP on the Gaussian clone"}


def analysed(runs: Sequence[RunDirectory], part: str, options: base.Options) -> list[dict[Any, Any]]:
    """The arrays of a part of postprocess.analyse for each run; computed where they are not stored."""
    return [stored_part(run, part, options.assignments, options.report) for run in runs]


def by_round(found: Sequence[Mapping[int, Any]], value: Callable[[Any], float], rounds: Iterable[int]) -> np.ndarray:
    """A number of every round and run, float64 [rounds, runs]; nan where a run has no such round."""
    return np.array([[float(value(run[n])) if n in run else np.nan for run in found] for n in rounds])


def width(arrays: analyse.Arrays) -> LayerWidth:
    """RF widths over all nodes of layer 1, of the part "masks" of one round."""
    return width_of_layer(arrays["l1_sigma_x"], arrays["l1_converged"])


def range_curve(ax: Axes, x: np.ndarray, values: np.ndarray, line: drawing.Line, label: str) -> base.Numbers:
    """The mean over the runs as a line, minimum to maximum as a band.

    Args:
        x: float [rounds]; values: float [rounds, runs].

    Returns:
        For the JSON: x, mean, low, high, runs.
    """
    found = mean_and_range(values)
    drawing.curve_panel(ax, x, *found, **line.look, markersize=3.5, linewidth=1.3, label=label)
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
    mask = runs[0].read_round(shown.number).masks[0].W
    nodes = select_nodes(input_connections(mask), "most", MASKS)
    drawing.plate_panel(ax, mask_plate(mask, MASKS, MASK_COLUMNS))
    far = f" (paper: {sparsity(shown.wanted)})" if shown.wanted is not None and "paper" in shown.label else ""
    drawing.letter(ax, letter, f"{name}, s = {sparsity(shown.u)}{far}")
    return shown.numbers() | {
        "s": 1 - shown.u,
        "L3": relative_near_share(displacement_maps(mask).same),
        "nodes": nodes,
        "C_in": input_connections(mask)[nodes],
    }


def sparsity(u: float) -> str:
    """Three digits of s = 1 - u: 97.2 %."""
    return f"{100 * (1 - u):.3g} %"
