"""What the figures of Redman et al. 2024 share: arrays of all seeds, and curves with the range of the seeds.

Arrays come from postprocess.analyse, which stores them beside the runs, so that a figure is drawn again in a moment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from postprocess.analyse import stored_part
from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import Shown, show_roles
from postprocess.locality import locality_index
from postprocess.receptive_field import LayerWidth, width_of_layer
from postprocess.seeds import AFTER_TEN, mean_and_range
from sifting.errors import RunDirectoryError

MASKS, MASK_COLUMNS = 30, 6

# The paper's black, blue and red; markers and dashes also tell them apart.
LINES = {
    "imp": drawing.Line("#000000", "o", "-"),
    "oneshot": drawing.Line(drawing.BLUE, "s", "--"),
    "random": drawing.Line(drawing.ORANGE, "^", ":"),
    "imp_clone": drawing.Line(drawing.ORANGE, "s", "--"),
}
NAMES = {"imp": "IMP", "oneshot": "oneshot", "random": "random", "imp_clone": "IMP on the Gaussian clone"}


def analysed(shown: Shown, part: str, options: base.Options) -> list[dict[Any, Any]]:
    """The arrays of a part of postprocess.analyse for each run; computed where they are not stored."""
    return [stored_part(run, part, options.assignments, options.report) for run in shown.seeds.runs]


def by_round(found: Sequence[Mapping[int, Any]], value: Callable[[Any], float], rounds: Iterable[int]) -> np.ndarray:
    """A number of every round and run, float64 [rounds, runs]; nan where a run has no such round."""
    return np.array([[float(value(run[n])) if n in run else np.nan for run in found] for n in rounds])


def widths(shown: Shown, options: base.Options) -> list[dict[int, LayerWidth]]:
    """RF widths over all nodes of layer 1, by round, of each run.

    Raises:
        RunDirectoryError: the first layer has none.
    """
    found = analysed(shown, "masks", options)
    for run, rounds in zip(shown.seeds.runs, found, strict=True):
        if any("l1_sigma_x" not in arrays for arrays in rounds.values()):
            raise RunDirectoryError(
                f"{run}: its first layer has no RF widths; accepted: a dense one, of images of 7 x 7 pixels or more"
            )
    return [
        {n: width_of_layer(arrays["l1_sigma_x"], arrays["l1_converged"]) for n, arrays in rounds.items()}
        for rounds in found
    ]


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


def show(runs: base.Runs, options: base.Options) -> dict[str, Shown]:
    """Every role at s = 97.2 %, or --round."""
    shown = show_roles(runs, options, {role: NAMES[role] for role in runs}, AFTER_TEN)
    return {role: replace(one, line=LINES[role]) for role, one in shown.items()}


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


def masks_panel(ax: Axes, shown: Shown, letter: str) -> base.Numbers:
    """The masks of the most connected nodes of the first run, under the letter, the name and the sparsity.

    Returns:
        For the JSON: round, u, s, L3 of the layer, the nodes and their connections.
    """
    found = panels.masks(ax, shown, MASKS, MASK_COLUMNS)
    far = f" (paper: {sparsity(shown.wanted or 0)})" if shown.paper else ""
    drawing.letter(ax, letter, f"{shown.name}, s = {sparsity(shown.u)}{far}")
    return shown.numbers() | {"s": 1 - shown.u, "L3": locality_index(shown.first_mask, shape=shown.shape)} | found


def sparsity(u: float) -> str:
    """Three digits of s = 1 - u: 97.2 %."""
    return f"{drawing.percent(1 - u)} %"
