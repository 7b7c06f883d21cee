"""P&B Fig. 4: iterative pruning refines what the first training suggests; other methods find it less clearly.

Columns are nodes of layer 1 of networks that start from the same weights, rows: the weights after dense training, the
masks of IMP at several u, of oneshot pruning, and of SNIP (90 and 99 %) and SynFlow (90 %) at initialisation. Behind
them the best validation accuracy of each.

Choices. IMP at u of about 24 %, 4 %, 1 % and 0.3 %, oneshot at the last three. The nodes are chosen as those of Fig. 3b
(see there), at 1 %. All of the first runs; recorded seeds that differ are refused. Weights of the last checkpoint, each
node's over the largest.
"""

from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.pb_3 import NODES
from postprocess.figures.shown import at_densities, show_roles
from postprocess.locality import local_nodes
from sifting.errors import RunDirectoryError

ROLES = {
    "imp": "inputs/imp_3l1k.in",
    "oneshot": "inputs/pb/oneshot.in",
    "snip": "inputs/pb/snip.in",
    "synflow": "inputs/pb/synflow.in",
}
NAMES = {"imp": "IMP", "oneshot": "oneshot", "snip": "SNIP", "synflow": "SynFlow"}
ROWS = {"imp": (0.24, 0.04, 0.01, 0.003), "oneshot": (0.04, 0.01, 0.003), "snip": (0.1, 0.01), "synflow": (0.1,)}
_CHOSEN_AT = 0.01


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    seeds = {role: runs[role][0].read_record().get("seed") for role in ROLES}
    if len(set(seeds.values()) - {None}) > 1:
        raise RunDirectoryError(f"runs of other initial weights; accepted: one seed, not {seeds}")
    shown = show_roles({role: runs[role][:1] for role in ROLES}, base.Options(), NAMES, _CHOSEN_AT)
    nodes = local_nodes(shown["imp"].first_mask, NODES, shown["imp"].shape)

    (dense,) = at_densities(shown["imp"], [1])
    rows = {"dense, weights": panels.masked_weights(dense.first, nodes)}
    found: list[base.Numbers] = [{"role": "imp", "shown": "weights", "accuracy": dense.accuracy} | dense.numbers()]
    for role, densities in ROWS.items():
        for one in at_densities(shown[role], densities):
            rows[f"{one.name}, {one.title}"] = drawing.mask_images(one.first_mask[:, nodes], one.shape)
            found.append({"role": role, "shown": "mask", "accuracy": one.accuracy} | one.numbers())
    figure = drawing.new_figure(0.35 + 0.56 * len(rows))
    ax = figure.subplots()
    panels.labelled_rows(ax, rows)
    right, bottom = ax.get_xlim()[1] + 4, ax.get_ylim()[0]
    ax.text(right, -4, "accuracy", va="bottom", fontsize=drawing.SMALL)
    for row, numbers in enumerate(found):
        y = (row + 0.5) * bottom / len(found)
        ax.text(right, y, f"{100 * numbers['accuracy']:.1f} %", va="center", fontsize=drawing.SMALL)
    return figure, {"nodes": nodes, "rows": found}
