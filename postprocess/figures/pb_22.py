"""P&B Fig. 22: features emerge even where every pixel sees the same, on randomly translated images.

a: best validation accuracy against u. b: S_sc, c: the 200 most connected masks, d: the same, multiplied by their
weights, of the best round (square in a), in the paper at u of about 8 %.

Choices. The map pools the nodes of all runs, masks and weights are of the first, weights of the last checkpoint, each
node's over the largest.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show
from postprocess.masks import image_plate

ROLES = {"translated": "inputs/pb/translated.in"}
MASKS, COLUMNS = 200, 20


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show(runs["translated"], options)
    rows = max(1, min(MASKS, shown.first_mask.shape[1]) // COLUMNS)
    height = 0.4 + drawing.WIDTH / COLUMNS * rows  # inches
    figure = drawing.new_figure(2.4 + 2 * height)
    above, middle, below = drawing.sub_figures(figure, heights=(2.4, height, height))
    accuracy, same = above.subplots(1, 2)
    found = shown.numbers() | {"a": panels.accuracy(accuracy, shown)}
    drawing.letter(accuracy, "a")
    found["b"] = {"S_sc": panels.same_colour(same, shown, "$S_{sc}$", labels=True)}
    drawing.corner_letter(same, "b")
    plate, weighted = middle.subplots(), below.subplots()
    found["c"] = panels.masks(plate, shown, MASKS, COLUMNS)
    drawing.letter(plate, "c", shown.label)
    drawing.plate_panel(weighted, image_plate(panels.masked_weights(shown.first, found["c"]["nodes"]), COLUMNS))
    drawing.letter(weighted, "d", "masked weights")
    return figure, found
