"""P&B Fig. 8: most settings of the pruning lead to the same accuracy.

a: best validation accuracy against u for other pruning ratios p, rewind times and training times, and for pruning in
one pool of all weights; best rounds marked by squares. b: training and validation error of the dense round, of the
experiments with different training times. c: the same of each one's best round. d: S_sc and C_in of the best rounds.
See postprocess.figures.comparison for the choices. Steps in the legend are those of the runs themselves.
"""

from matplotlib.figure import Figure

from postprocess.figures import base
from postprocess.figures.comparison import draw_comparison
from sifting.runs.directory import RunDirectory
from sifting.training.plan import recorded_experiment

ROLES = {
    "standard": "inputs/imp_3l1k.in",
    "prune_ratio_0.2": "inputs/pb/prune_ratio_0.2.in",
    "rewind_500": "inputs/pb/rewind_500.in",
    "rewind_100": "inputs/pb/rewind_100.in",
    "rewind_0": "inputs/pb/rewind_0.in",
    "steps_5e5": "inputs/pb/steps_5e5.in",
    "steps_1e4": "inputs/pb/steps_1e4.in",
    "steps_5e3": "inputs/pb/steps_5e3.in",
    "global": "inputs/pb/imp_global.in",
}
DENSE = ("standard", "steps_5e5", "steps_1e4", "steps_5e3")


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    names = {role: settings(role, runs[role][0]) for role in ROLES}
    return draw_comparison(runs, options, names, DENSE, meaning="steps, step of the rewind weights, prune_ratio")


def settings(role: str, run: RunDirectory) -> str:
    """Training time, rewind time and p, such as '100000, 1000, 0.3', from the run itself; the role where unknown."""
    experiment = recorded_experiment(run)
    if experiment is None:
        return role.replace("_", " ")
    known = experiment.settings()
    method = known[experiment.method_name]
    text = f"{experiment.network.steps:,}, {method['weights_step'][0]:,}, {method['prune_ratio'][0]:g}"
    return text + (", global" if role == "global" else "")
