"""The picture at the top of README.md: masks of a few nodes over the rounds, on images and on their Gaussian clone.

    python tools/emergence.py RUN_DIR CLONE_RUN_DIR [--output docs/images/emergence.png]

The runs are those of `make quickstart`. Shown are the nodes that are most connected in the last round.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from postprocess.connectivity import input_connections, most_connected
from postprocess.figures import drawing
from postprocess.masks import mask_plate
from sifting.network.rounds import Round, density
from sifting.runs.find import find_runs

ROUNDS = (0, 2, 4, 6, 8, 10)
NODES = {"Images": 3, "Gaussian clone": 2}
COLOURS = (drawing.BLUE, drawing.ORANGE)
TILE, LEFT, TOP, GAP, MARGIN = 1.0, 0.4, 0.5, 0.1, 0.04  # inches


def draw(images: Sequence[Round], clone: Sequence[Round]) -> matplotlib.figure.Figure:
    """One column a round, one row a node."""
    width = LEFT + len(images) * TILE + MARGIN
    height = TOP + sum(NODES.values()) * TILE + GAP + MARGIN
    figure = matplotlib.figure.Figure(figsize=(width, height), facecolor="white")
    top = height - TOP
    for (name, count), colour, rounds in zip(NODES.items(), COLOURS, (images, clone), strict=True):
        middle = top - count * TILE / 2
        figure.text(
            LEFT / 2 / width, middle / height, name, color=colour, weight="bold", ha="center", va="center", rotation=90
        )
        nodes = most_connected(input_connections(rounds[-1].masks[0].W))[:count]
        for row, node in enumerate(nodes):
            for column, result in enumerate(rounds):
                left, bottom = LEFT + column * TILE, top - (row + 1) * TILE
                ax = figure.add_axes((left / width, bottom / height, (TILE - MARGIN) / width, (TILE - MARGIN) / height))
                ax.imshow(mask_plate(result.masks[0].W[:, [node]], count=1), interpolation="nearest")
                ax.set(xticks=[], yticks=[])
                for spine in ax.spines.values():
                    spine.set_color("#BBBBBB")
        top -= count * TILE + GAP
    for column, result in enumerate(images):
        u = 100 * density(result.masks, result.specs)
        text = "dense" if result.number == 0 else f"{result.number} prunings\n{u:.0f} % left"
        figure.text(
            (LEFT + (column + 0.5) * TILE) / width, (height - TOP + 0.08) / height, text, ha="center", fontsize=9.5
        )
    return figure


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run_dir")
    parser.add_argument("clone_run_dir")
    parser.add_argument("--output", type=Path, default=Path("docs/images/emergence.png"))
    options = parser.parse_args(arguments)
    runs = (find_runs([folder])[0] for folder in (options.run_dir, options.clone_run_dir))
    rounds = ([run.read_round(number) for number in ROUNDS] for run in runs)
    draw(*rounds).savefig(options.output, dpi=130)


if __name__ == "__main__":
    main(sys.argv[1:])
