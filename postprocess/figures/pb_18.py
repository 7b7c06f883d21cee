"""P&B Fig. 18: from semantic to random classes, gain, locality and features disappear step by step.

a: gain in best validation accuracy over the dense network for four tasks of ten classes. b: best validation accuracy of
the dense network (empty dots) and of the best round (full dots). c: S_sc, d: C_in with the binomial of random pruning
dashed, e: most connected masks, at u of about 0.5 %.

Choice. c and d pool the nodes of all runs, e shows 12 masks of the first.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.figures.tasks import gain_panel, read_tasks, task_columns

ROLES = {
    "semantic": "inputs/pb/classes_semantic.in",
    "5semantic5random": "inputs/pb/classes_5semantic5random.in",
    "partial_semantic": "inputs/pb/classes_partial_semantic.in",
    "random": "inputs/pb/classes_random.in",
}
NEEDS_IMAGES = False
SEEDS = 4
SMALL_SEEDS = 1
LABELS = {
    "semantic": "semantic",
    "5semantic5random": "5 semantic / 5 random",
    "partial_semantic": "partial semantic",
    "random": "random",
}
DENSITY = 0.005


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    curves, shown, lines = read_tasks(runs, options, ROLES, DENSITY)
    figure = drawing.new_figure(8.6)
    above, below = drawing.sub_figures(figure, heights=(2.6, 6))
    gain, best = above.subplots(1, 2)
    found = {"a": gain_panel(gain, curves, LABELS, lines, DENSITY), "b": {}}
    drawing.letter(gain, "a")
    for place, (role, curve) in enumerate(curves.items()):
        dense, pruned = (float(curve.mean[curve.rounds.index(n)]) for n in (curve.common[0], curve.best))
        style = {"color": lines[role].colour, "markersize": 7}
        best.plot([place] * 2, [100 * dense, 100 * pruned], color=lines[role].colour, linewidth=0.8)
        best.plot(place, 100 * dense, "o", markerfacecolor="white", **style)
        best.plot(place, 100 * pruned, "o", **style)
        found["b"][role] = {"dense": dense, "best": pruned, "round": curve.best}
    names = [label.replace(" / ", "\n").replace("partial ", "partial\n") for label in LABELS.values()]
    best.set_xticks(range(len(LABELS)), names, fontsize=7)
    best.set(ylabel="best validation accuracy [%]", xlim=(-0.5, len(LABELS) - 0.5))
    drawing.letter(best, "b")
    colours = {role: line.colour for role, line in lines.items()}
    columns = task_columns(below, curves, shown, LABELS, {"S_sc": "c", "C_in": "d", "masks": "e"}, colours)
    return figure, found | {"cde": columns}
