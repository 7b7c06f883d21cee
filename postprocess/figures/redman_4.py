"""Redman Fig. 4: IMP increases kurtosis and localisation more than oneshot and random pruning.

A: mean RF width, B: mean kurtosis of the preactivations per class, where each round starts, as functions of sparsity,
for IMP (black), oneshot (blue) and random pruning (red). Lines are means and shades go from minimum to maximum of the
networks (three in the paper).

Choices. Sparsity is counted, over all prunable layers; its axis is logarithmic in 1 - s. A: over all nodes with an RF
width, but those whose map is so flat that the width lies at its bound (postprocess.receptive_field): a few of them
would move the mean by pixels. B: for every node over at most 100 training images of a class, then the mean over nodes,
then over classes; dashed: 3, of a Gaussian.
"""

from operator import attrgetter, itemgetter

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing, redman

ROLES = {
    "imp": "inputs/redman/imp.in",
    "oneshot": "inputs/redman/oneshot.in",
    "random": "inputs/redman/random.in",
}
SEEDS = 3


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(2.8)
    width_axes, kurtosis_axes = figure.subplots(1, 2)
    numbers: base.Numbers = {"A": {}, "B": {}}
    for role, one in redman.show(runs, options).items():
        rounds, u = one.seeds.rounds, one.seeds.u
        widths, kurtosis = redman.widths(one, options), redman.analysed(one, "kurtosis", options)
        for letter, ax, found, value in (
            ("A", width_axes, widths, attrgetter("mean_converged")),
            ("B", kurtosis_axes, kurtosis, itemgetter("mean_within_class")),
        ):
            drawn = redman.range_curve(ax, 100 * u, redman.by_round(found, value, rounds), one.line, one.name)
            numbers[letter][role] = {"round": np.array(rounds), "s": 1 - u} | drawn
        numbers["A"][role] |= {
            "with_unconverged": redman.by_round(widths, attrgetter("mean"), rounds),
            "converged": redman.by_round(widths, lambda width: width.fitted - width.unconverged, rounds),
            "nodes": redman.by_round(widths, lambda width: width.fitted + width.missing, rounds),
        }
    for letter, ax, ylabel in (
        ("A", width_axes, "mean RF width [pixels]"),
        ("B", kurtosis_axes, "mean kurtosis within a class"),
    ):
        redman.sparsity_axis(ax)
        ax.set_ylabel(ylabel)
        drawing.letter(ax, letter)
    kurtosis_axes.axhline(3, color=drawing.GREY, linestyle="--", linewidth=0.8, zorder=0)
    width_axes.legend(fontsize=drawing.SMALL)
    return figure, numbers
