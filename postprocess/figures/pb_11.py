"""P&B Fig. 11: the most connected nodes are local, the least connected ones may not be.

S_sc of nodes with C_in in a range, at u of about 1 %: all data, 30 % of them, ten semantic and ten random classes.
Below each map its range and, in parentheses, the number of nodes. Ranges are 10, 5, 5 and 3 connections wide; the last
one holds all that remain.

Choices. 8 ranges a row, from the smallest C_in, but at least 2, on. Nodes of all runs together. Empty ranges are white.
"""

from matplotlib.figure import Figure

from postprocess.connectivity import connection_bins, input_connections
from postprocess.figures import base, drawing, pb_5
from postprocess.locality import displacement_maps
from postprocess.seeds import read_image_seeds

ROLES = pb_5.ROLES
NEEDS_IMAGES = False
ROWS = {
    "imp": ("all data", 10),
    "fraction_30": ("30 % of data", 5),
    "semantic": ("10 semantic", 5),
    "random": ("10 random", 3),
}
DENSITY, BINS = 0.01, 8


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(4.5)
    axes = figure.subplots(len(ROWS), BINS)
    found = {}
    for row, (role, (label, width)) in zip(axes, ROWS.items(), strict=True):
        curve = read_image_seeds(runs[role])
        place = base.shown_round(curve, options, DENSITY)
        mask = curve.mask(place.number)
        bins = []
        for ax, one in zip(row, connection_bins(input_connections(mask), width, BINS), strict=True):
            own: base.Numbers = {"first": one.first, "last": one.last, "nodes": len(one.nodes)}
            if len(one.nodes):
                own["S_sc"] = drawing.map_panel(ax, displacement_maps(mask[:, one.nodes]).same)
            else:
                ax.set_box_aspect(1)
                ax.spines[:].set_visible(False)
            ax.set(xticks=[], yticks=[])
            last = "" if one.last is None else one.last
            ax.set_xlabel(f"{one.first}\u2013{last} ({len(one.nodes)})", fontsize=7, labelpad=2)
            bins.append(own)
        row[0].set_ylabel(f"{label}\n{place.title}", fontsize=7)
        found[role] = place.numbers() | {"bins": bins}
    return figure, found
