"""Movie of the masks, and the weighted masks, of the 225 most connected nodes over the rounds.

Left the masks, a pixel shining in the colours of its connected channels; right the masked weights, each node's over the
largest; below, where the round stands on the curve of accuracy against u. Every node keeps its place.

Choices. P&B mention such videos (D), but do not describe them. The nodes, fewer where fewer are connected, are the most
connected ones of one round, in the order of their C_in there: of --round, or else of the round nearest to u of about
1 %, where P&B show masks (Fig. 3a). Weights are those of the last checkpoint of each round. All of the first run.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from postprocess.connectivity import input_connections, select_nodes
from postprocess.figures import base, drawing, panels
from postprocess.figures.animation import FRAMES_PER_SECOND, Movie
from postprocess.figures.shown import show
from postprocess.seeds import Seeds
from sifting.errors import RunDirectoryError
from sifting.network.plates import Shape, image_plate
from sifting.network.rounds import Round

ROLES = {"imp": "inputs/imp_3l1k.in"}
MOVIE = True
NODES, DENSITY = 225, 0.01
WIDTH = 494  # pixels, up to which plates are enlarged: the width of 15 images of 32 x 32
# Of the layout, in pixels. All are even, as a Movie has to be.
_LEAST_WIDTH, _MARGIN, _GAP, _ABOVE, _BETWEEN, _CURVE, _BELOW, _TICKS = 400, 20, 24, 62, 22, 90, 48, 36
BACKGROUND = 224 / 255  # grey: a dense mask is white
_DOTS = 100  # per inch


class Frame(NamedTuple):
    """One round.

    number: of the round; u: its density, counted; accuracy: the best validation accuracy, nan if there is none.
    masks, weights: plates of the same nodes in the same places in every frame, uint8 [height, width, 3].
    C_in: of these nodes, int64 [nodes].
    """

    number: int
    u: float
    accuracy: float
    masks: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.uint8]
    C_in: npt.NDArray[np.int64]

    @property
    def title(self) -> str:
        accuracy = f"{100 * self.accuracy:.1f} %" if np.isfinite(self.accuracy) else "-"
        return f"round {self.number},  u = {drawing.percent(self.u)} %,  best validation accuracy {accuracy}"


def draw(runs: base.Runs, options: base.Options) -> tuple[Movie, dict[str, Any]]:
    run = runs["imp"][0]
    shown = show([run], options, DENSITY)
    curve, number = shown.seeds, shown.number
    nodes = select_nodes(shown.connections, count=NODES)
    if not len(nodes):
        raise RunDirectoryError(f"{run}: no node keeps 2 connections in round {number}; accepted: another --round")
    names = (f"masks, the most connected of round {number} first", "the same, weighted")
    options.report(f"the {len(nodes)} most connected nodes of round {number}, {shown.label}")
    frames: list[Frame] = []
    for number, u, accuracy in zip(curve.rounds, curve.u, curve.mean, strict=True):
        options.report(f"round {number}, {len(frames) + 1} of {len(curve.rounds)}")
        result = run.read_round(number)
        connections = input_connections(result.masks[0].W[:, nodes])
        frames.append(Frame(number, float(u), float(accuracy), *node_plates(result, nodes, shown.shape), connections))
    return movie(frames, curve, names), {
        "frames_per_second": FRAMES_PER_SECOND,
        "nodes": nodes,
        "most_connected_in": shown.numbers(),
        "frames": [{"round": one.number, "u": one.u, "accuracy": one.accuracy, "C_in": one.C_in} for one in frames],
    }


def node_plates(
    result: Round, nodes: npt.NDArray[np.int64], shape: Shape
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Masks and masked weights of nodes of layer 1, in their order: two plates, uint8 [height, width, 3]."""
    images = drawing.mask_images(result.masks[0].W[:, nodes], shape), panels.masked_weights(result, nodes)
    masks, weights = (np.rint(255 * image_plate(one, background=BACKGROUND)).astype(np.uint8) for one in images)
    return masks, weights


def movie(frames: Sequence[Frame], curve: Seeds, names: tuple[str, str]) -> Movie:
    """Laid out in pixels, so that a pixel of a plate is one of the figure, or a square of them, and stays sharp.

    Args:
        frames: one a round of the curve.
        names: of the two plates.
    """
    height, width, _ = frames[0].masks.shape
    zoom = max(1, WIDTH // width)
    column, row = max(_even(zoom * width), _LEAST_WIDTH), _even(zoom * height)
    figure_width = 2 * (_MARGIN + column) + _GAP
    figure_height = _ABOVE + row + _BETWEEN + _CURVE + _BELOW
    figure = Figure(figsize=(figure_width / _DOTS, figure_height / _DOTS), dpi=_DOTS, facecolor=str(BACKGROUND))
    FigureCanvasAgg(figure)

    def panel(left: int, bottom: int, width: int, height: int) -> Axes:
        return figure.add_axes(
            (left / figure_width, bottom / figure_height, width / figure_width, height / figure_height)
        )

    images = []
    for left, name in zip((_MARGIN, _MARGIN + column + _GAP), names, strict=True):
        ax = panel(left, figure_height - _ABOVE - zoom * height, zoom * width, zoom * height)
        ax.set_axis_off()
        ax.set_title(name, fontsize=10, pad=5)
        images.append(ax.imshow(frames[0].masks, interpolation="nearest", aspect="auto"))
    title = figure.text(_MARGIN / figure_width, 1 - 12 / figure_height, "", va="top", fontsize=12)
    below = panel(_MARGIN + _TICKS, _BELOW, figure_width - 2 * _MARGIN - _TICKS, _CURVE)
    marker = progress_panel(below, curve)

    def show(frame: int) -> None:
        one = frames[frame]
        title.set_text(one.title)
        for image, plate in zip(images, (one.masks, one.weights), strict=True):
            image.set_data(plate)
        marker.set_data([100 * one.u], [100 * one.accuracy])

    return Movie(figure, len(frames), show)


def progress_panel(ax: Axes, curve: Seeds) -> Line2D:
    """The best validation accuracy against u, in percent; returns the marker of the round that is shown."""
    drawing.density_curve(ax, curve)
    (marker,) = ax.plot([], [], "o", color=drawing.ORANGE, markersize=8)
    ax.patch.set_visible(False)
    ax.tick_params(labelsize=8)
    ax.set_ylabel("")
    ax.xaxis.label.set_fontsize(9)
    ax.set_title("best validation accuracy [%]", fontsize=9, pad=3)
    return marker


def _even(pixels: int) -> int:
    return pixels + pixels % 2
