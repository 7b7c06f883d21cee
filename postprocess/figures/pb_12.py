"""P&B Fig. 12: masks of the most connected nodes of all layers, at two densities.

At u of about 1 %: 120 masks of layer 1, 30 effective masks of layer 2. At u of about 0.3 %: 60 masks of layer 1, and
effective masks of layers 2 and 3.

Choices. The effective mask of a deeper node has the inputs from which an unpruned path leads to it; most connected are
there the nodes that most inputs reach. 30 of layers 2 and 3 at 0.3 %, too; all rows are full, so that fewer are shown
where fewer are connected. All of the first run.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import at_densities, show
from postprocess.masks import dense_masks, layer_masks

ROLES = {"imp": "inputs/imp_3l1k.in"}
PLATES = {0.01: (120, 30), 0.003: (60, 30, 30)}  # at each u, nodes of layers 1, 2, ...
COLUMNS = 15


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show(runs["imp"][:1], options)
    plates = []
    for u, counts in PLATES.items():
        (one,) = [shown] if options.round is not None else at_densities(shown, [u])
        effective = layer_masks(dense_masks(one.first), "effective")
        plates += [(one, *layer) for layer in zip(range(1, 4), effective, counts, strict=False)]
    heights = [count // COLUMNS + 0.7 for *_, count in plates]
    figure = drawing.new_figure(1.08 * drawing.WIDTH / COLUMNS * sum(heights))
    found = []
    axes = figure.subplots(len(plates), 1, height_ratios=heights, squeeze=False)[:, 0]
    for ax, (one, layer, mask, count) in zip(axes, plates, strict=True):
        drawn = panels.most_connected_plate(ax, mask, count, COLUMNS, one.shape)
        kind = "" if layer == 1 else ", effective masks"
        ax.set_title(f"{one.label}, layer {layer}{kind}", fontsize=drawing.SMALL)
        found.append({"layer": layer} | one.numbers() | drawn)
    return figure, {"plates": found}
