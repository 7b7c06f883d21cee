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
from postprocess.seeds import read_image_seeds

ROLES = {
    "imp": "inputs/redman/imp.in",
    "oneshot": "inputs/redman/oneshot.in",
    "random": "inputs/redman/random.in",
}
NEEDS_IMAGES = True
SEEDS = 3


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(2.8)
    width_axes, kurtosis_axes = figure.subplots(1, 2)
    numbers: base.Numbers = {"A": {}, "B": {}}
    for role, group in runs.items():
        curve = read_image_seeds(group)
        masks, kurtosis = (redman.analysed(group, part, options) for part in ("masks", "kurtosis"))
        for letter, ax, found, value in (
            ("A", width_axes, masks, lambda arrays: redman.width(arrays).mean_converged),
            ("B", kurtosis_axes, kurtosis, itemgetter("mean_within_class")),
        ):
            values = redman.by_round(found, value, curve.rounds)
            drawn = redman.range_curve(ax, 100 * curve.u, values, redman.LINES[role], redman.NAMES[role])
            numbers[letter][role] = {"round": np.array(curve.rounds), "s": 1 - curve.u} | drawn
        widths = [{n: redman.width(arrays) for n, arrays in run.items()} for run in masks]
        numbers["A"][role] |= {
            "with_unconverged": redman.by_round(widths, attrgetter("mean"), curve.rounds),
            "converged": redman.by_round(widths, lambda width: width.fitted - width.unconverged, curve.rounds),
            "nodes": redman.by_round(widths, lambda width: width.fitted + width.missing, curve.rounds),
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
