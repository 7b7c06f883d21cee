"""Redman Fig. 2: non-Gaussian statistics of images are local.

A: independent components (FastICA) of all validation images of the data set, B: principal ones (appendix A): 64 of
16,000 images or more.

Choices, beyond those of postprocess.components: a component is a row of W in lambda = W . x, drawn with its own scale,
so that grey is 0 and its largest weight, of either sign, reaches black or full colour. ICA is in the order of
|3 - kurtosis|, PCA in that of the variance. The images are those of the run; nothing else of it counts, not
even val_size.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.analyse import stored_part
from postprocess.figures import base, drawing
from postprocess.kurtosis import inverse_participation_ratio
from postprocess.masks import image_plate, weighted_images

ROLES = {"imp": "inputs/redman/imp.in"}
COLUMNS = 8


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    arrays = stored_part(runs["imp"][0], "components", options.assignments, options.report)
    rows = -(-len(arrays["pca_weights"]) // COLUMNS)
    figure = drawing.new_figure(0.3 + 0.45 * rows)
    numbers = {}
    for ax, letter, name in zip(figure.subplots(1, 2), "AB", ("ica", "pca"), strict=True):
        weights = arrays[f"{name}_weights"]
        inputs = weights.reshape(len(weights), -1).T
        drawing.plate_panel(ax, image_plate(weighted_images(inputs, weights.shape[1:]), COLUMNS))
        ax.set_anchor("W")  # room for the title, where there are few
        ratio = inverse_participation_ratio(inputs)
        kurtosis = arrays[f"{name}_kurtosis"]
        converged = "" if arrays[f"{name}_converged"] else ", not converged"
        medians = f"medians: kurtosis {np.median(kurtosis):.2f}, IPR {np.median(ratio):.4f}"
        drawing.letter(ax, letter, f"{name.upper()}{converged}, {medians}")
        names = ("kurtosis", "variance", "converged", "iterations")
        numbers[letter] = {"components": name, "inverse_participation_ratio": ratio}
        numbers[letter] |= {key: arrays[f"{name}_{key}"] for key in names}
    return figure, numbers
