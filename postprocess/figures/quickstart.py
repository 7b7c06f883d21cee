"""The first figure: receptive fields emerge on images, and do not on their Gaussian clone.

`python -m postprocess.figures.quickstart RUN_DIR CLONE_RUN_DIR` draws what inputs/quickstart.in (left) and
inputs/quickstart_clone.in (right) left behind: the masks of the most connected nodes and S_sc in the last round that
both have, and in between L3 and RF width over the rounds. It is Fig. 3 of Redman et al. 2024, small.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from postprocess.command_line import Parser, run_command
from postprocess.figures import base, drawing
from postprocess.locality import displacement_maps
from postprocess.masks import mask_plate
from postprocess.receptive_field import unlocalised_width
from postprocess.seeds import common_rounds
from postprocess.summary import Summary, describe_round, summarise
from sifting.errors import RunDirectoryError
from sifting.runs.find import find_runs

ROLES = {"images": "inputs/quickstart.in", "clone": "inputs/quickstart_clone.in"}
_LOCAL, _NOT_LOCAL = 1.6, 1.2  # L3 from which on, and up to which, the headline takes sides
_NODES, _PLATE_COLUMNS = 32, 8
_COLOURS = (drawing.BLUE, drawing.ORANGE)


def draw_quickstart(images: Summary, clone: Summary) -> Figure:
    """Plates above; below them the map of either side and, between the maps, both curves."""
    figure = drawing.new_figure(7.8, 12)
    figure.suptitle(_headline(_at_shown(images, "locality"), _at_shown(clone, "locality")), fontsize=16, weight="bold")
    above, below = drawing.sub_figures(figure, heights=(1.08, 1))
    plates = above.subplots(1, 2)
    left, locality, width, right = below.subplots(1, 4, width_ratios=(1, 1.15, 1.15, 1))

    names = ("Images", "Gaussian clone")
    for summary, plate, same, name, colour in zip((images, clone), plates, (left, right), names, _COLOURS, strict=True):
        rf_width = _at_shown(summary, "rf_width")
        title = f"{name}: receptive fields {rf_width:.1f} pixels wide" if np.isfinite(rf_width) else name
        plate.set_title(title, fontsize=13, color=colour, weight="bold", loc="center")
        mask = summary.mask
        assert mask is not None  # the quickstart has a dense first layer
        drawing.plate_panel(plate, mask_plate(mask, count=_NODES, columns=_PLATE_COLUMNS, shape=images.image_shape))
        drawing.map_panel(same, displacement_maps(mask, images.image_shape).same, large=True)
        same.set_title("From one input of a node to\nanother: bright is frequent", color=colour)
    above.supxlabel(
        f"What the {_NODES} most connected hidden nodes still see in {describe_round(images)}: "
        "one square is one node, a pixel shines in the colour channels it is connected by.\n"
        "The Gaussian clone has, in each colour channel, the means and covariances of the images, "
        "and nothing beyond: no edges.",
        fontsize=9.5,
    )
    L3, flat = (
        "L3: share of pairs within 3 pixels,\nrelative to the dense network",
        unlocalised_width(images.image_shape),
    )
    for name, ax, title, ylabel, reference in (
        ("locality", locality, "Locality", L3, 1.0),
        ("rf_width", width, "Width of the receptive fields", "RF width [pixels]", flat),
    ):
        for summary, label, colour, marker in zip((images, clone), names, _COLOURS, "os", strict=True):
            drawing.mean_panel(ax, summary.rounds, *summary.mean_and_sd(name), label=label, color=colour, marker=marker)
        drawing.round_axis(ax, ylabel, reference, note_above=name == "rf_width")
        ax.set_title(title)
    locality.legend(loc="upper left")
    return figure


def _headline(images: float, clone: float) -> str:
    """The story, if these two values of L3 tell it."""
    if images >= _LOCAL and clone <= _NOT_LOCAL:
        return "Pruning makes local receptive fields emerge on images, not on their Gaussian clone"
    return "What pruning keeps: images, and their Gaussian clone"


def _at_shown(summary: Summary, name: str) -> float:
    """The mean over the runs in the round that is shown."""
    return float(summary.mean_and_sd(name)[0][summary.rounds.index(summary.shown)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.figures.quickstart", description="Images and clone, side by side.")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="the run on images")
    parser.add_argument("clone_run_dir", metavar="CLONE_RUN_DIR", help="the run on their Gaussian clone")
    parser.add_argument("--output", type=Path, metavar="FILE", default=Path("runs/quickstart.png"))
    return run_command(_quickstart_command, parser, arguments)


def _quickstart_command(options: argparse.Namespace) -> None:
    runs = {
        role: find_runs([folder]) for role, folder in zip(ROLES, (options.run_dir, options.clone_run_dir), strict=True)
    }
    base.check_runs("quickstart", ROLES, runs)
    shown = common_rounds([run for group in runs.values() for run in group])[-1]
    summaries = [summarise(group, shown) for group in runs.values()]
    for group, summary in zip(runs.values(), summaries, strict=True):
        if summary.image_shape is None:
            raise RunDirectoryError(f"{group[0]}: its first layer does not look at images")
    with drawing.figure_style():
        drawing.save_figure(draw_quickstart(*summaries), options.output)
    print(options.output)


if __name__ == "__main__":
    sys.exit(main())
