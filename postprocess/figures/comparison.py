"""What P&B Fig. 6, 7 and 8 share: experiments that differ in one setting, side by side.

a: best validation accuracy against u, the best round of each marked by a square. b: training error (left) and
validation error (right) over the steps of the dense round. c: the same of each one's best round. d: S_sc and C_in of
the best rounds.

Choices. Steps are on a log scale. The training error, one number a batch, is its mean over the steps since the last
validation. Errors and the steps they belong to are those of the first run of each, curves in a are means over its runs,
maps and histograms pool their nodes. The dashed line is the binomial of random pruning.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

from postprocess.figures import base, drawing
from postprocess.seeds import Seeds, read_seeds
from sifting.network.rounds import Round

MAPS_A_ROW = 5
HEIGHT = 4.1  # inches, of panels a to c


def draw_comparison(
    runs: base.Runs,
    options: base.Options,
    labels: Mapping[str, str],
    dense: Sequence[str] | None = None,
    maps: bool = True,
    meaning: str | None = None,
) -> tuple[Figure, base.Numbers]:
    """The figure.

    Args:
        labels: of the roles, in the order of the legend.
        dense: the roles in b; default: all.
        maps: with panel d.
        meaning: of the labels, above the legend.
    """
    curves = {role: read_seeds(runs[role]) for role in labels}
    shown = {role: base.shown_round(curve, options) for role, curve in curves.items()}
    blocks = -(-len(labels) // MAPS_A_ROW) if maps else 0
    figure = drawing.new_figure(HEIGHT + 2.6 * blocks)
    parts: list[FigureBase] = [*drawing.sub_figures(figure, heights=(HEIGHT, 2.6 * blocks))] if maps else [figure]
    above = parts[0]
    grid = above.add_gridspec(2, 3, width_ratios=(1.7, 1, 1))
    accuracy = above.add_subplot(grid[:, 0])
    lines = dict(zip(labels, drawing.LINES, strict=False))
    for role, label in labels.items():
        curve = curves[role]
        drawing.curve_with_best(accuracy, curve, curve.mean, curve.sd, lines[role], label, shown[role].number)
    drawing.density_axis(accuracy)
    # Below all panels: nine curves leave no room inside.
    handles = accuracy.get_legend_handles_labels()
    above.legend(
        *handles,
        loc="outside lower center",
        ncols=min(5, len(labels)),
        fontsize=7.5,
        handlelength=3,
        title=meaning,
        title_fontsize=7.5,
    )
    drawing.letter(accuracy, "a")
    found: dict[str, Any] = {"a": {role: curve.numbers() | {"best": shown[role]} for role, curve in curves.items()}}
    for row, (name, roles) in enumerate((("b", dense or list(labels)), ("c", list(labels)))):
        axes = [above.add_subplot(grid[row, column]) for column in (1, 2)]
        found[name] = {}
        for role in roles:
            number = curves[role].common[0] if name == "b" else shown[role].number
            found[name][role] = errors_panel(axes, runs[role][0].read_round(number), lines[role])
        for ax in axes:
            ax.set_xscale("log")
            ax.tick_params(labelsize=7)
        axes[0].set_ylabel("error [%]", fontsize=drawing.SMALL)
        drawing.letter(axes[0], name, "training, " + ("dense" if name == "b" else "best round"))
        axes[1].set_title("validation", fontsize=9)
        if name == "c":
            for ax in axes:
                ax.set_xlabel("step", fontsize=drawing.SMALL)
    if maps:
        found["d"] = maps_and_connections(parts[1], curves, shown, labels, lines, "d")
    return figure, found


def errors_panel(axes: Sequence[Axes], result: Round, line: drawing.Line) -> base.Numbers:
    """Training error on the first Axes, validation error on the second, in percent."""
    steps = np.array(result.validation_steps)
    training = window_means(result.training_errors, steps)
    numbers: base.Numbers = {
        "round": result.number,
        "training": {"step": steps[1:], "error": training},
        "validation": {"step": steps[steps > 0], "error": result.validation_errors[steps > 0]},
    }
    for ax, name in zip(axes, ("training", "validation"), strict=True):
        ax.plot(
            numbers[name]["step"], 100 * numbers[name]["error"], line.style, color=line.colour, linewidth=1, alpha=0.9
        )
    return numbers


def window_means(errors: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The mean of errors[a + 1 : b + 1] for each pair of consecutive steps a, b, float64 [len(steps) - 1]."""
    sums = np.concatenate([[0], np.cumsum(errors, dtype=np.float64)])
    means: NDArray[np.float64] = (sums[steps[1:] + 1] - sums[steps[:-1] + 1]) / np.diff(steps)
    return means


def maps_and_connections(
    figure: FigureBase,
    curves: Mapping[str, Seeds],
    shown: Mapping[str, base.Shown],
    labels: Mapping[str, str],
    lines: Mapping[str, drawing.Line],
    name: str,
) -> dict[str, Any]:
    """Columns of S_sc above C_in, at most MAPS_A_ROW side by side. Returns their numbers by role."""
    columns = min(MAPS_A_ROW, len(labels))
    blocks = -(-len(labels) // columns)
    axes = figure.subplots(2 * blocks, columns, squeeze=False)
    found = {}
    for ax in axes.flat:
        ax.set_visible(False)
    for place, (role, label) in enumerate(labels.items()):
        block, column = divmod(place, columns)
        same, connections = axes[2 * block, column], axes[2 * block + 1, column]
        for ax in (same, connections):
            ax.set_visible(True)
        rounds = curves[role].read(shown[role].number)
        found[role] = shown[role].numbers() | drawing.column(rounds, same, connections, colour=lines[role].colour)
        same.set_title(f"{label}\n{shown[role].label}", fontsize=drawing.SMALL, loc="center")
        if column == 0:
            drawing.row_labels((same, connections), ("$d_y$ [pixels]", "nodes"))
    figure.suptitle(name, x=0.01, ha="left", weight="bold", fontsize=9)
    return found
