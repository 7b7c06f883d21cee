"""Panels that the figures of P&B share, beyond those of panels.py: smaller, and laid out in rows.

As there, a panel draws arrays onto a matplotlib Axes. Figures are WIDTH inches wide, the text width of the papers, so
that 8 or 9 points are what is printed. Every map S(d) has its own colours, from 0 to its maximum.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from postprocess.connectivity import binomial_histogram, connection_histogram, input_connections, select_nodes
from postprocess.figures import base, panels
from postprocess.locality import displacement_maps
from postprocess.masks import image_plate
from sifting.rounds import Round

WIDTH = 7.2  # inches
SMALL = 8  # points
MOST_BINS = 60


class Line(NamedTuple):
    """How one experiment is drawn; markers and dashes tell lines apart where colours do not."""

    colour: str
    marker: str
    style: str


# Colours of Okabe and Ito without yellow, which is faint on white.
LINES = tuple(
    Line(*line)
    for line in (
        (panels.BLUE, "o", "-"),
        (panels.ORANGE, "^", "-"),
        (panels.GREEN, "D", "-"),
        ("#CC79A7", "v", "-"),
        ("#56B4E9", "<", "--"),
        ("#E69F00", ">", "--"),
        ("#000000", "P", "--"),
        (panels.GREY, "X", ":"),
        (panels.BLUE, "d", ":"),
        (panels.ORANGE, "h", ":"),
    )
)


def new_figure(height: float) -> Figure:
    """A figure of the text width, `height` inches high, with narrow margins."""
    figure = panels.new_figure(WIDTH, height)
    panels.set_pads(figure, 0.05, 0.05)
    return figure


def letter(ax: Axes, name: str, text: str = "") -> None:
    """The panel's letter, bold, and a title behind it."""
    ax.set_title(f"$\\bf{{{name}}}$  {text}" if text else f"$\\bf{{{name}}}$", fontsize=9)


def corner_letter(ax: Axes, name: str) -> None:
    """The panel's letter beside the upper left corner, where the title has other words."""
    ax.annotate(name, (0, 1), (-26, 4), xycoords="axes fraction", textcoords="offset points", weight="bold", ha="right")


def curve_with_best(
    ax: Axes, curve: base.Curve, values: np.ndarray, sd: np.ndarray, line: Line, label: str, best: int | None = None
) -> None:
    """A curve over u on a reversed log axis, in percent, with a band of one s.d.; `best` is a round, for a square.

    Args:
        values, sd: float [rounds], fractions.
    """
    u, values, sd = 100 * curve.u, 100 * values, 100 * sd
    (drawn,) = ax.plot(
        u, values, color=line.colour, marker=line.marker, linestyle=line.style, markersize=3, linewidth=1.2, label=label
    )
    drawn.set_gid(label)
    if np.isfinite(sd).any():
        known = np.isfinite(sd)
        ax.fill_between(u, values - sd, values + sd, where=known, color=line.colour, alpha=0.2, linewidth=0)
    if best is not None:
        at = curve.rounds.index(best)
        ax.plot(
            u[at], values[at], "s", markersize=8, markerfacecolor="none", markeredgecolor=line.colour, label="_best"
        )


def density_axis(ax: Axes, ylabel: str = "best validation accuracy [%]") -> None:
    """u in percent on a log axis, the dense network on the left."""
    ax.set_xscale("log")
    low, high = sorted(ax.get_xlim())
    ax.set_xlim(high, low)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(lambda value, _: "")
    ax.set(xlabel="weights left, u [%]", ylabel=ylabel)


def map_panel(ax: Axes, counts: np.ndarray, title: str = "", same: bool = True, labels: bool = False) -> None:
    """S_sc (same, without d = 0) or S_dc, colours from 0 to the maximum, no colour bar; ticks but no labels."""
    panels.displacement_panel(ax, counts, drop_zero=same, bar=False)
    reach = len(counts) // 4
    ax.set(xticks=[-reach, reach], yticks=[-reach, reach])
    ax.tick_params(labelsize=7, length=2, pad=1)
    if not labels:
        ax.set(xlabel="", ylabel="")
    if title:
        ax.set_title(title, fontsize=SMALL, loc="center")


