"""P&B Fig. 19: the fewer the data, the smaller the gain, and the less local the masks.

a: gain in best validation accuracy over the dense network, on parts of the training set; dashed: the u of c and d.
b: the largest gain against the part. c: C_in with the binomial of random pruning dashed, d: S_sc, at u of about 0.5 %.

Choices. b is the mean over the runs of each one's largest gain, with its s.d. c and d pool the nodes of all runs.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.figures.tasks import gain_panel, read_tasks, task_columns
from postprocess.seeds import mean_and_sd

ROLES = {"imp": "inputs/imp_3l1k.in"} | {
    f"fraction_{part}": f"inputs/pb/fraction_{part}.in" for part in ("50", "30", "20", "10", "05", "02")
}
NEEDS_IMAGES = False
SEEDS = 4
SMALL_SEEDS = 1
PARTS = {role: 100 if role == "imp" else int(role.split("_")[1]) for role in ROLES}
LABELS = {role: f"{part} %" for role, part in PARTS.items()}
DENSITY = 0.005


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    curves, shown, lines = read_tasks(runs, options, ROLES, DENSITY)
    figure = drawing.new_figure(5.6)
    above, below = drawing.sub_figures(figure, heights=(2.6, 3.0))
    gain, largest = above.subplots(1, 2, width_ratios=(1.4, 1))
    found = {"a": gain_panel(gain, curves, LABELS, lines, DENSITY)}
    drawing.letter(gain, "a")
    mean, sd = mean_and_sd(_stacked([np.nanmax(curve.gain, axis=0) for curve in curves.values()]))
    parts = list(PARTS.values())
    largest.errorbar(parts, 100 * mean, yerr=100 * np.nan_to_num(sd), color=drawing.LINES[0].colour, marker="o")
    largest.set(xlabel="part of the training set [%]", ylabel="largest gain [%]")
    drawing.letter(largest, "b")
    found["b"] = {"percent": parts, "largest_gain": mean, "sd": sd}
    colours = {role: line.colour for role, line in lines.items()}
    columns = task_columns(below, curves, shown, LABELS, {"C_in": "c", "S_sc": "d"}, colours)
    return figure, found | {"cd": columns}


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of different lengths, filled with nan."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table
