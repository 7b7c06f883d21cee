"""P&B Fig. 3: the masks of the most connected nodes are local features.

a: the 30 most connected masks of the best round, a pixel shining in the colours of its connected channels. b: some of
the 5 % most connected nodes: mask, masked weights, each node's from its minimum to its maximum, and the 3 validation
images that activate it most.

Choices. All of the first run. The nodes of b were picked by hand in the paper; here they are the 8 whose own S_sc has
the largest share within 3 pixels, of the 5 % most connected (or of the 8 most connected, where that is more), the most
connected first. Weights and activations are those of the last checkpoint.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.activations import most_activating
from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import base, drawing
from postprocess.locality import local_nodes
from postprocess.masks import effective_weights, image_plate, weighted_images
from postprocess.seeds import read_image_seeds
from sifting.datasets.image_set import ImageSet
from sifting.network.rounds import Round

ROLES = {"imp": "inputs/imp_3l1k.in"}
NEEDS_IMAGES = True
MASKS, NODES, IMAGES, TOP = 30, 8, 3, 0.05
ROWS = ("mask", "weights", *(f"image {k}" for k in range(1, IMAGES + 1)))


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    run = runs["imp"][0]
    curve = read_image_seeds([run])
    place = base.shown_round(curve, options)
    result = run.read_round(place.number)
    mask = result.masks[0].W
    figure = drawing.new_figure(2.6)
    left, right = figure.subplots(1, 2, width_ratios=(6, 9))
    nodes = select_nodes(input_connections(mask), count=MASKS)
    drawing.plate_panel(left, image_plate(drawing.mask_images(mask[:, nodes]), columns=6))
    drawing.letter(left, "a", place.label)

    chosen = local_nodes(mask, NODES, TOP)
    tiles, rows = node_columns(result, base.load_images(run, options), chosen)
    plate = image_plate(tiles, columns=len(chosen))
    drawing.plate_panel(right, plate)
    drawing.label_rows(right, ROWS, len(plate))
    drawing.letter(right, "b")
    connections = input_connections(mask)
    return figure, place.numbers() | {
        "a": {"nodes": nodes, "C_in": connections[nodes]},
        "b": {"nodes": chosen, "C_in": connections[chosen], "images": rows},
    }


def node_columns(result: Round, images: ImageSet, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks, weights and images of nodes of layer 1, [rows * nodes, S, S, 3] in [0, 1], row by row.

    Also which validation images they are, int64 [nodes, IMAGES].
    """
    mask = result.masks[0].W
    weights = effective_weights([result.checkpoints[-1].parameters[0].W], [mask])
    rows = most_activating(result, images, 0, nodes, IMAGES).rows
    shown = drawing.image_tiles(images, rows.T.ravel())
    return np.concatenate([drawing.mask_images(mask[:, nodes]), weighted_images(weights[:, nodes]), shown]), rows
