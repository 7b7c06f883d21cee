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

from postprocess.figures import base, drawing, redman
from postprocess.kurtosis import inverse_participation_ratio
from postprocess.masks import image_plate

ROLES = {"imp": "inputs/redman/imp.in"}
NEEDS_IMAGES = True
COLUMNS = 8


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    (arrays,) = redman.analysed(runs["imp"][:1], "components", options)
    rows = -(-len(arrays["pca_weights"]) // COLUMNS)
    figure = drawing.new_figure(0.3 + 0.45 * rows)
    numbers = {}
    for ax, letter, name in zip(figure.subplots(1, 2), "AB", ("ica", "pca"), strict=True):
        weights = arrays[f"{name}_weights"]
        drawing.plate_panel(ax, image_plate(component_images(weights), COLUMNS))
        ratio = inverse_participation_ratio(weights.reshape(len(weights), -1).T)
        kurtosis = arrays[f"{name}_kurtosis"]
        converged = "" if arrays[f"{name}_converged"] else ", not converged"
        medians = f"medians: kurtosis {np.median(kurtosis):.2f}, IPR {np.median(ratio):.4f}"
        drawing.letter(ax, letter, f"{name.upper()}{converged}, {medians}")
        numbers[letter] = {
            "components": name,
            "kurtosis": kurtosis,
            "variance": arrays[f"{name}_variance"],
            "inverse_participation_ratio": ratio,
            "converged": arrays[f"{name}_converged"],
            "iterations": arrays[f"{name}_iterations"],
        }
    return figure, numbers


def component_images(weights: np.ndarray) -> np.ndarray:
    """Components as images: 0 is grey, the largest weight of either sign 0 or 1.

    Args:
        weights: float64 [count, channels, S, S].

    Returns:
        float64 [count, S, S, channels] in [0, 1].
    """
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    return np.moveaxis(0.5 + weights / (2 * largest), 1, -1)
