"""P&B Fig. 15: nodes of layer 2 gather local features of layer 1.

At u of about 0.3 %, in the middle: the effective masks of the nodes of layer 2 that most inputs reach; below them, the
3 validation images that activate each most; above, for three of them: the masked weights of the nodes of layer 1 that
are connected to them.

Choices. 10 nodes of layer 2; the first three of them, with at most 12 nodes of layer 1 each, the most connected ones.
All of the first run. Weights of the last checkpoint, each node's from its minimum to its maximum; activations with the
moments of the validation images, see Fig. 1.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.activations import most_activating
from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import base, drawing
from postprocess.masks import dense_masks, effective_weights, hierarchy, image_plate, layer_masks, weighted_images
from postprocess.seeds import read_image_seeds
from sifting.errors import RunDirectoryError

ROLES = {"imp": "inputs/imp_3l1k.in"}
NEEDS_IMAGES = True
DENSITY, NODES, TREES, FEATURES, IMAGES = 0.003, 10, 3, 12, 3


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    run = runs["imp"][0]
    curve = read_image_seeds([run])
    place = base.shown_round(curve, options, DENSITY)
    result = run.read_round(place.number)
    masks = dense_masks(result)[:2]
    if len(masks) < 2:
        raise RunDirectoryError(f"{run}: has one hidden layer; accepted: two or more")
    effective = layer_masks(masks, "effective")[1]
    nodes = select_nodes(input_connections(effective), count=NODES)
    weights = effective_weights([result.checkpoints[-1].parameters[0].W], masks[:1])
    connections = input_connections(masks[0])

    figure = drawing.new_figure(5.2)
    above, below = drawing.sub_figures(figure, heights=(2, 3.3))
    trees = []
    for ax, node in zip(above.subplots(1, TREES, squeeze=False)[0], nodes, strict=False):
        features = hierarchy(masks, int(node))[0]
        features = features[np.argsort(-connections[features], kind="stable")]
        drawing.plate_panel(ax, image_plate(weighted_images(weights[:, features[:FEATURES]]), columns=4))
        ax.set_title(f"layer 1, below node {node}", fontsize=drawing.SMALL)
        trees.append({"node": node, "features": features})
    image_set = base.load_images(run, options)
    rows = most_activating(result, image_set, 1, nodes, IMAGES, normalise="batch").rows
    images = drawing.image_tiles(image_set, rows.T.ravel())
    plate = image_plate(np.concatenate([drawing.mask_images(effective[:, nodes]), images]), columns=len(nodes))
    ax = below.subplots()
    drawing.plate_panel(ax, plate)
    drawing.label_rows(ax, ["layer 2", *(f"image {k}" for k in range(1, IMAGES + 1))], len(plate))
    ax.set_title(f"{place.label}; nodes {', '.join(map(str, nodes))}", fontsize=drawing.SMALL)
    found = {"nodes": nodes, "inputs": input_connections(effective)[nodes], "images": rows, "layer_1": trees}
    return figure, place.numbers() | found
