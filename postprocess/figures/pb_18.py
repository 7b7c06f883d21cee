"""P&B Fig. 18: from semantic to random classes, gain, locality and features disappear step by step.

a: gain in best validation accuracy over the dense network for four tasks of ten classes. b: best validation accuracy of
the dense network (empty dots) and of the best round (full dots). c: S_sc, d: C_in with the binomial of random pruning
dashed, e: most connected masks, at u of about 0.5 %.

Choice. c and d pool the nodes of all runs, e shows 12 masks of the first.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show_roles

ROLES = {
    "semantic": "inputs/pb/classes_semantic.in",
    "5semantic5random": "inputs/pb/classes_5semantic5random.in",
    "partial_semantic": "inputs/pb/classes_partial_semantic.in",
    "random": "inputs/pb/classes_random.in",
}
SEEDS = 4
SMALL_SEEDS = 1
NAMES = {
    "semantic": "semantic",
    "5semantic5random": "5 semantic / 5 random",
    "partial_semantic": "partial semantic",
    "random": "random",
}
DENSITY = 0.005


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show_roles(runs, options, NAMES, DENSITY)
    figure = drawing.new_figure(8.6)
    above, below = drawing.sub_figures(figure, heights=(2.6, 6))
    gain, best = above.subplots(1, 2)
    found: base.Numbers = {"a": panels.gains(gain, shown), "b": {}}
    drawing.letter(gain, "a")
    for place, (role, one) in enumerate(shown.items()):
        seeds, colour = one.seeds, one.line.colour
        dense, pruned = (seeds.accuracy_of(number) for number in (seeds.common[0], seeds.best))
        best.plot([place] * 2, [100 * dense, 100 * pruned], color=colour, linewidth=0.8)
        for value, face in ((dense, "white"), (pruned, colour)):
            best.plot(place, 100 * value, "o", color=colour, markerfacecolor=face, markersize=7)
        found["b"][role] = {"dense": dense, "best": pruned, "round": seeds.best}
    names = [name.replace(" / ", "\n").replace("partial ", "partial\n") for name in NAMES.values()]
    best.set_xticks(range(len(NAMES)), names, fontsize=7)
    best.set(ylabel="best validation accuracy [%]", xlim=(-0.5, len(NAMES) - 0.5))
    drawing.letter(best, "b")
    return figure, found | {"cde": panels.columns(below, shown, {"S_sc": "c", "C_in": "d", "masks": "e"})}
