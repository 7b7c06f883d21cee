"""What P&B Fig. 6, 7 and 8 share: experiments that differ in one setting, side by side.

a: best validation accuracy against u, the best round of each marked by a square. b: training error (left) and
validation error (right) over the steps of the dense round. c: the same of each one's best round. d: S_sc and C_in of
the best rounds.

Choices. Steps are on a log scale. The training error, one number a batch, is its mean over the steps since the last
validation. Both are shown as medians over WINDOW of the validations, since single ones jump up and down in late rounds.
Errors and the steps they belong to are those of the first run of each, curves in a are means over its runs, maps and
histograms pool their nodes. The dashed line is the binomial of random pruning.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show_roles
from sifting.network.rounds import Round
from sifting.runs.history import mean_training_error

MAPS_A_ROW = 5
HEIGHT, MAPS_HEIGHT = 4.1, 2.6  # inches, of panels a to c, and of a row of maps
WINDOW = 0.1


def draw_comparison(
    runs: base.Runs,
    options: base.Options,
    names: Mapping[str, str],
    dense: Sequence[str] | None = None,
    maps: bool = True,
    meaning: str | None = None,
) -> tuple[Figure, base.Numbers]:
    """The figure.

    Args:
        names: of the roles, in the order of the legend.
        dense: the roles in b; default: all.
        maps: with panel d.
        meaning: of the names, above the legend.
    """
    shown = show_roles(runs, options, names)
    below = MAPS_HEIGHT * -(-len(names) // MAPS_A_ROW) if maps else 0
    figure = drawing.new_figure(HEIGHT + below)
    parts = drawing.sub_figures(figure, heights=(HEIGHT, below) if maps else (HEIGHT,))
    grid = parts[0].add_gridspec(2, 3, width_ratios=(1.7, 1, 1))
    accuracy = parts[0].add_subplot(grid[:, 0])
    found: dict[str, Any] = {"a": {role: panels.accuracy(accuracy, one) for role, one in shown.items()}}
    drawing.letter(accuracy, "a")
    # Below all panels: nine curves leave no room inside.
    parts[0].legend(
        *accuracy.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(5, len(names)),
        fontsize=7.5,
        handlelength=3,
        title=meaning,
        title_fontsize=7.5,
    )
    for row, (name, what, roles) in enumerate((("b", "dense", dense or list(names)), ("c", "best round", list(names)))):
        training, validation = (parts[0].add_subplot(grid[row, column]) for column in (1, 2))
        found[name] = {}
        for role in roles:
            one = shown[role]
            result = one.first if name == "c" else one.seeds.runs[0].read_round(one.seeds.common[0])
            found[name][role] = errors_panel((training, validation), result, one.line)
        training.set_ylabel("error [%]", fontsize=drawing.SMALL)
        drawing.letter(training, name, f"training, {what}")
        validation.set_title("validation", fontsize=9)
        for ax in (training, validation):
            ax.set_xscale("log")
            ax.tick_params(labelsize=7)
            ax.set_xlabel("step" if name == "c" else "", fontsize=drawing.SMALL)
    if maps:
        found["d"] = panels.columns(parts[1], shown, {"S_sc": "d", "C_in": ""}, MAPS_A_ROW)
    return figure, found


def errors_panel(axes: Sequence[Axes], result: Round, line: drawing.Line) -> base.Numbers:
    """Training error on the first Axes, validation error on the second, in percent."""
    steps, places = np.array(result.validation_steps), range(1, len(result.validation_steps))
    training = [mean_training_error(result.training_errors, result.validation_steps, place) for place in places]
    numbers: base.Numbers = {
        "round": result.number,
        "training": {"step": steps[1:], "error": np.array(training)},
        "validation": {"step": steps[steps > 0], "error": result.validation_errors[steps > 0]},
    }
    for ax, name in zip(axes, ("training", "validation"), strict=True):
        step, error = numbers[name]["step"], numbers[name]["error"]
        shown = median_filter(error, max(1, round(WINDOW * len(error))), mode="nearest")
        ax.plot(step, 100 * shown, line.style, color=line.colour, linewidth=1, alpha=0.9)
    return numbers
