"""P&B Fig. 16: pruned layer by layer, a deep network shows a hierarchy of features.

a: best validation accuracy against the u of the layer that is being pruned; of each layer the last round that is no
worse than the dense network (white dot) is where the next one starts. b: the masks below one node of layer 3: of each
layer, those with connections to the node.

Choices. All of the first run. b is the round of the last white dot, with effective masks. The node is the one that most
inputs reach, of those with at least two nodes in the layer below and at most 40 in any; where there is none, the one
with the fewest. At most 40 masks a layer are shown, the most connected ones.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from postprocess.connectivity import input_connections
from postprocess.figures import base, drawing
from postprocess.masks import dense_masks, hierarchy, image_plate, layer_masks
from postprocess.seeds import good_rounds, pruned_layer, read_image_seeds

ROLES = {"layer_by_layer": "inputs/pb/layer_by_layer.in"}
NEEDS_IMAGES = False
MASKS, COLUMNS = 40, 20


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    run = runs["layer_by_layer"][0]
    curve = read_image_seeds([run])
    layers = pruned_layer(curve)
    accuracy = curve.accuracy[:, 0]
    chosen = good_rounds(curve, layers)
    number = max(chosen.values(), default=curve.rounds[-1])
    if options.round is not None:
        number = base.shown_round(curve, options).number
    depth = min(3, len(curve.specs) - 1)
    masks = dense_masks(run.read_round(number))[:depth]
    node, levels = tree(masks)
    heights = [
        0.3 + drawing.WIDTH / COLUMNS * -(-min(len(level), MASKS) // COLUMNS) for level in levels[::-1]
    ]  # inches
    figure = drawing.new_figure(2.6 + sum(heights))
    above, below = drawing.sub_figures(figure, heights=(2.6, sum(heights)))
    ax = above.subplots()
    found: base.Numbers = {"dense": accuracy[0], "layers": []}
    for line, layer in zip(drawing.LINES, sorted(set(layers[1:])), strict=False):
        rows = np.flatnonzero(layers == layer)
        u = curve.layer_density[rows, 0, layer]
        ax.plot(
            100 * u, 100 * accuracy[rows], line.marker + line.style, color=line.colour, markersize=3, linewidth=1.2,
            label=f"layer {layer + 1}",
        )  # fmt: skip
        own = {"layer": layer + 1, "round": np.array(curve.rounds)[rows], "u": u, "accuracy": accuracy[rows]}
        if layer in chosen:
            at = curve.rounds.index(chosen[layer])
            ax.plot(
                100 * curve.layer_density[at, 0, layer], 100 * accuracy[at], "o", markersize=9,
                markerfacecolor="white", markeredgecolor=line.colour, zorder=5, label="_chosen",
            )  # fmt: skip
            own["chosen"] = chosen[layer]
        found["layers"].append(own)
    ax.axhline(100 * accuracy[0], color=drawing.GREY, linestyle="--", linewidth=0.8, zorder=0)
    drawing.density_axis(ax)
    ax.set_xlabel("weights left in the layer, u [%]")
    ax.legend(fontsize=7)
    drawing.letter(ax, "a")

    effective = layer_masks(masks, "effective")
    plates = below.subplots(depth, 1, height_ratios=heights, squeeze=False)[:, 0]
    shown = []
    for layer, plate in zip(range(depth, 0, -1), plates, strict=True):
        level = levels[layer - 1]
        kept = input_connections(effective[layer - 1])[level]
        level = level[np.argsort(-kept, kind="stable")]
        images = drawing.mask_images(effective[layer - 1][:, level[:MASKS]])
        # One row of COLUMNS tiles has the same scale in every layer.
        blank = np.ones((max(COLUMNS - len(images), 0), *images.shape[1:]), images.dtype)
        drawing.plate_panel(plate, image_plate(np.concatenate([images, blank]), COLUMNS))
        hidden = f", {MASKS} shown" if len(level) > MASKS else ""
        text = f"node {node}" if layer == depth else f"{len(level)} nodes{hidden}"
        text = f"layer {layer}: {text}"
        if layer == depth:
            drawing.letter(plate, "b", text)
        else:
            plate.set_title(text, fontsize=drawing.SMALL)
        shown.append({"layer": layer, "nodes": level})
    return figure, {"a": found, "b": {"round": number, "node": node, "levels": shown}}


def tree(masks: Sequence[np.ndarray]) -> tuple[int, list[np.ndarray]]:
    """The node of panel b, and the nodes below it, layer by layer."""
    trees = {node: hierarchy(masks, node) for node in range(masks[-1].shape[1])}
    inputs = input_connections(layer_masks(masks, "effective")[-1])
    clear = [
        node
        for node, levels in trees.items()
        if inputs[node] and max(map(len, levels)) <= MASKS and (len(levels) == 1 or len(levels[-2]) > 1)
    ]
    reached = [node for node in trees if inputs[node]]
    if clear:
        node = max(clear, key=lambda node: inputs[node])
    else:
        node = min(reached or trees, key=lambda node: sum(map(len, trees[node])))
    return node, trees[node]
