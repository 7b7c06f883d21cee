"""P&B Fig. 12: masks of the most connected nodes of all layers, at two densities.

At u of about 1 %: 120 masks of layer 1, 30 effective masks of layer 2. At u of about 0.3 %: 60 masks of layer 1, and
effective masks of layers 2 and 3.

Choices. The effective mask of a deeper node has the inputs from which an unpruned path leads to it; most connected are
there the nodes that most inputs reach. 30 of layers 2 and 3 at 0.3 %, too. All of the first run.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.masks import dense_masks, layer_masks
from postprocess.seeds import read_image_seeds

ROLES = {"imp": "inputs/imp_3l1k.in"}
NEEDS_IMAGES = False
# u, and for each plate layer, nodes and columns.
BLOCKS = ((0.01, ((1, 120, 20), (2, 30, 20))), (0.003, ((1, 60, 20), (2, 30, 20), (3, 30, 20))))


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    run = runs["imp"][0]
    curve = read_image_seeds([run])
    hidden = len(curve.specs) - 1
    plates = [
        (base.shown_round(curve, options, u), plate) for u, block in BLOCKS for plate in block if plate[0] <= hidden
    ]
    heights = [-(-count // columns) + 0.9 for _, (_, count, columns) in plates]
    figure = drawing.new_figure(1.08 * drawing.WIDTH / 20 * sum(heights))
    found = []
    for ax, (place, (layer, count, columns)) in zip(
        figure.subplots(len(plates), 1, height_ratios=heights), plates, strict=True
    ):
        mask = layer_masks(dense_masks(run.read_round(place.number)), "effective")[layer - 1]
        own = drawing.most_connected_plate(ax, mask, count, columns)
        kind = "" if layer == 1 else ", effective masks"
        ax.set_title(f"{place.label}, layer {layer}{kind}", fontsize=drawing.SMALL)
        found.append({"layer": layer} | place.numbers() | own)
    return figure, {"plates": found}
