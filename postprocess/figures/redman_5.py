"""Redman Fig. 5: IMP prunes weights when their removal would most increase the non-Gaussianity of the preactivations.

A: how a cavity score is made: the preactivation of a node with all of its weights (top) and without one of them
(bottom); its kurtosis becomes more Gaussian (score < 0) or less (> 0). B: mean cavity score at round 0 of the weights
that are pruned in the same round. C: the same where every round starts, times N_W(n); dashed: the weights that are
pruned in round 8. Lines are means and shades go from minimum to maximum of the networks (three in the paper).

Choices. A is drawn from the first run, not by hand: where the last round starts, the node, among the 40 most connected
ones, and its weight with the largest score of either sign; the curve is the Gaussian of the same mean and s.d. B, C:
N_W(n) is counted, not N (1 - s)^n; weights that are never pruned are left out, as they have no round, and stand in the
JSON. All over at most 100 training images of each class.
"""

from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, SubFigure
from scipy.stats import kurtosis as kurtosis_of
from scipy.stats import norm

from postprocess.activations import layer_inputs
from postprocess.connectivity import input_connections, most_connected
from postprocess.figures import base, drawing, redman
from postprocess.figures.shown import show
from postprocess.kurtosis import IMAGES_PER_CLASS, first_of_each_class
from sifting.errors import RunDirectoryError
from sifting.network.plates import Shape
from sifting.network.statistics import ImageBlocks, cavity_scores
from sifting.runs.directory import RunDirectory

ROLES = {"imp": "inputs/redman/imp.in"}
SEEDS = 3
HIGHLIGHTED = 8
NODES, BINS = 40, 40


class Schematic(NamedTuple):
    """A node and one of its weights, where a round starts.

    Attributes:
        node, weight: indices; weight: of the input.
        with_weight, without_weight: lambda_i less its mean, float64 [images].
        kurtosis: of either, in this order.
        score: the cavity score of the weight.
        mask: bool [inputs], of the node.
    """

    node: int
    weight: int
    with_weight: np.ndarray
    without_weight: np.ndarray
    kurtosis: tuple[float, float]
    score: float
    mask: np.ndarray


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    role = show(runs["imp"], options)
    rounds = np.array(role.seeds.common)
    if len(rounds) < 2:
        raise RunDirectoryError(f"{runs['imp'][0]}: has a single round; accepted: runs that prune")
    shape = role.shape
    tables = redman.analysed(role, "cavity", options)
    mean, scaled = (scores(tables, rounds, name) for name in ("mean", "scaled"))

    figure = drawing.new_figure(3.1)
    left, middle, right = drawing.sub_figures(figure, widths=(1.15, 1, 1.35))
    shown = int(rounds[-1]) if options.round is None else role.number
    found = schematic(runs["imp"][0], shown, options)
    schematic_panels(left, found, shape)
    first, later = middle.subplots(), right.subplots()
    pruned_in = rounds[1:]
    below = redman.range_curve(first, pruned_in, mean[0], redman.LINES["imp"], "")
    first.ticklabel_format(axis="y", scilimits=(-3, 4))
    curves = []
    colours = matplotlib.colormaps["viridis_r"](np.linspace(0.15, 1, len(pruned_in)))  # also a grey print tells apart
    for n, colour in zip(rounds[:-1], map(to_hex, colours), strict=True):
        line = drawing.Line(colour, "o", "-")
        curves.append({"n": n} | redman.range_curve(later, pruned_in[n:], scaled[n, n:], line, str(n)))
    if HIGHLIGHTED in pruned_in:
        later.axvline(HIGHLIGHTED, color=drawing.GREY, linestyle="--", linewidth=1, zorder=0)
    later.legend(title="after n prunings", ncols=2, fontsize=7, title_fontsize=7, handlelength=1, columnspacing=0.8)
    for ax, letter, ylabel in (
        (first, "B", "mean cavity score, round 0"),
        (later, "C", "$N_W(n)$ × mean cavity score"),
    ):
        ax.axhline(0, color=drawing.GREY, linewidth=0.8, zorder=0)
        ax.set(xlabel="pruned in round", ylabel=ylabel)
        ax.tick_params(labelsize=drawing.SMALL)
        ax.xaxis.set_major_locator(drawing.whole_numbers())
        drawing.letter(ax, letter)
    left_over = [float(table[0]["mean"][-1]) for table in tables]
    about: base.Numbers = {"round": shown, "node": found.node, "weight": found.weight}
    about |= {"kurtosis": found.kurtosis, "score": found.score, "images": len(found.with_weight)}
    return figure, {"A": about, "B": below | {"never_pruned": left_over}, "C": curves}


