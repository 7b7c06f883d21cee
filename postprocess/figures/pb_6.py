"""P&B Fig. 6: the minimiser and its learning rate change little.

a: best validation accuracy against u, best rounds marked by squares. b: training and validation error of the dense
round. c: the same of each one's best round. See postprocess.figures.comparison for the choices.
"""

from matplotlib.figure import Figure

from postprocess.figures import base
from postprocess.figures.comparison import draw_comparison

ROLES = {
    "sgd_0.5": "inputs/pb/sgd_0.5.in",
    "sgd_0.1": "inputs/imp_3l1k.in",
    "sgd_0.02": "inputs/pb/sgd_0.02.in",
    "adam_0.01": "inputs/pb/adam_0.01.in",
}
NAMES = {"sgd_0.5": "SGD 0.5", "sgd_0.1": "SGD 0.1", "sgd_0.02": "SGD 0.02", "adam_0.01": "Adam 0.01"}


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    return draw_comparison(runs, options, NAMES, maps=False)
