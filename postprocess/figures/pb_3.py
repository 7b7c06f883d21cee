"""P&B Fig. 3: the masks of the most connected nodes are local features.

a: the 30 most connected masks of the best round, a pixel shining in the colours of its connected channels. b: some of
the most connected nodes: mask, masked weights, each node's over the largest, and the 3 validation images that activate
it most.

Choices. All of the first run. The nodes of b were picked by hand in the paper; here they are the 8 whose own S_sc has
the largest share within 3 pixels, of the more connected half of the nodes, the most connected first. Weights and
activations are those of the last checkpoint.
"""

from matplotlib.figure import Figure

from postprocess.activations import most_activating
from postprocess.connectivity import input_connections
from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show
from postprocess.locality import local_nodes

ROLES = {"imp": "inputs/imp_3l1k.in"}
MASKS, COLUMNS, NODES, IMAGES = 30, 6, 8, 3


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show(runs["imp"][:1], options)
    mask = shown.first_mask
    figure = drawing.new_figure(2.6)
    left, right = figure.subplots(1, 2, width_ratios=(6, 9))
    above = panels.masks(left, shown, MASKS, COLUMNS)
    drawing.letter(left, "a", shown.label)

    nodes = local_nodes(mask, NODES, shown.shape)
    images = base.load_images(runs["imp"][0], options)
    top = most_activating(shown.first, images, 0, nodes, IMAGES).rows
    rows = {"mask": drawing.mask_images(mask[:, nodes], shown.shape)}
    rows |= {"weights": panels.masked_weights(shown.first, nodes)}
    rows |= {f"image {k}": panels.image_tiles(images, column) for k, column in enumerate(top.T, 1)}
    panels.labelled_rows(right, rows)
    drawing.letter(right, "b")
    below = {"nodes": nodes, "C_in": input_connections(mask)[nodes], "images": top}
    return figure, shown.numbers() | {"a": above, "b": below}
