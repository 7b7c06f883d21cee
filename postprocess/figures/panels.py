"""Panels that show a role of a figure: its maps, connections, masks and images, alone or in columns of several roles.

Each draws onto a matplotlib Axes, and returns its numbers for the JSON.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import drawing
from postprocess.figures.shown import Shown
from postprocess.masks import effective_weights, image_plate, input_images, pixel_map, weighted_images
from sifting.datasets.image_set import ImageSet
from sifting.network.plates import Shape
from sifting.network.rounds import Round

Numbers = dict[str, Any]

# --- a single role


def same_colour(ax: Axes, shown: Shown, title: str = "", **look: Any) -> Numbers:
    """S_sc."""
    return drawing.map_panel(ax, shown.maps.same, title, **look)


def different_colours(ax: Axes, shown: Shown, title: str = "", **look: Any) -> Numbers:
    """S_dc; grey images have none."""
    if shown.shape[0] == 1:
        drawing.empty_panel(ax, "not defined:\nthe images\nare grey")
        return {}
    return drawing.map_panel(ax, shown.maps.different, title, same=False, **look)


def both_maps(axes: Iterable[Axes], shown: Shown, letter: str) -> dict[str, Numbers]:
    """S_sc and S_dc with their names, and the letter beside the first."""
    same, different = axes
    drawing.corner_letter(same, letter)
    return {
        "S_sc": same_colour(same, shown, "$S_{sc}$", labels=True),
        "S_dc": different_colours(different, shown, "$S_{dc}$", labels=True),
    }


def connections(ax: Axes, shown: Shown) -> Numbers:
    """C_in, with the binomial of random pruning dashed."""
    found = drawing.connections_panel(ax, shown.connections, len(shown.mask), shown.line.colour)
    ax.set_xlabel("$C_{in}$", fontsize=drawing.SMALL, labelpad=1)
    return found


def masks(ax: Axes, shown: Shown, count: int = 12, columns: int = 3) -> Numbers:
    """The most connected masks of the first run."""
    return most_connected_plate(ax, shown.first_mask, count, columns, shown.shape)


def most_connected_plate(ax: Axes, mask: np.ndarray, count: int, columns: int, shape: Shape | None = None) -> Numbers:
    """The most connected nodes of a mask [n_0, nodes], as full rows where there is one."""
    incoming = input_connections(mask)
    nodes = select_nodes(incoming, count=count)
    nodes = nodes[: len(nodes) - len(nodes) % columns or None]
    drawing.plate_panel(ax, image_plate(drawing.mask_images(mask[:, nodes], shape), columns))
    return {"nodes": nodes, "C_in": incoming[nodes]}


def pixels(ax: Axes, shown: Shown) -> Numbers:
    """C_out,0 as an image."""
    image = pixel_map(shown.mask, shown.shape)
    ax.imshow(drawing.in_colours(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return {"image": image}


def accuracy(ax: Axes, shown: Shown, square: bool = True) -> Numbers:
    """Best validation accuracy against u, the shown round marked by a square."""
    found = drawing.density_curve(ax, shown.seeds, None, shown.line, shown.name)
    if square:
        mark(ax, shown, "s", shown.line.colour)
    return found | {"shown": shown.numbers()}


def mark(ax: Axes, shown: Shown, marker: str, colour: str, size: float = 8) -> None:
    """An open marker around the shown round on its curve of the accuracy."""
    at = 100 * shown.u, 100 * shown.accuracy
    ax.plot(*at, marker, markersize=size, markerfacecolor="none", markeredgecolor=colour, label="_mark")


# --- images


def masked_weights(result: Round, nodes: np.ndarray) -> np.ndarray:
    """Weights of nodes of layer 1 at the last checkpoint, as images, float64 [nodes, height, width, channels]."""
    weights = effective_weights([result.checkpoints[-1].parameters[0].W], [result.masks[0].W])
    return weighted_images(weights[:, nodes], result.image_shape)


def image_tiles(images: ImageSet, rows: np.ndarray) -> np.ndarray:
    """Validation images in [0, 1], float64 [n, height, width, channels]."""
    return input_images(images.val_images[rows].T, images.shape) / 255


def labelled_rows(ax: Axes, rows: Mapping[str, np.ndarray]) -> None:
    """A plate with a name left of every row, images [nodes, height, width, channels]."""
    plate = image_plate(np.concatenate([*rows.values()]), columns=len(next(iter(rows.values()))))
    drawing.plate_panel(ax, plate)
    for row, name in enumerate(rows):
        y = (row + 0.5) * len(plate) / len(rows)
        ax.text(-3, y, name, ha="right", va="center", fontsize=drawing.SMALL)


# --- several roles

# Of each row: its panel, height over the others' and y label.
ROWS: dict[str, tuple[Callable[[Axes, Shown], Numbers], float, str]] = {
    "S_sc": (same_colour, 1.3, "$d_y$ [pixels]"),
    "C_in": (connections, 1.0, "nodes"),
    "masks": (masks, 1.7, ""),
    "C_out": (pixels, 1.0, ""),
}


def columns(
    figure: FigureBase, shown: Mapping[str, Shown], rows: Mapping[str, str], most: int = 7
) -> dict[str, Numbers]:
    """A column a role.

    Args:
        rows: which of ROWS, and the letter of each.
        most: columns side by side; the others come below.

    Returns:
        For the JSON, by role.
    """
    most = min(most, len(shown))
    blocks = -(-len(shown) // most)
    heights = [ROWS[row][1] for row in rows] * blocks
    axes = figure.subplots(len(heights), most, squeeze=False, height_ratios=heights)
    found = {}
    for ax in axes.flat:
        ax.set_visible(False)
    for place, (role, one) in enumerate(shown.items()):
        block, column = divmod(place, most)
        own = axes[block * len(rows) : (block + 1) * len(rows), column]
        own[0].set_title(f"{one.name}\n{one.title}", fontsize=drawing.SMALL if most <= 5 else 6.5, loc="center")
        found[role] = one.numbers() | {"layer_u": one.layer_u}
        for ax, (row, letter) in zip(own, rows.items(), strict=True):
            panel, _, label = ROWS[row]
            ax.set_visible(True)
            found[role][row] = panel(ax, one)
            if column == 0:
                ax.set_ylabel(label, fontsize=drawing.SMALL)
            elif row == "S_sc":
                ax.set_yticklabels([])
            if place == 0:
                drawing.corner_letter(ax, letter)
    return found


def gains(ax: Axes, shown: Mapping[str, Shown]) -> dict[str, Numbers]:
    """Best validation accuracy less that of round 0 of the same run; dashed: the u that the paper shows elsewhere."""
    found = {}
    for role, one in shown.items():
        found[role] = drawing.density_curve(ax, one.seeds, one.seeds.gain, one.line, one.name)
        if one.wanted is not None:
            ax.axvline(100 * one.wanted, color="black", linestyle="--", linewidth=0.8, zorder=0)
    ax.axhline(0, color=drawing.GREY, linewidth=0.8, zorder=0)
    ax.legend(fontsize=7)
    return found
