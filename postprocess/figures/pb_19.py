"""P&B Fig. 19: the fewer the data, the smaller the gain, and the less local the masks.

a: gain in best validation accuracy over the dense network, on parts of the training set; dashed: the u of c and d.
b: the largest gain against the part. c: C_in with the binomial of random pruning dashed, d: S_sc, at u of about 0.5 %.

Choices. b is the mean over the runs of each one's largest gain, with its s.d. c and d pool the nodes of all runs.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show_roles
from postprocess.seeds import mean_and_sd

ROLES = {"imp": "inputs/imp_3l1k.in"} | {
    f"fraction_{part}": f"inputs/pb/fraction_{part}.in" for part in ("50", "30", "20", "10", "05", "02")
}
SEEDS = 4
SMALL_SEEDS = 1
PARTS = {role: 100 if role == "imp" else int(role.split("_")[1]) for role in ROLES}
DENSITY = 0.005


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show_roles(runs, options, {role: f"{part} %" for role, part in PARTS.items()}, DENSITY)
    figure = drawing.new_figure(5.6)
    above, below = drawing.sub_figures(figure, heights=(2.6, 3.0))
    gain, largest = above.subplots(1, 2, width_ratios=(1.4, 1))
    found: base.Numbers = {"a": panels.gains(gain, shown)}
    drawing.letter(gain, "a")
    parts = list(PARTS.values())
    mean, sd = np.transpose([mean_and_sd(np.nanmax(one.seeds.gain, axis=0)) for one in shown.values()])
    largest.errorbar(parts, 100 * mean, yerr=100 * np.nan_to_num(sd), **drawing.LINES[0].look)
    largest.set(xlabel="part of the training set [%]", ylabel="largest gain [%]")
    drawing.letter(largest, "b")
    found["b"] = {"percent": parts, "largest_gain": mean, "sd": sd}
    return figure, found | {"cd": panels.columns(below, shown, {"C_in": "c", "S_sc": "d"})}
