"""P&B Fig. 22: features emerge even where every pixel sees the same, on randomly translated images.

a: best validation accuracy against u. b: S_sc, c: the 200 most connected masks, d: the same, multiplied by their
weights, of the best round (square in a), in the paper at u of about 8 %.

Choices. The map pools the nodes of all runs, masks and weights are of the first, weights of the last checkpoint, each
node's from its minimum to its maximum.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.figures.single import curve_panel, map_panels, shown_rounds
from postprocess.masks import effective_weights, image_plate, weighted_images

ROLES = {"translated": "inputs/pb/translated.in"}
NEEDS_IMAGES = False
MASKS, COLUMNS = 200, 20


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    curve, place, rounds = shown_rounds(runs["translated"], options)
    mask = rounds[0].masks[0].W
    plate_height = 0.4 + drawing.WIDTH / COLUMNS * np.ceil(min(MASKS, mask.shape[1]) / COLUMNS)  # inches
    figure = drawing.new_figure(2.4 + 2 * plate_height)
    above, middle, below = drawing.sub_figures(figure, heights=(2.4, plate_height, plate_height))
    accuracy, same = above.subplots(1, 2)
    found = {"a": curve_panel(accuracy, curve, place.number)}
    drawing.letter(accuracy, "a")
    found["b"] = map_panels({"S_sc": same}, rounds)
    drawing.corner_letter(same, "b")
    plate, weighted = middle.subplots(), below.subplots()
    found["c"] = drawing.most_connected_plate(plate, mask, MASKS, COLUMNS)
    drawing.letter(plate, "c", place.label)
    nodes = found["c"]["nodes"]
    weights = effective_weights([rounds[0].checkpoints[-1].parameters[0].W], [mask])[:, nodes]
    drawing.plate_panel(weighted, image_plate(weighted_images(weights), COLUMNS))
    drawing.letter(weighted, "d", "masked weights")
    return figure, place.numbers() | found
