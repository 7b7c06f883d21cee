"""Panels that the figures share: each draws arrays onto a matplotlib Axes.

Figures are matplotlib.figure.Figure objects, without pyplot and its global state. `figure_style()` holds while one is
drawn and saved. Those of the papers are WIDTH inches wide, the text width there, so that 8 or 9 points are what is
printed. Every map S(d) has its own colours, from 0 to its maximum.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from postprocess.command_line import output_file
from postprocess.connectivity import binomial_histogram, connection_histogram
from postprocess.masks import input_images
from postprocess.seeds import Seeds, mean_and_sd
from sifting.errors import RunDirectoryError
from sifting.network.plates import Shape

WIDTH = 7.2  # inches
SMALL = 8  # points
MOST_BINS = 60
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
MAP_COLOURS = "magma"
RESOLUTION = 150  # dots per inch
SCREEN_RESOLUTION = 80  # in a notebook
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


class Line(NamedTuple):
    """How one experiment is drawn; markers and dashes tell lines apart where colours do not."""

    colour: str
    marker: str
    style: str

    @property
    def look(self) -> dict[str, Any]:
        """As keywords of Axes.plot."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.style}


# Colours of Okabe and Ito without yellow, which is faint on white.
LINES = tuple(
    Line(*line)
    for line in (
        (BLUE, "o", "-"),
        (ORANGE, "^", "-"),
        (GREEN, "D", "-"),
        ("#CC79A7", "v", "-"),
        ("#56B4E9", "<", "--"),
        ("#E69F00", ">", "--"),
        ("#000000", "P", "--"),
        (GREY, "X", ":"),
        (BLUE, "d", ":"),
        (ORANGE, "h", ":"),
    )
)


# --- figures


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Fonts and lines of all figures, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # all but the backend
        matplotlib.rcParams.update(_STYLE)
        yield


class Shown(Figure):
    """A figure that a notebook shows at the end of a cell, without pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=SCREEN_RESOLUTION)
        return file.getvalue()


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of so many inches on the Agg canvas; at the text width its margins are narrow."""
    figure = Shown(figsize=(width, height), dpi=RESOLUTION, layout="constrained")
    FigureCanvasAgg(figure)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    w_pad, h_pad = (0.05, 0.05) if width == WIDTH else (0.12, 0.1)  # inches
    layout.set(w_pad=w_pad, h_pad=h_pad)
    return figure


def sub_figures(figure: FigureBase, heights: Sequence[float] = (1,), widths: Sequence[float] = (1,)) -> list[SubFigure]:
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


def letter(ax: Axes, name: str, text: str = "") -> None:
    """The panel's letter, bold, and a title behind it."""
    ax.set_title(f"$\\bf{{{name}}}$  {text}" if text else f"$\\bf{{{name}}}$", fontsize=9)


def corner_letter(ax: Axes, name: str) -> None:
    """The panel's letter beside the upper left corner, where the title has other words."""
    ax.annotate(name, (0, 1), (-26, 4), xycoords="axes fraction", textcoords="offset points", weight="bold", ha="right")


# --- curves


def curve_panel(
    ax: Axes, x: np.ndarray | Sequence[float], mean: np.ndarray, low: np.ndarray, high: np.ndarray, **look: Any
) -> None:
    """One curve with a band around it; points that are nan are left out.

    Args:
        x, mean, low, high: float [points], in the units of the axes; low and high, of the band, may be nan.
        look: of the curve, as of Axes.plot.
    """
    known = np.isfinite(mean)
    x, mean, low, high = (np.asarray(values)[known] for values in (x, mean, low, high))
    (line,) = ax.plot(x, mean, **({"marker": "o", "color": BLUE} | look))
    if np.isfinite(low).any():
        ax.fill_between(x, low, high, where=np.isfinite(low), color=line.get_color(), alpha=0.2, linewidth=0)


def mean_panel(ax: Axes, x: np.ndarray | Sequence[float], mean: np.ndarray, sd: np.ndarray, **look: Any) -> None:
    """The same with a band of one standard deviation."""
    curve_panel(ax, x, mean, mean - sd, mean + sd, **look)


def density_curve(
    ax: Axes, seeds: Seeds, values: np.ndarray | None = None, line: Line = LINES[0], label: str = ""
) -> dict[str, Any]:
    """Mean and s.d. over the runs against u, in percent, on a log axis with the dense network on the left.

    Only rounds that all runs have, since a mean over fewer of them would jump where a run ends.

    Args:
        values: float [rounds, runs], fractions; default: the best validation accuracy, whose band ends at 0 and 100 %.

    Returns:
        For the JSON.
    """
    rows = np.isin(seeds.rounds, seeds.common)
    shown = (seeds.accuracy if values is None else values)[rows]
    mean, sd = mean_and_sd(shown)
    low, high = mean - sd, mean + sd
    if values is None:
        low, high = np.clip((low, high), 0, 1)
    look = line.look | {"markersize": 3, "linewidth": 1.2, "label": label}
    curve_panel(ax, 100 * seeds.u[rows], 100 * mean, 100 * low, 100 * high, **look)
    ylabel = "best validation accuracy [%]" if values is None else "gain in accuracy [%]"
    density_axis(ax, ylabel)
    log_ticks(ax.xaxis)
    return {"round": seeds.common, "u": seeds.u[rows], "mean": mean, "sd": sd, "runs": shown}


def density_axis(ax: Axes, ylabel: str = "best validation accuracy [%]") -> None:
    """u in percent on a log axis, the dense network on the left."""
    ax.set_xscale("log")
    ax.xaxis.set_inverted(True)
    plain_numbers(ax.xaxis)
    ax.set(xlabel="weights left, u [%]", ylabel=ylabel)


