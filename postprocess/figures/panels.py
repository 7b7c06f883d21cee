"""Panels that the figures share: each draws arrays onto a matplotlib Axes, and no panel computes a result.

Figures are matplotlib.figure.Figure objects, without pyplot and its global state. `figure_style()` holds while one is
drawn and saved. Lines use the colours of Okabe and Ito, which colour-blind readers can tell apart.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from postprocess.command_line import output_file
from postprocess.connectivity import binomial_histogram, connection_histogram
from sifting.errors import RunDirectoryError

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
MAP_COLOURS = "magma"
RESOLUTION = 150  # dots per inch
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "svg.hashsalt": "sifting",  # equal figures are equal files
}


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Fonts and lines of all figures, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # all but the backend
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches on the Agg canvas."""
    figure = Figure(figsize=(width, height), dpi=RESOLUTION, layout="constrained")
    FigureCanvasAgg(figure)
    set_pads(figure, 0.12, 0.1)
    return figure


def set_pads(figure: Figure, width: float, height: float) -> None:
    """The space around each panel of a figure of new_figure, in inches."""
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(w_pad=width, h_pad=height)


def sub_figures(figure: Figure, heights: Sequence[float] = (1,), widths: Sequence[float] = (1,)) -> list[SubFigure]:
    """Parts of a figure, one below or beside the other, of these relative sizes."""
    parts = figure.subfigures(len(heights), len(widths), squeeze=False, height_ratios=heights, width_ratios=widths)
    return list(parts.flat)


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure atomically, in the format that the file name ends in, without a date; its folder is made.

    Raises:
        RunDirectoryError: a format that matplotlib does not write, or a file that cannot be written.
    """
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise RunDirectoryError(f"{path}: unknown format; accepted: a name that ends in .png, .pdf or .svg")
    kind = path.suffix[1:].lower()
    date = {"pdf": "CreationDate", "svg": "Date"}.get(kind)
    with output_file(path) as file:
        figure.savefig(file, format=kind, metadata={date: None} if date else None)


def accuracy_panel(
    ax: Axes, density: np.ndarray, accuracy: np.ndarray, sd: np.ndarray, label: str = "", colour: str = BLUE
) -> None:
    """Best validation accuracy against the density, Fig. 1a of P&B: log axis, dense network on the left.

    Args:
        density: u, float [rounds], fractions.
        accuracy: mean over the seeds, float [rounds], fractions.
        sd: standard deviation over the seeds, float [rounds]; nan where there is one seed.
    """
    curve_panel(ax, 100 * density, 100 * accuracy, 100 * sd, label=label, colour=colour)
    ax.set_xscale("log")
    ax.set_xlim(max(ax.get_xlim()), min(ax.get_xlim()))
    wide = np.nanmax(density) > 30 * np.nanmin(density)
    ax.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)) if wide else NullLocator())
    ax.xaxis.set_minor_formatter(lambda value, _: "")
    ax.set(xlabel="weights left, u [%]", ylabel="best validation accuracy [%]")


def curve_panel(
    ax: Axes,
    x: np.ndarray | Sequence[float],
    mean: np.ndarray,
    sd: np.ndarray,
    label: str = "",
    colour: str = BLUE,
    marker: str = "o",
) -> None:
    """One curve with a band of +- one standard deviation; points that are nan are left out.

    Args:
        x, mean, sd: float [points], in the units of the axes; sd may be nan.
    """
    known = np.isfinite(mean)
    x, mean, sd = (np.asarray(values)[known] for values in (x, mean, sd))
    ax.plot(x, mean, marker=marker, color=colour, label=label or None)
    if np.isfinite(sd).any():
        ax.fill_between(x, mean - sd, mean + sd, where=np.isfinite(sd), color=colour, alpha=0.2, linewidth=0)


def round_axis(ax: Axes, ylabel: str, reference: float, note_above: bool = False) -> None:
    """Label an axis of rounds, from y = 0 on, with a dashed line at the value without locality."""
    ax.axhline(reference, color=GREY, linestyle="--", linewidth=1.0, zorder=0)
    ax.annotate(
        f"no locality: {reference:.4g}",
        (0.02, reference),
        (0, 5 if note_above else -5),
        textcoords="offset points",
        xycoords=("axes fraction", "data"),
        color=GREY,
        fontsize="small",
        va="bottom" if note_above else "top",
    )
    ax.set_ylim(0, max(ax.get_ylim()[1], 1.2 * reference))
    ax.xaxis.set_major_locator(_whole_numbers())
    ax.set(xlabel="pruning round", ylabel=ylabel)


def displacement_panel(ax: Axes, counts: np.ndarray, drop_zero: bool = False, bar: bool = True) -> None:
    """A map S(d), Fig. 2b of P&B: colours from 0 to its maximum, dy downwards as in an image.

    Args:
        counts: int [2S+1, 2S+1], indexed [dy + S, dx + S].
        drop_zero: d = 0 is left out, and grey (S_sc).
        bar: draw the colour bar.
    """
    size = len(counts) // 2
    shown = counts[1:-1, 1:-1].astype(np.float64)  # no displacement reaches the outermost rows and columns
    if drop_zero:
        shown[size - 1, size - 1] = np.nan
    colours = matplotlib.colormaps[MAP_COLOURS].with_extremes(bad="#808080")
    reach = size - 0.5
    image = ax.imshow(
        shown,
        cmap=colours,
        vmin=0,
        vmax=max(np.nanmax(shown, initial=0), 1),
        extent=(-reach, reach, reach, -reach),
        interpolation="nearest",
    )
    ticks = [-(size // 2), 0, size // 2]
    ax.set(xticks=ticks, yticks=ticks, xlabel="$d_x$ [pixels]", ylabel="$d_y$ [pixels]")
    ax.spines[:].set_visible(False)
    if bar:
        colour_bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, label="pairs")
        colour_bar.outline.set_visible(False)
        colour_bar.ax.yaxis.set_major_locator(MaxNLocator(4))
        assert isinstance(colour_bar.formatter, ScalarFormatter)
        colour_bar.formatter.set_powerlimits((-3, 4))


def connection_panel(ax: Axes, connections: np.ndarray, inputs: int, density: float, colour: str = BLUE) -> None:
    """Histogram of C_in with its most connected nodes, log counts, and the binomial of random pruning dashed.

    Args:
        connections: int [nodes].
        inputs: n_0, inputs of the layer.
        density: u of the layer.
    """
    edges, nodes = connection_histogram(connections)
    highest = max(nodes.max(), 1)
    ax.stairs(nodes, edges, fill=True, color=colour, alpha=0.85, label="nodes")
    if 0 < density < 1:
        width = edges[1] - edges[0]
        # The binomial over its own range too, which a narrow histogram may not cover.
        spread = 4 * np.sqrt(inputs * density * (1 - density))
        low, high = (max(inputs * density + sign * spread, 0) for sign in (-1, 1))
        grid = width * np.arange(min(edges[0], low) // width, max(edges[-1], high) // width + 1, dtype=int)
        expected = binomial_histogram(np.append(grid, grid[-1] + width), inputs, density, len(connections))
        ax.plot(grid + width / 2, expected, "--", color="black", linewidth=1.2, label="random (binomial)")
        highest = max(highest, expected.max())
        ax.legend(loc="upper right")
    ax.set_yscale("log")
    ax.set_ylim(0.5, 3 * highest)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(lambda value, _: "")
    ax.xaxis.set_major_locator(_whole_numbers())
    ax.set(xlabel="connections of a node, $C_{in}$", ylabel="nodes")


def plate_panel(ax: Axes, plate: np.ndarray) -> None:
    """A plate of masks, float [height, width, 3] (postprocess.masks.mask_plate)."""
    if not plate.size:
        return empty_panel(ax, "no node keeps 2 connections")
    ax.imshow(plate, interpolation="nearest")
    ax.set_anchor("N")  # below its title
    ax.set_axis_off()
    return None


def empty_panel(ax: Axes, reason: str) -> None:
    """Say why there is nothing to see."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, reason, ha="center", va="center", color=GREY, wrap=True, transform=ax.transAxes)


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10])
