"""P&B Fig. 20: the preferred directions turn with the images.

a: S_sc and S_dc, b: the 48 most connected masks, of the best round on images that are turned by 20 degrees.

Choice. Maps pool the nodes of all runs, masks are of the first.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.figures.single import map_panels, shown_rounds

ROLES = {"rotated": "inputs/pb/rotated.in"}
NEEDS_IMAGES = False
MASKS, COLUMNS = 48, 8


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    _, place, rounds = shown_rounds(runs["rotated"], options)
    figure = drawing.new_figure(3.9)
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 3.2))
    same, different = (figure.add_subplot(grid[row, 0]) for row in range(2))
    plate = figure.add_subplot(grid[:, 1])
    found = {"a": map_panels({"S_sc": same, "S_dc": different}, rounds)}
    drawing.corner_letter(same, "a")
    found["b"] = drawing.most_connected_plate(plate, rounds[0].masks[0].W, MASKS, COLUMNS)
    drawing.letter(plate, "b", place.label)
    return figure, place.numbers() | found
