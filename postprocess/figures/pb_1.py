"""P&B Fig. 1: pruning improves the accuracy, and leaves a few nodes that keep many connections, and matter.

a: best validation accuracy against u, mean and s.d. over the runs, three u circled. b: histograms of C_in at these u,
4, 1 and 0.3 % (rounds 9, 13, 16 of the paper), triangles at n_0 u. c: accuracy without the most or the least connected
nodes, over that of the full network.

Choices. A run that ends earlier shows the round nearest to each u, and its own u. n_0 u is the mean of C_in, with the u
of layer 1. The histograms pool the nodes of all runs. c is "the final network" in the text: here the best round, or
--round, of the first run, at its last checkpoint, evaluated with the moments of the validation images in place of the
stored ones, which late rounds can spoil (docs/fidelity.md); 17 sizes.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.connectivity import connection_histogram, input_connections
from postprocess.evaluation import removal_curve, removal_order
from postprocess.figures import base, drawing
from postprocess.seeds import read_image_seeds

ROLES = {"imp": "inputs/imp_3l1k.in"}
NEEDS_IMAGES = True
SEEDS = 4
DENSITIES = (0.04, 0.01, 0.003)
SIZES = 17
NORMALISE = "batch"
_COLOURS = (drawing.BLUE, drawing.ORANGE, drawing.GREEN)


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    group = runs["imp"]
    curve = read_image_seeds(group)
    shown = base.shown_rounds(curve, DENSITIES)
    figure = drawing.new_figure(2.5)
    accuracy, histogram, removal = figure.subplots(1, 3)

    drawing.curve_with_best(accuracy, curve, curve.mean, curve.sd, drawing.LINES[0], "IMP")
    drawing.density_axis(accuracy)
    drawing.letter(accuracy, "a")
    histograms = []
    for place, colour in zip(shown, _COLOURS, strict=False):
        at = curve.rounds.index(place.number)
        accuracy.plot(
            100 * place.u, 100 * curve.mean[at], "o", markersize=10, markerfacecolor="none", markeredgecolor=colour
        )
        connections = input_connections(curve.mask(place.number))
        edges, nodes = connection_histogram(connections)
        histogram.stairs(nodes, edges, color=colour, linewidth=1.2, label=place.label)
        histogram.plot(
            connections.mean(), 0.04, "^", color=colour, markersize=6, transform=histogram.get_xaxis_transform()
        )
        histograms.append(place.numbers() | {"edges": edges, "nodes": nodes, "n0_u": connections.mean()})
    drawing.count_axis(histogram, max(np.max(one["nodes"]) for one in histograms))
    histogram.set_ylim(0.5, 40 * histogram.get_ylim()[1] / 3)  # room for the legend
    histogram.legend(fontsize=7, loc="upper right", handlelength=1)
    histogram.set(xlabel="connections of a node, $C_{in}$", ylabel="nodes")
    drawing.letter(histogram, "b")

    place = base.shown_round(curve, options)
    result = group[0].read_round(place.number)
    connections = input_connections(result.masks[0].W)
    sizes = np.unique(np.linspace(0, len(connections), SIZES).astype(int))
    images = base.load_images(group[0], options)
    found: base.Numbers = {"normalise": NORMALISE, "sizes": sizes} | place.numbers()
    for order, line, label in zip(
        ("most", "least"), drawing.LINES, ("most connected first", "least connected first"), strict=False
    ):
        one = removal_curve(result, images, removal_order(connections, order), sizes, normalise=NORMALISE)
        removal.plot(sizes, one.relative, color=line.colour, marker=line.marker, markersize=3, label=label)
        found[order] = {"top1": one.top1, "relative": one.relative}
    removal.set(xlabel="nodes removed", ylabel="relative accuracy", ylim=(0, None))
    removal.legend(fontsize=7)
    drawing.letter(removal, "c", place.label)
    return figure, {"a": curve.numbers(), "b": histograms, "c": found}