def map_numbers(counts: np.ndarray, same: bool = True) -> dict[str, Any]:
    """For the JSON: the map as it is drawn, without the outermost rows and columns, S_sc without d = 0; its maximum."""
    shown = counts[1:-1, 1:-1].astype(float)
    if same:
        shown[len(shown) // 2, len(shown) // 2] = np.nan
    return {"map": shown, "maximum": np.nanmax(shown)}


def connections_panel(
    ax: Axes, connections: np.ndarray, inputs: int, density: float, colour: str = panels.BLUE, title: str = ""
) -> dict[str, Any]:
    """Histogram of C_in on a log axis with the binomial of random pruning dashed, without a legend.

    Bins are 2 connections wide, or the multiple of 2 that leaves at most MOST_BINS of them.

    Returns:
        For the JSON: edges, nodes, and the average n_0 u.
    """
    width = 2 * max(1, -(-int(np.ptp(connections)) // (2 * MOST_BINS)))
    edges, nodes = connection_histogram(connections, width)
    ax.stairs(nodes, edges, fill=True, color=colour, alpha=0.85)
    highest = nodes.max()
    if 0 < density < 1:
        spread = 4 * np.sqrt(inputs * density * (1 - density))
        low, high = (max(inputs * density + sign * spread, 0) for sign in (-1, 1))
        grid = width * np.arange(int(low) // width, int(high) // width + 2)
        expected = binomial_histogram(grid, inputs, density, len(connections))
        ax.plot(grid[:-1] + width / 2, expected, "--", color="black", linewidth=1)
        highest = max(highest, expected.max())
    count_axis(ax, highest)
    if title:
        ax.set_title(title, fontsize=SMALL, loc="center")
    return {"edges": edges, "nodes": nodes, "n0_u": inputs * density}


def count_axis(ax: Axes, highest: float) -> None:
    """A log axis of numbers of nodes, over C_in."""
    ax.set_yscale("log")
    ax.set_ylim(0.5, 3 * highest)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(lambda value, _: "")
    ax.tick_params(labelsize=7)
    ax.locator_params(axis="x", nbins=4)


def plate_panel(ax: Axes, plate: np.ndarray) -> None:
    """A plate of masks, weights or images (postprocess.masks.image_plate), float [height, width, 3]."""
    panels.plate_panel(ax, plate)


def label_rows(ax: Axes, names: Sequence[str], height: int) -> None:
    """Names left of the rows of a plate whose height is `height` pixels."""
    for row, name in enumerate(names):
        ax.text(-3, (row + 0.5) * height / len(names), name, ha="right", va="center", fontsize=SMALL)


def column(
    rounds: Sequence[Round],
    same: Axes | None = None,
    connections: Axes | None = None,
    masks: Axes | None = None,
    colour: str = panels.BLUE,
    count: int = 12,
    columns: int = 3,
) -> dict[str, Any]:
    """What the first layer of one experiment keeps: S_sc and C_in over all runs, and masks of the first.

    Args:
        rounds: the same round of every run.
        same, connections, masks: where each is drawn, if at all.
        count, columns: of the most connected masks.

    Returns:
        For the JSON.
    """
    mask = base.pooled_mask(rounds)
    incoming = input_connections(mask)
    found: dict[str, Any] = {"layer_u": incoming.sum() / mask.size}
    if same is not None:
        counts = displacement_maps(mask).same
        map_panel(same, counts)
        found["S_sc"] = map_numbers(counts)
    if connections is not None:
        found["C_in"] = connections_panel(connections, incoming, len(mask), incoming.sum() / mask.size, colour)
        connections.set_xlabel("$C_{in}$", fontsize=SMALL, labelpad=1)
    if masks is not None:
        found["masks"] = most_connected_plate(masks, rounds[0].masks[0].W, count, columns)
    return found


def most_connected_plate(ax: Axes, mask: np.ndarray, count: int, columns: int) -> dict[str, Any]:
    """The most connected masks; returns the nodes and their C_in for the JSON."""
    incoming = input_connections(mask)
    nodes = select_nodes(incoming, count=count)
    plate_panel(ax, image_plate(base.mask_images(mask[:, nodes]), columns))
    return {"nodes": nodes, "C_in": incoming[nodes]}


def row_labels(axes: Sequence[Axes | None], labels: Sequence[str]) -> None:
    """y labels of the panels at the left."""
    for ax, label in zip(axes, labels, strict=True):
        if ax is not None:
            ax.set_ylabel(label, fontsize=SMALL)
