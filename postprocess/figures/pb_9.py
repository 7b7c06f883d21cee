"""P&B Fig. 9: a single node that is pruned at random is not local, beyond what the finite image makes of it.

S_sc of single nodes whose connections were drawn at random, at several u down from 100 %, the number of connections in
parentheses.

Choices. No run is needed: 32 x 32 pixels in 3 colours, u = 100, 30, 10, 3, 1 and 0.3 %, exactly round(u n_0)
connections drawn without replacement, one node each, seed 0.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.locality import displacement_maps

ROLES: dict[str, str] = {}
DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
SIZE, SEED = 32, 0


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(5.0)
    axes = figure.subplots(2, 3)
    found = []
    for ax, u in zip(axes.flat, DENSITIES, strict=True):
        mask = random_mask(u)
        title = f"{drawing.percent(u)} % ({mask.sum()})"
        drawn = drawing.map_panel(ax, displacement_maps(mask).same, title, labels=True)
        found.append({"u": u, "connections": mask.sum(), "S_sc": drawn})
        ax.label_outer()
    return figure, {"maps": found}


def random_mask(u: float) -> np.ndarray:
    """uint8 [3*SIZE*SIZE, 1] with round(u n_0) ones."""
    inputs = 3 * SIZE**2
    mask = np.zeros((inputs, 1), np.uint8)
    mask[np.random.default_rng(SEED).permutation(inputs)[: round(u * inputs)]] = 1
    return mask
