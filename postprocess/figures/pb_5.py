"""P&B Fig. 5: local masks need enough data, and a task that can be learnt.

a: S_sc, b: C_in with the binomial of random pruning dashed, c: most connected masks, for four tasks at u of about 0.5 %
(round 15).

Choices. The text does not name the four tasks: here the main experiment, 30 % of its data, and ten semantic and ten
random classes, those of Fig. 11. a and b pool the nodes of all runs, c shows 12 masks of the first.
"""

from matplotlib.figure import Figure

from postprocess.figures import base
from postprocess.figures.drawing import new_figure
from postprocess.figures.panels import columns
from postprocess.figures.shown import show_roles

ROLES = {
    "imp": "inputs/imp_3l1k.in",
    "fraction_30": "inputs/pb/fraction_30.in",
    "semantic": "inputs/pb/classes_semantic.in",
    "random": "inputs/pb/classes_random.in",
}
NAMES = {"imp": "all data", "fraction_30": "30 % of the data", "semantic": "10 semantic", "random": "10 random"}
DENSITY = 0.005


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = new_figure(6.2)
    shown = show_roles(runs, options, NAMES, DENSITY)
    return figure, columns(figure, shown, {"S_sc": "a", "C_in": "b", "masks": "c"})