def scores(tables: list[dict[Any, Any]], rounds: np.ndarray, name: str) -> np.ndarray:
    """What the weights score, by the round n where they are looked at and the round k of their pruning.

    Args:
        tables: of each run, the part "cavity" of postprocess.analyse: arrays by n, over the groups k = 0, 1, ...
        rounds: 0 to N, which all runs have.
        name: "mean" or "scaled".

    Returns:
        float64 [N + 1, N, runs], indexed [n, k - 1, run]; nan for k <= n.
    """
    return np.array([[[table[n][name][k] for table in tables] for k in rounds[1:]] for n in rounds])


def schematic(run: RunDirectory, number: int, options: base.Options) -> Schematic:
    """The weight with the largest cavity score of either sign, where a round starts."""
    rewind, mask = run.read_round(0).checkpoints[0], run.read_round(number).masks[0].W != 0
    images = base.load_images(run, options)
    rows = first_of_each_class(images.labels, IMAGES_PER_CLASS)
    inputs = layer_inputs(rewind, ImageBlocks(images.images, images.mean, rows))
    nodes = most_connected(input_connections(mask))[:NODES]
    W = rewind.parameters[0].W[:, nodes].astype(np.float64)
    found = cavity_scores(inputs, W, mask[:, nodes])
    if not np.isfinite(found).any():
        raise RunDirectoryError(f"round {number}: no weight of its {NODES} most connected nodes has a score")
    weight, place = np.unravel_index(np.nanargmax(np.abs(found)), found.shape)
    kept = mask[:, nodes[place]]
    without = kept & (np.arange(len(W)) != weight)
    values = np.concatenate([block @ (W[:, [place]] * np.stack([kept, without], axis=1)) for block in inputs])
    whole, rest = (values - values.mean(axis=0)).T
    kurtosis = (float(kurtosis_of(whole, fisher=False)), float(kurtosis_of(rest, fisher=False)))
    return Schematic(int(nodes[place]), int(weight), whole, rest, kurtosis, float(found[weight, place]), kept)


def schematic_panels(figure: SubFigure, found: Schematic, shape: Shape) -> None:
    """Above: the mask of the node and the histogram of lambda; below: the same without the weight, which is circled."""
    _, y, x = np.unravel_index(found.weight, shape)
    bound = max(np.abs(values).max() for values in (found.with_weight, found.without_weight))
    axes = figure.subplots(2, 2, width_ratios=(1, 1.5), sharex="col")
    names = ("$\\lambda_i$", "$\\lambda_i^{(-j)}$")
    for row, values, kurtosis, name in zip(
        axes, (found.with_weight, found.without_weight), found.kurtosis, names, strict=True
    ):
        mask = found.mask.copy()
        mask[found.weight] = row is axes[0]
        image = drawing.in_colours(drawing.mask_images(mask[:, None], shape)[0])
        row[0].imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        row[0].plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor="white", markeredgewidth=1.2)
        row[0].set(xticks=[], yticks=[], xlim=(-0.5, shape[2] - 0.5), ylim=(shape[1] - 0.5, -0.5))
        preactivation_panel(row[1], values, bound)
        row[1].set_title(f"{name}: kurtosis {kurtosis:.3f}", fontsize=drawing.SMALL, loc="center")
    drawing.letter(axes[0, 0], "A")
    axes[1, 0].set_xlabel(f"without $W_{{ij}}$:\nscore {found.score:+.3f}", fontsize=drawing.SMALL)
    axes[1, 1].set_xlabel("preactivation", fontsize=drawing.SMALL)


def preactivation_panel(ax: Axes, values: np.ndarray, bound: float) -> None:
    """Their density as a histogram, and the Gaussian with their s.d. as a line, from -bound to bound."""
    density, edges = np.histogram(values, BINS, (-bound, bound), density=True)
    ax.stairs(density, edges, fill=True, color=drawing.BLUE, alpha=0.7)
    at = np.linspace(-bound, bound, 200)
    ax.plot(at, norm.pdf(at, scale=values.std()), "--", color="black", linewidth=1)
    ax.set(yticks=[], xlim=(-bound, bound))
    ax.tick_params(labelsize=7)
