"""P&B Fig. 2: inputs that are connected to the same node lie close together.

a: sketch of a displacement d between two inputs that are connected to one node. b: S_sc above S_dc at u = 4, 1 and
0.3 %, colours from 0 to each map's maximum, d = 0 removed from S_sc.

Choices. The maps are sums over the nodes of all runs. A run that ends earlier shows the round nearest to each u; with
--round, that round alone.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import at_densities, show

ROLES = {"imp": "inputs/imp_3l1k.in"}
DENSITIES = (0.04, 0.01, 0.003)


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    named = show(runs["imp"], options)
    shown = at_densities(named, DENSITIES) if options.round is None else [named]
    figure = drawing.new_figure(3.6)
    grid = figure.add_gridspec(2, 1 + len(shown), width_ratios=[1.3] + [1] * len(shown))
    sketch = figure.add_subplot(grid[:, 0])
    draw_sketch(sketch)
    drawing.letter(sketch, "a")
    found = []
    for column, one in enumerate(shown, 1):
        same, different = (figure.add_subplot(grid[row, column]) for row in range(2))
        maps = {"S_sc": panels.same_colour(same, one), "S_dc": panels.different_colours(different, one)}
        same.set_title(one.title, fontsize=9)
        if column == 1:
            drawing.letter(same, "b", one.title)
            same.set_ylabel("$S_{sc}$:  $d_y$")
            different.set_ylabel("$S_{dc}$:  $d_y$")
        different.set_xlabel("$d_x$ [pixels]")
        found.append(one.numbers() | maps)
    return figure, {"b": found}


def draw_sketch(ax: Axes) -> None:
    """An image of 6 x 6 pixels, two of them connected to node j, and the displacement between them."""
    first, second = (1, 4), (4, 2)  # x, y
    for column in range(6):
        for row in range(6):
            connected = (column, row) in (first, second)
            ax.add_patch(
                Rectangle((column, row), 1, 1, facecolor="#F2C9B0" if connected else "white", edgecolor="#BBBBBB")
            )
    centres = [(x + 0.5, y + 0.5) for x, y in (first, second)]
    node = (3, -2.4)
    for (x, y), name in zip(centres, ("$i$", "$i'$"), strict=True):
        ax.plot([x, node[0]], [y, node[1]], color=drawing.GREY, linewidth=1, zorder=3)
        ax.text(x, y + 0.95, name, ha="center", va="center")
    ax.add_patch(Circle(node, 0.55, facecolor="#CFE3F1", edgecolor=drawing.BLUE, zorder=4))
    ax.text(*node, "$j$", ha="center", va="center", zorder=5)
    ax.text(node[0] + 0.9, node[1], "hidden node", va="center", fontsize=drawing.SMALL)
    ax.add_patch(FancyArrowPatch(*centres, arrowstyle="-|>", mutation_scale=10, color=drawing.ORANGE, zorder=4))
    ax.text(3.4, 3.9, "$\\mathbf{d}_{ii'}$", color=drawing.ORANGE)
    ax.text(0, 6.2, "image", va="top", fontsize=drawing.SMALL)
    ax.set(xlim=(-0.2, 6.2), ylim=(7, -3.2), aspect="equal")
    ax.set_axis_off()
