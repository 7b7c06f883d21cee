"""P&B Fig. 20: the preferred directions turn with the images.

a: S_sc and S_dc, b: the 48 most connected masks, of the best round on images that are turned by 20 degrees.

Choice. Maps pool the nodes of all runs, masks are of the first.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show

ROLES = {"rotated": "inputs/pb/rotated.in"}
MASKS, COLUMNS = 48, 8


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show(runs["rotated"], options)
    figure = drawing.new_figure(3.9)
    left, right = drawing.sub_figures(figure, widths=(1, 3.2))
    found = shown.numbers() | {"a": panels.both_maps(left.subplots(2, 1), shown, "a")}
    plate = right.subplots()
    found["b"] = panels.masks(plate, shown, MASKS, COLUMNS)
    drawing.letter(plate, "b", shown.label)
    return figure, found
