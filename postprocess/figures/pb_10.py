"""P&B Fig. 10: networks that perform well look at the centre of the image.

C_out,0, the number of nodes that each pixel is connected to, as an RGB image divided by its maximum, for several
experiments at u of about 1 %.

Choices. The text names "different experiments proposed in the main text": here the main one, 30 % of the data, and ten
semantic and ten random classes, as in Fig. 11. Sums over the nodes of all runs.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, pb_5
from postprocess.figures.drawing import new_figure
from postprocess.figures.panels import columns
from postprocess.figures.shown import show_roles

ROLES = pb_5.ROLES
DENSITY = 0.01


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    figure = new_figure(2.3)
    return figure, columns(figure, show_roles(runs, options, pb_5.NAMES, DENSITY), {"C_out": ""})
