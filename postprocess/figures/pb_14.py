"""P&B Fig. 14: SNIP finds local masks at initialisation, SynFlow does not.

a: S_sc, b: C_in of the first layer, with the binomial of random pruning dashed, for SNIP at a sparsity of 90 and 99 %
and SynFlow at 90 %.

Choice. Masks are those of the level nearest to each sparsity, over all prunable layers; the u of layer 1, which gives
the binomial, is another one, as the methods choose network-wide.
"""

from dataclasses import replace

from matplotlib.figure import Figure

from postprocess.figures import base
from postprocess.figures.drawing import LINES, new_figure, percent
from postprocess.figures.panels import columns
from postprocess.figures.shown import show

ROLES = {"snip": "inputs/pb/snip.in", "synflow": "inputs/pb/synflow.in"}
COLUMNS = (("snip", "SNIP", 0.1), ("snip", "SNIP", 0.01), ("synflow", "SynFlow", 0.1))


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = {}
    for role, method, u in COLUMNS:
        one = show(runs[role], options, u)
        name = f"{method}, layer 1: {percent(one.layer_u)} %"
        shown[f"{role}_{u:g}"] = replace(one, name=name, line=LINES[role == "synflow"])
    figure = new_figure(4.4)
    return figure, columns(figure, shown, {"S_sc": "a", "C_in": "b"})
