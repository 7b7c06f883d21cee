"""P&B Fig. 7: local masks emerge in networks of any width and depth.

a: best validation accuracy against u, best rounds marked by squares. b: training and validation error of the dense
round. c: the same of each one's best round. d: S_sc and C_in of the best rounds. See postprocess.figures.comparison for
the choices.
"""

from matplotlib.figure import Figure

from postprocess.figures import base
from postprocess.figures.comparison import draw_comparison
from sifting.runs.directory import RunDirectory

ROLES = {
    "3l256": "inputs/pb/widths_3l256.in",
    "3l512": "inputs/pb/widths_3l512.in",
    "3l1k": "inputs/imp_3l1k.in",
    "3l2k": "inputs/pb/widths_3l2k.in",
    "3l4k": "inputs/pb/widths_3l4k.in",
    "4l1k": "inputs/pb/depths_4l1k.in",
    "5l1k": "inputs/pb/depths_5l1k.in",
}


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    return draw_comparison(runs, options, {role: network(runs[role][0]) for role in ROLES})


def network(run: RunDirectory) -> str:
    """Such as '3 layers, 1024', counted in the run itself: small ones are narrower."""
    specs = run.read_round(run.rounds()[0]).specs[:-1]
    return f"{len(specs)} layers, {specs[0].nodes}"
