"""P&B Fig. 14: SNIP finds local masks at initialisation, SynFlow does not.

a: S_sc, b: C_in of the first layer, with the binomial of random pruning dashed, for SNIP at a sparsity of 90 and 99 %
and SynFlow at 90 %.

Choice. Masks are those of the level nearest to each sparsity, over all prunable layers; the u of layer 1, which gives
the binomial, is another one, as the methods choose network-wide.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.seeds import read_seeds

ROLES = {"snip": "inputs/pb/snip.in", "synflow": "inputs/pb/synflow.in"}
NEEDS_IMAGES = False
COLUMNS = (("snip", "SNIP", 0.1), ("snip", "SNIP", 0.01), ("synflow", "SynFlow", 0.1))


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    curves = {role: read_seeds(runs[role]) for role in ROLES}
    figure = drawing.new_figure(4.4)
    axes = figure.subplots(2, len(COLUMNS), height_ratios=(1.3, 1))
    found = []
    for (role, label, u), (same, connections), colour in zip(
        COLUMNS, axes.T, (drawing.BLUE, drawing.BLUE, drawing.ORANGE), strict=True
    ):
        place = base.shown_round(curves[role], options, u)
        own = drawing.column(curves[role].read(place.number), same, connections, colour=colour)
        same.set_title(f"{label}, {place.title}\nlayer 1: {base.percent(own['layer_u'])} %", fontsize=drawing.SMALL)
        found.append({"role": role} | place.numbers() | own)
    drawing.row_labels(axes[:, 0], ("$d_y$ [pixels]", "nodes"))
    drawing.corner_letter(axes[0, 0], "a")
    drawing.corner_letter(axes[1, 0], "b")
    return figure, {"columns": found}
