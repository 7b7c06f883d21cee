"""P&B Fig. 13: with less data, or a task without structure, fewer of the masks are features.

The 30 most connected masks of the first layer: on 50 % and 30 % of the data, and for ten semantic and ten random
classes.

Choice. The text names no u; here the level of the other such figures (Fig. 10 and 11), the round nearest to 1 %, of the
first run.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show_roles

ROLES = {
    "fraction_50": "inputs/pb/fraction_50.in",
    "fraction_30": "inputs/pb/fraction_30.in",
    "semantic": "inputs/pb/classes_semantic.in",
    "random": "inputs/pb/classes_random.in",
}
NAMES = {
    "fraction_50": "50 % of the data",
    "fraction_30": "30 % of the data",
    "semantic": "10 semantic classes",
    "random": "10 random classes",
}
DENSITY, MASKS, COLUMNS = 0.01, 30, 6


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(6.3)
    found = {}
    shown = show_roles({role: runs[role][:1] for role in ROLES}, options, NAMES, DENSITY)
    for ax, (role, one) in zip(figure.subplots(2, 2).flat, shown.items(), strict=True):
        found[role] = one.numbers() | panels.masks(ax, one, MASKS, COLUMNS)
        ax.set_title(f"{one.name}, {one.label}", fontsize=drawing.SMALL)
    return figure, found
