"""P&B Fig. 4: iterative pruning refines what the first training suggests; other methods find it less clearly.

Columns are nodes of layer 1 of networks that start from the same weights, rows: the weights after dense training, the
masks of IMP at several u, of oneshot pruning, and of SNIP (90 and 99 %) and SynFlow (90 %) at initialisation. Behind
them the best validation accuracy of each.

Choices. IMP at u of about 24 %, 4 %, 1 % and 0.3 %, oneshot at the last three. The nodes are those of Fig. 3b (see
there) at 1 %. All of the first runs; recorded seeds that differ are refused. Weights of the last checkpoint, each
node's from its minimum to its maximum.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.figures.pb_3 import NODES, TOP
from postprocess.locality import local_nodes
from postprocess.masks import effective_weights, image_plate, weighted_images
from postprocess.seeds import read_image_seeds
from sifting.errors import RunDirectoryError

ROLES = {
    "imp": "inputs/imp_3l1k.in",
    "oneshot": "inputs/pb/oneshot.in",
    "snip": "inputs/pb/snip.in",
    "synflow": "inputs/pb/synflow.in",
}
NEEDS_IMAGES = False
ROWS = (
    ("imp", "IMP", (0.24, 0.04, 0.01, 0.003)),
    ("oneshot", "oneshot", (0.04, 0.01, 0.003)),
    ("snip", "SNIP", (0.1, 0.01)),
    ("synflow", "SynFlow", (0.1,)),
)
_CHOSEN_AT = 0.01


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    first = {role: group[0] for role, group in runs.items()}
    seeds = {role: run.read_record().get("seed") for role, run in first.items()}
    if len(set(seeds.values()) - {None}) > 1:
        raise RunDirectoryError(f"runs of other initial weights; accepted: one seed, not {seeds}")
    curves = {role: read_image_seeds([run]) for role, run in first.items()}
    nodes = local_nodes(first["imp"].read_round(curves["imp"].nearest(_CHOSEN_AT)).masks[0].W, NODES, TOP)

    dense = first["imp"].read_round(curves["imp"].common[0])
    weights = effective_weights([dense.checkpoints[-1].parameters[0].W], [dense.masks[0].W])[:, nodes]
    tiles = [weighted_images(weights)]
    found = [{"role": "imp", "shown": "weights", "round": dense.number, "accuracy": curves["imp"].mean[0]}]
    labels = ["dense, weights"]
    for role, label, densities in ROWS:
        for place in base.shown_rounds(curves[role], densities):
            tiles.append(drawing.mask_images(first[role].read_round(place.number).masks[0].W[:, nodes]))
            accuracy = curves[role].accuracy_of(place.number)
            found.append({"role": role, "shown": "mask", "accuracy": accuracy} | place.numbers())
            labels.append(f"{label}, {place.title}")
    figure = drawing.new_figure(0.35 + 0.56 * len(tiles))
    ax = figure.subplots()
    plate = image_plate(np.concatenate(tiles), columns=len(nodes))
    drawing.plate_panel(ax, plate)
    drawing.label_rows(ax, labels, len(plate))
    for row, one in enumerate(found):
        y = (row + 0.5) * len(plate) / len(found)
        ax.text(plate.shape[1] + 4, y, f"{100 * one['accuracy']:.1f} %", va="center", fontsize=drawing.SMALL)
    ax.text(plate.shape[1] + 4, -4, "accuracy", va="bottom", fontsize=drawing.SMALL)
    return figure, {"nodes": nodes, "rows": found}
