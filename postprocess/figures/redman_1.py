"""Redman Fig. 1: IMP discovers more localised receptive fields than oneshot pruning.

A, B: masks of the nodes with the most connections, from IMP and from oneshot pruning at s = 97.2 %, after ten prunings
of 30 %. Pruned weights are black, the others shine in the colour of their input channel.

Choices. 30 nodes of the first run of either, in the order of their connections; the caption does not say how many. A
run without the paper's sparsity shows the nearest.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, redman

ROLES = {"imp": "inputs/redman/imp.in", "oneshot": "inputs/redman/oneshot.in"}


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(3.3)
    numbers = {}
    for (role, shown), ax, letter in zip(redman.show(runs, options).items(), figure.subplots(1, 2), "AB", strict=True):
        numbers[letter] = {"role": role} | redman.masks_panel(ax, shown, letter)
    return figure, numbers
