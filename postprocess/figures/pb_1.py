"""P&B Fig. 1: pruning improves the accuracy, and leaves a few nodes that keep many connections, and matter.

a: best validation accuracy against u, mean and s.d. over the runs, three u circled. b: histograms of C_in at these u,
4, 1 and 0.3 % (rounds 9, 13, 16 of the paper), triangles at n_0 u. c: accuracy without the most or the least connected
nodes, over that of the full network.

Choices. a ends where the first run does. A run that ends earlier shows the round nearest to each u, and its own u. n_0
u is the mean of C_in, with the u of layer 1. The histograms pool the nodes of all runs. c is "the final network" in the
text: here the best round, or --round, of the first run, at its last checkpoint, evaluated with the moments of the
validation images in place of the stored ones, which late rounds can spoil (docs/fidelity.md); 17 sizes.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.connectivity import connection_histogram, input_connections
from postprocess.evaluation import removal_curve, removal_order
from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import at_densities, show

ROLES = {"imp": "inputs/imp_3l1k.in"}
SEEDS = 4
DENSITIES = (0.04, 0.01, 0.003)
SIZES = 17
NORMALISE = "batch"
_COLOURS = (drawing.BLUE, drawing.ORANGE, drawing.GREEN)


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    best = show(runs["imp"], options)
    figure = drawing.new_figure(2.5)
    accuracy, histogram, removal = figure.subplots(1, 3)

    found: base.Numbers = {"a": panels.accuracy(accuracy, best, square=False), "b": []}
    drawing.letter(accuracy, "a")
    for shown, colour in zip(at_densities(best, DENSITIES), _COLOURS, strict=False):
        panels.mark(accuracy, shown, "o", colour, size=10)
        edges, nodes = connection_histogram(shown.connections)
        mean = shown.connections.mean()
        histogram.stairs(nodes, edges, color=colour, linewidth=1.2, label=shown.label)
        histogram.plot(mean, 0.04, "^", color=colour, markersize=6, transform=histogram.get_xaxis_transform())
        found["b"].append(shown.numbers() | {"edges": edges, "nodes": nodes, "n0_u": mean})
    highest = max(np.max(one["nodes"]) for one in found["b"])
    drawing.count_axis(histogram, 13 * highest)  # room for the legend
    histogram.legend(fontsize=7, loc="upper right", handlelength=1)
    histogram.set(xlabel="connections of a node, $C_{in}$", ylabel="nodes")
    drawing.letter(histogram, "b")

    incoming = input_connections(best.first_mask)
    sizes = np.unique(np.linspace(0, len(incoming), SIZES).astype(int))
    images = base.load_images(runs["imp"][0], options)
    found["c"] = best.numbers() | {"normalise": NORMALISE, "sizes": sizes}
    for order, line in zip(("most", "least"), drawing.LINES, strict=False):
        curve = removal_curve(best.first, images, removal_order(incoming, order), sizes, normalise=NORMALISE)
        removal.plot(sizes, curve.relative, **line.look, markersize=3, label=f"{order} connected first")
        found["c"][order] = {"top1": curve.top1, "relative": curve.relative}
    removal.set(xlabel="nodes removed", ylabel="relative accuracy", ylim=(0, 1.35))
    removal.legend(fontsize=7, loc="upper right")
    drawing.letter(removal, "c", best.label)
    return figure, found
