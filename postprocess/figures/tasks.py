"""What P&B Fig. 5, 17, 18 and 19 share: tasks side by side, and what pruning gains over the dense network.

The gain is the best validation accuracy of a round minus that of round 0 of the same run; mean and s.d. over the runs.
Maps and histograms pool the nodes of all runs, masks are of the first.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from postprocess.figures import base, drawing
from postprocess.seeds import Seeds, mean_and_sd, read_image_seeds

_HEIGHTS = {"S_sc": 1.3, "C_in": 1.0, "masks": 1.7}
_LABELS = {"S_sc": "$d_y$ [pixels]", "C_in": "nodes", "masks": ""}


def read_tasks(
    runs: base.Runs, options: base.Options, roles: Iterable[str], density: float
) -> tuple[dict[str, Seeds], dict[str, base.Shown], dict[str, drawing.Line]]:
    """Of each role: its rounds, the one that is shown, and its line."""
    curves = {role: read_image_seeds(runs[role]) for role in roles}
    shown = {role: base.shown_round(curve, options, density) for role, curve in curves.items()}
    return curves, shown, dict(zip(curves, drawing.LINES, strict=False))


def task_columns(
    figure: FigureBase,
    curves: Mapping[str, Seeds],
    shown: Mapping[str, base.Shown],
    labels: Mapping[str, str],
    rows: Mapping[str, str],
    colours: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A column a task.

    Args:
        labels: of the roles.
        rows: which of S_sc, C_in and masks, in this order, and the letter of each.

    Returns:
        For the JSON, by role.
    """
    axes = figure.subplots(len(rows), len(labels), squeeze=False, height_ratios=[_HEIGHTS[row] for row in rows])
    found = {}
    for column, (role, label) in enumerate(labels.items()):
        own = dict(zip(rows, axes[:, column], strict=True))
        rounds = curves[role].read(shown[role].number)
        colour = (colours or {}).get(role, drawing.BLUE)
        found[role] = shown[role].numbers() | drawing.column(
            rounds, own.get("S_sc"), own.get("C_in"), own.get("masks"), colour
        )
        size = drawing.SMALL if len(labels) <= 5 else 6.5
        axes[0, column].set_title(f"{label}\n{shown[role].title}", fontsize=size, loc="center")
        if column and "S_sc" in own:
            own["S_sc"].set_yticklabels([])
    for ax, (row, name) in zip(axes[:, 0], rows.items(), strict=True):
        drawing.row_labels([ax], [_LABELS[row]])
        drawing.corner_letter(ax, name)
    return found


def gain_panel(
    ax: Axes,
    curves: Mapping[str, Seeds],
    labels: Mapping[str, str],
    lines: Mapping[str, drawing.Line],
    dashed: float | None = None,
) -> dict[str, Any]:
    """The gain over u, in percent, with a dashed line at one u; returns the gains for the JSON."""
    found = {}
    for role, label in labels.items():
        gain, sd = mean_and_sd(curves[role].gain)
        drawing.curve_with_best(ax, curves[role], gain, sd, lines[role], label)
        found[role] = {"round": curves[role].rounds, "u": curves[role].u, "gain": gain, "sd": sd}
    drawing.density_axis(ax, "gain in accuracy [%]")
    ax.axhline(0, color=drawing.GREY, linewidth=0.8, zorder=0)
    if dashed is not None:
        ax.axvline(100 * dashed, color="black", linestyle="--", linewidth=0.8, zorder=0)
    ax.legend(fontsize=7)
    return found
