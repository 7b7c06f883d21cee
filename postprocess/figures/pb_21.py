"""P&B Fig. 21: local masks emerge on images of 64 x 64 pixels, too.

a: best validation accuracy against u. b: S_sc and S_dc, c: the 90 most connected masks, of the best round (square in
a), in the paper at u of about 0.3 %.

Choice. Maps pool the nodes of all runs, masks are of the first.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show

ROLES = {"imagenet64": "inputs/pb/imagenet64.in"}
MASKS, COLUMNS = 90, 10


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show(runs["imagenet64"], options)
    figure = drawing.new_figure(9.2)
    above, below = drawing.sub_figures(figure, heights=(2.5, 6.7))
    accuracy, *maps = above.subplots(1, 3, width_ratios=(1.2, 1, 1))
    found = shown.numbers() | {"a": panels.accuracy(accuracy, shown)}
    drawing.letter(accuracy, "a")
    found["b"] = panels.both_maps(maps, shown, "b")
    plate = below.subplots()
    found["c"] = panels.masks(plate, shown, MASKS, COLUMNS)
    drawing.letter(plate, "c", shown.label)
    return figure, found
