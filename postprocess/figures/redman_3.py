"""Redman Fig. 3: IMP does not discover local receptive fields on a Gaussian clone of the images.

A: example images and images of the clone. B: masks after ten prunings on the clone. C: median RF width on images and on
the clone; error bars are minimum and maximum of the networks (three in the paper).

Choices. A: the first training image of each of the first classes, the same classes above and below. B: 30 nodes with
the most connections, of the first run. C: over the rounds; the median over all nodes that have an RF width, which the
text does not settle; dashed: a fully connected node.
"""

from dataclasses import replace
from operator import attrgetter

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing, redman
from postprocess.masks import image_plate, input_images
from postprocess.receptive_field import unlocalised_width
from postprocess.seeds import mean_and_range
from sifting.datasets.image_set import ImageSet

ROLES = {"imp": "inputs/redman/imp.in", "imp_clone": "inputs/redman/imp_clone.in"}
SEEDS = 3
EXAMPLES, EXAMPLE_COLUMNS = 8, 4
NAMES = ("images", "Gaussian clone")


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = redman.show(runs, options)
    figure = drawing.new_figure(2.9)
    left, middle, right = drawing.sub_figures(figure, widths=(1, 1.12, 1.3))
    numbers: base.Numbers = {"A": {}, "C": {}}
    for ax, (role, group), name in zip(left.subplots(2, 1), runs.items(), NAMES, strict=True):
        images = base.load_images(group[0], options)
        rows = example_rows(images)
        drawing.plate_panel(ax, image_plate(input_images(images.images[rows].T / 255, images.shape), EXAMPLE_COLUMNS))
        ax.set_title(name, fontsize=9)
        numbers["A"][role] = {"rows": rows, "labels": images.labels[rows], "source": images.source}
    drawing.letter(left.axes[0], "A", NAMES[0])
    numbers["B"] = redman.masks_panel(middle.subplots(), replace(shown["imp_clone"], name=NAMES[1]), "B")
    ax = right.subplots()
    for (role, one), name in zip(shown.items(), NAMES, strict=True):
        rounds = np.array(one.seeds.rounds)
        medians = redman.by_round(redman.widths(one, options), attrgetter("median"), rounds)
        over = mean_and_range(medians)
        errors = np.maximum((over.mean - over.low, over.high - over.mean), 0)  # rounding
        ax.errorbar(rounds, over.mean, errors, **one.line.look, markersize=3.5, linewidth=1.2, capsize=2, label=name)
        numbers["C"][role] = {"round": rounds, **over._asdict(), "runs": medians}
    without = unlocalised_width(shown["imp"].seeds.image_shape)
    drawing.round_axis(ax, "median RF width [pixels]", without, note_above=True)
    ax.legend(loc="lower left", fontsize=drawing.SMALL)
    drawing.letter(ax, "C")
    return figure, numbers


def example_rows(images: ImageSet) -> np.ndarray:
    """The first training image of each of the first classes that have one, int64."""
    classes, first = np.unique(images.labels, return_index=True)
    return first[np.argsort(classes)][:EXAMPLES]