def log_ticks(axis: Axis) -> None:
    """On a log axis 1, 2 and 5 of each decade, or the powers of ten where there are many."""
    low, high = axis.get_data_interval()
    wide = high > 30 * low
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.set_minor_locator(LogLocator(subs=range(2, 10)) if wide else NullLocator())


def plain_numbers(axis: Axis) -> None:
    """On a log axis 0.1 instead of a power, and nothing between the ticks."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(lambda value, _: "")


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
    ax.xaxis.set_major_locator(whole_numbers())
    ax.set(xlabel="pruning round", ylabel=ylabel)


# --- maps, histograms, plates


def map_panel(
    ax: Axes,
    counts: np.ndarray,
    title: str = "",
    same: bool = True,
    labels: bool = False,
    large: bool = False,
    bar: bool = False,
) -> dict[str, Any]:
    """A map S(d), Fig. 2b of P&B: colours from 0 to its maximum, dy downwards as in an image.

    Args:
        counts: int [2S+1, 2S+1], indexed [dy + S, dx + S].
        same: it is S_sc: d = 0 is left out, and grey.
        labels: of the axes; large panels always have them.
        bar: draw the colour bar.

    Returns:
        For the JSON: the map as it is drawn, without the outermost rows and columns, S_sc without d = 0; its maximum.
    """
    shown = counts[1:-1, 1:-1].astype(float)  # no displacement reaches the outermost ones
    if same:
        shown[len(shown) // 2, len(shown) // 2] = np.nan
    reach = len(shown) / 2
    image = ax.imshow(
        shown,
        cmap=matplotlib.colormaps[MAP_COLOURS].with_extremes(bad="#808080"),
        vmin=0,
        vmax=max(np.nanmax(shown, initial=0), 1),
        extent=(-reach, reach, reach, -reach),
        interpolation="nearest",
    )
    half = len(counts) // 4
    ticks = [-half, 0, half] if large else [-half, half]
    ax.set(xticks=ticks, yticks=ticks)
    if labels or large:
        ax.set(xlabel="$d_x$ [pixels]", ylabel="$d_y$ [pixels]")
    if not large:
        ax.tick_params(labelsize=7, length=2, pad=1)
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, fontsize=SMALL, loc="center")
    if bar:
        colour_bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, label="pairs")
        colour_bar.outline.set_visible(False)
        colour_bar.ax.yaxis.set_major_locator(MaxNLocator(4))
        assert isinstance(colour_bar.formatter, ScalarFormatter)
        colour_bar.formatter.set_powerlimits((-3, 4))
    return {"map": shown, "maximum": np.nanmax(shown)}


def connections_panel(
    ax: Axes, connections: np.ndarray, inputs: int, colour: str = BLUE, legend: bool = False
) -> dict[str, Any]:
    """Histogram of C_in on a log axis, with the binomial of random pruning dashed.

    Bins are 2 connections wide; without a legend, in small panels, the multiple of 2 that leaves at most MOST_BINS.

    Args:
        connections: int [nodes].
        inputs: n_0, inputs of the layer.

    Returns:
        For the JSON: edges, nodes, and the average n_0 u.
    """
    density = connections.mean() / inputs
    width = 2 if legend else 2 * max(1, -(-int(np.ptp(connections)) // (2 * MOST_BINS)))
    edges, nodes = connection_histogram(connections, width)
    ax.stairs(nodes, edges, fill=True, color=colour, alpha=0.85, label="nodes")
    highest = nodes.max()
    if 0 < density < 1:
        # The binomial over its own range, which a narrow histogram may not cover.
        spread = 4 * np.sqrt(inputs * density * (1 - density))
        low, high = (max(inputs * density + sign * spread, 0) for sign in (-1, 1))
        grid = width * np.arange(int(low) // width, int(high) // width + 2)
        expected = binomial_histogram(grid, inputs, density, len(connections))
        ax.plot(grid[:-1] + width / 2, expected, "--", color="black", linewidth=1, label="random (binomial)")
        highest = max(highest, expected.max())
        if legend:
            ax.legend(loc="upper right")
    count_axis(ax, highest, small=not legend)
    if legend:
        ax.set(xlabel="connections of a node, $C_{in}$", ylabel="nodes")
    return {"edges": edges, "nodes": nodes, "n0_u": inputs * density}


def count_axis(ax: Axes, highest: float, small: bool = True) -> None:
    """A log axis of numbers of nodes, over C_in."""
    ax.set_yscale("log")
    ax.set_ylim(0.5, 3 * highest)
    plain_numbers(ax.yaxis)
    if small:
        ax.tick_params(labelsize=7)
        ax.locator_params(axis="x", nbins=4)
    else:
        ax.xaxis.set_major_locator(whole_numbers())


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


def mask_images(mask: np.ndarray, shape: Shape | None = None) -> np.ndarray:
    """Binary masks [n_0, nodes] as images, float32 [nodes, height, width, channels]."""
    return input_images((np.asarray(mask) != 0).astype(np.float32), shape)


def in_colours(image: np.ndarray) -> np.ndarray:
    """An image [height, width, channels] as imshow takes it: of other than 3 channels the mean, in grey."""
    return image if image.shape[-1] == 3 else image.mean(axis=-1)


def whole_numbers() -> MaxNLocator:
    """Ticks of an axis of rounds or connections."""
    return MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10])


def percent(fraction: float) -> str:
    """Three digits: 4.04, 0.973, 100."""
    return f"{100 * fraction:.3g}"
