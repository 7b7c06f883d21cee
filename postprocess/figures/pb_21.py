"""P&B Fig. 21: local masks emerge on images of 64 x 64 pixels, too.

a: best validation accuracy against u. b: S_sc and S_dc, c: the 90 most connected masks, of the best round (square in
a), in the paper at u of about 0.3 %.

Choice. Maps pool the nodes of all runs, masks are of the first.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.figures.single import curve_panel, map_panels, shown_rounds

ROLES = {"imagenet64": "inputs/pb/imagenet64.in"}
NEEDS_IMAGES = False
MASKS, COLUMNS = 90, 15


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    curve, place, rounds = shown_rounds(runs["imagenet64"], options)
    figure = drawing.new_figure(5.6)
    above, below = drawing.sub_figures(figure, heights=(2.5, 3.1))
    accuracy, same, different = above.subplots(1, 3, width_ratios=(1.2, 1, 1))
    found = {"a": curve_panel(accuracy, curve, place.number)}
    drawing.letter(accuracy, "a")
    found["b"] = map_panels({"S_sc": same, "S_dc": different}, rounds)
    drawing.corner_letter(same, "b")
    plate = below.subplots()
    found["c"] = drawing.most_connected_plate(plate, rounds[0].masks[0].W, MASKS, COLUMNS)
    drawing.letter(plate, "c", place.label)
    return figure, place.numbers() | found
