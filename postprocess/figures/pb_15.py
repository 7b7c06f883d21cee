"""P&B Fig. 15: nodes of layer 2 gather local features of layer 1.

At u of about 0.3 %, in the middle: the effective masks of the nodes of layer 2 that most inputs reach; below them, the
3 validation images that activate each most; above, for three of them: the masked weights of all nodes of layer 1 that
are connected to them.

Choices. 10 nodes of layer 2; the first three of them, with their nodes of layer 1, the most connected first. All of the
first run. Weights of the last checkpoint, each node's over the largest; activations with the moments of the validation
images, see Fig. 1.
"""

import math

import numpy as np
from matplotlib.figure import Figure

from postprocess.activations import most_activating
from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show
from postprocess.masks import dense_masks, hierarchy, image_plate, layer_masks
from sifting.errors import RunDirectoryError

ROLES = {"imp": "inputs/imp_3l1k.in"}
DENSITY, NODES, TREES, IMAGES = 0.003, 10, 3, 3


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    run = runs["imp"][0]
    shown = show([run], options, DENSITY)
    masks = dense_masks(shown.first)[:2]
    if len(masks) < 2:
        raise RunDirectoryError(f"{run}: has one hidden layer; accepted: two or more")
    effective = layer_masks(masks, "effective")[1]
    nodes = select_nodes(input_connections(effective), count=NODES)
    connections = input_connections(masks[0])
    trees = {int(node): hierarchy(masks, int(node))[0] for node in nodes[:TREES]}
    most = max(map(len, trees.values()))
    columns = max(3, math.isqrt(most))

    heights = (0.3 + drawing.WIDTH / TREES / columns * -(-most // columns), 3.3)  # inches
    figure = drawing.new_figure(sum(heights))
    above, below = drawing.sub_figures(figure, heights)
    found = []
    for ax, (node, features) in zip(above.subplots(1, TREES, squeeze=False)[0], trees.items(), strict=False):
        features = features[np.argsort(-connections[features], kind="stable")]
        drawing.plate_panel(ax, image_plate(panels.masked_weights(shown.first, features), columns))
        ax.set_title(f"layer 1, below node {node}", fontsize=drawing.SMALL)
        found.append({"node": node, "features": features})
    images = base.load_images(run, options)
    top = most_activating(shown.first, images, 1, nodes, IMAGES, normalise="batch").rows
    tiles = {"layer 2": drawing.mask_images(effective[:, nodes], shown.shape)}
    ax = below.subplots()
    panels.labelled_rows(ax, tiles | {f"image {k}": panels.image_tiles(images, row) for k, row in enumerate(top.T, 1)})
    ax.set_title(f"{shown.label}; nodes {', '.join(map(str, nodes))}", fontsize=drawing.SMALL)
    numbers = {"nodes": nodes, "inputs": input_connections(effective)[nodes], "images": top, "layer_1": found}
    return figure, shown.numbers() | numbers
