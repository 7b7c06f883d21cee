"""P&B Fig. 11: the most connected nodes are local, the least connected ones may not be.

S_sc of nodes with C_in in a range, at u of about 1 %: all data, 30 % of them, ten semantic and ten random classes.
Below each map its range and, in parentheses, the number of nodes. Ranges are 10, 5, 5 and 3 connections wide; the last
one holds all that remain.

Choices. At most 8 ranges a row, from the smallest C_in, but at least 2, on. Ranges without a node are joined to the
next one that has any. Nodes of all runs together.
"""

from matplotlib.figure import Figure

from postprocess.connectivity import connection_bins
from postprocess.figures import base, drawing, pb_5
from postprocess.figures.shown import show_roles
from postprocess.locality import displacement_maps

ROLES = pb_5.ROLES
WIDTHS = {"imp": 10, "fraction_30": 5, "semantic": 5, "random": 3}
DENSITY, BINS = 0.01, 8


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(4.5)
    found = {}
    shown = show_roles(runs, options, pb_5.NAMES, DENSITY)
    for row, (role, one) in zip(figure.subplots(len(ROLES), BINS), shown.items(), strict=True):
        row[0].set_ylabel(f"{one.name}\n{one.title}", fontsize=7)
        bins = connection_bins(one.connections, WIDTHS[role], BINS)
        for ax in row[len(bins) :]:
            ax.set_visible(False)
        found[role] = one.numbers() | {"bins": []}
        for ax, (first, last, nodes) in zip(row, bins, strict=False):
            drawn = drawing.map_panel(ax, displacement_maps(one.mask[:, nodes], one.shape).same)
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(f"{first}\u2013{last} ({len(nodes)})", fontsize=7, labelpad=2)
            found[role]["bins"].append({"first": first, "last": last, "nodes": len(nodes), "S_sc": drawn})
    return figure, found
