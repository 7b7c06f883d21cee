"""P&B Fig. 10: networks that perform well look at the centre of the image.

C_out,0, the number of nodes that each pixel is connected to, as an RGB image divided by its maximum, for several
experiments at u of about 1 %.

Choices. The text names "different experiments proposed in the main text": here the main one, 30 % of the data, and ten
semantic and ten random classes, as in Fig. 11. Sums over the nodes of all runs.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, pb_5
from postprocess.masks import pixel_map
from postprocess.seeds import read_image_seeds

ROLES = pb_5.ROLES
NEEDS_IMAGES = False
LABELS = pb_5.LABELS
DENSITY = 0.01


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = drawing.new_figure(2.3)
    found = {}
    for ax, (role, label) in zip(figure.subplots(1, len(LABELS)), LABELS.items(), strict=True):
        curve = read_image_seeds(runs[role])
        place = base.shown_round(curve, options, DENSITY)
        shown = pixel_map(curve.mask(place.number))
        ax.imshow(shown, interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(f"{label}\n{place.label}", fontsize=drawing.SMALL, loc="center")
        found[role] = place.numbers() | {"C_out": shown}
    return figure, found
