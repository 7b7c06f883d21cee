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
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from postprocess.connectivity import input_connections, most_connected
from postprocess.figures import base, drawing
from postprocess.figures.shown import show
from postprocess.masks import dense_masks, hierarchy, image_plate, layer_masks
from postprocess.seeds import Seeds, good_rounds, pruned_layer

ROLES = {"layer_by_layer": "inputs/pb/layer_by_layer.in"}
MASKS, COLUMNS = 40, 10


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    run = runs["layer_by_layer"][0]
    shown = show([run], options)
    layers = pruned_layer(shown.seeds)
    chosen = good_rounds(shown.seeds, layers)
    number = max(chosen.values(), default=shown.seeds.rounds[-1]) if options.round is None else options.round
    masks = dense_masks(run.read_round(number))[:3]
    effective = layer_masks(masks, "effective")
    node, levels = tree(masks)
    levels = [
        level[most_connected(input_connections(mask[:, level]))] for level, mask in zip(levels, effective, strict=True)
    ]

    tile = drawing.WIDTH / COLUMNS  # inches
    heights = [0.3 + tile * -(-min(len(level), MASKS) // COLUMNS) for level in levels[::-1]]
    figure = drawing.new_figure(2.6 + sum(heights))
    above, below = drawing.sub_figures(figure, heights=(2.6, sum(heights)))
    ax = above.subplots()
    found: base.Numbers = {"a": accuracy_panel(ax, shown.seeds, layers, chosen)}
    drawing.letter(ax, "a")
    found["b"] = {"round": number, "node": node, "levels": []}
    plates = below.subplots(len(masks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for layer, ax in zip(range(len(masks), 0, -1), plates, strict=True):
        level = levels[layer - 1]
        images = drawing.mask_images(effective[layer - 1][:, level[:MASKS]], shown.shape)
        # One row of COLUMNS tiles has the same scale in every layer.
        blank = np.ones((max(COLUMNS - len(images), 0), *images.shape[1:]), images.dtype)
        drawing.plate_panel(ax, image_plate(np.concatenate([images, blank]), COLUMNS))
        hidden = f", {MASKS} shown" if len(level) > MASKS else ""
        ax.set_title(f"layer {layer}: {len(level)} nodes{hidden}", fontsize=drawing.SMALL)
        found["b"]["levels"].append({"layer": layer, "nodes": level})
    drawing.letter(plates[0], "b", f"layer {len(masks)}: node {node}")
    return figure, found


def accuracy_panel(ax: Axes, seeds: Seeds, layers: np.ndarray, chosen: dict[int, int]) -> base.Numbers:
    """A curve for each layer, counted from 0, over its own density; `chosen`: of each, the round of its white dot."""
    accuracy = seeds.accuracy[:, 0]
    found: base.Numbers = {"dense": accuracy[0], "layers": []}
    for line, layer in zip(drawing.LINES, sorted(set(layers[1:])), strict=False):
        rows = np.flatnonzero(layers == layer)
        u = seeds.layer_density[:, 0, layer]
        look = line.look | {"markersize": 3, "linewidth": 1.2, "label": f"layer {layer + 1}"}
        ax.plot(100 * u[rows], 100 * accuracy[rows], **look)
        own = {"layer": layer + 1, "round": np.array(seeds.rounds)[rows], "u": u[rows], "accuracy": accuracy[rows]}
        if layer in chosen:
            own["chosen"] = chosen[layer]
            at = seeds.rounds.index(chosen[layer])
            look = {"markersize": 9, "markerfacecolor": "white", "markeredgecolor": line.colour, "label": "_chosen"}
            ax.plot(100 * u[at], 100 * accuracy[at], "o", zorder=5, **look)
        found["layers"].append(own)
    ax.axhline(100 * accuracy[0], color=drawing.GREY, linestyle="--", linewidth=0.8, zorder=0)
    drawing.density_axis(ax)
    ax.set_xlabel("weights left in the layer, u [%]")
    ax.legend(fontsize=7)
    return found


def tree(masks: Sequence[np.ndarray]) -> tuple[int, list[np.ndarray]]:
    """The node of panel b, and the nodes below it, layer by layer."""
    trees = {node: hierarchy(masks, node) for node in range(masks[-1].shape[1])}
    inputs = input_connections(layer_masks(masks, "effective")[-1])
    reached = [node for node in trees if inputs[node]]
    clear = [node for node in reached if max(map(len, trees[node])) <= MASKS and _gathers(trees[node])]
    if clear:
        node = max(clear, key=lambda node: inputs[node])
    else:
        node = min(reached or trees, key=lambda node: sum(map(len, trees[node])))
    return node, trees[node]


def _gathers(levels: Sequence[np.ndarray]) -> bool:
    """Whether the node has at least two below it."""
    return len(levels) == 1 or len(levels[-2]) > 1
