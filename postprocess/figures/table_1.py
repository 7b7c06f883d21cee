"""P&B Table 1: how many classes and training images are in each of the ten semantic classes.

For ImageNet32 and 64 the numbers of the paper stand beside those of the run's images; other data sets have classes of
their own, of which the paper says nothing.

Choices. Images are those that the first run trains on, after data_ratio. Names are those of the paper, "rough".
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from sifting import datasets
from sifting.datasets.reclass import class_map
from sifting.datasets.semantic import IMAGENET_NAMES
from sifting.errors import RunDirectoryError
from sifting.training.api import recorded_experiment

ROLES = {"semantic": "inputs/pb/classes_semantic.in"}
# The paper's numbers. Its lines add up to two images less than its total.
CLASSES = (118, 100, 95, 85, 104, 111, 99, 95, 96, 97)
IMAGES = (147873, 129728, 122895, 110034, 131965, 142423, 126603, 122661, 122701, 124282)
TOTAL_IMAGES = 1281167
_ROW, _NUMBER, _LETTER, _COLUMN, _MARGIN = 0.2, 0.3, 0.07, 1.05, 0.15  # inches: of a line, the number of a class, ...


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, dict[str, Any]]:
    run = runs["semantic"][0]
    images = base.load_images(run, options)
    experiment = recorded_experiment(run, options.assignments)
    if experiment is None or experiment.data.reclass.rule != "semantic":
        raise RunDirectoryError(
            f"{run}: does not learn semantic classes; table-1 needs for semantic: "
            f"python -m sifting.run {ROLES['semantic']}"
        )
    facts = datasets.facts(experiment.data)
    of_class = class_map(experiment.data.reclass, facts.classes, facts.semantic)
    found: dict[str, Any] = {
        "names": images.class_names,
        "classes": np.bincount(of_class, minlength=images.classes),
        "images": np.bincount(images.labels, minlength=images.classes),
        "total": {"classes": len(of_class), "images": len(images.labels)},
    }
    if images.class_names == IMAGENET_NAMES:
        found["paper"] = {
            "classes": CLASSES,
            "images": IMAGES,
            "total": {"classes": sum(CLASSES), "images": TOTAL_IMAGES},
        }
    return table(found, experiment.data.dataset), found


def table(numbers: Mapping[str, Any], data_set: str) -> Figure:
    """A line a class and one of totals, as text; the paper's numbers, where there are any, before those of the run.

    Args:
        numbers: as in the JSON: "names", and "classes", "images", of one number a name, and "total", of both. "paper"
            may have these three, too.
    """
    sources = ({"P&B": numbers["paper"]} if "paper" in numbers else {}) | {data_set: numbers}
    columns = {f"{kind}\n{name}": source[kind] for kind in ("classes", "images") for name, source in sources.items()}
    rows = [["#", "class", *columns]]
    for place, (name, *counts) in enumerate(zip(numbers["names"], *columns.values(), strict=True)):
        rows.append([str(place), name, *map(str, counts)])
    totals = [source["total"][kind] for kind in ("classes", "images") for source in sources.values()]
    rows.append(["", "TOTAL", *map(str, totals)])

    names = _NUMBER + _LETTER * max(map(len, numbers["names"]))
    width, height = names + _COLUMN * len(columns) + 2 * _MARGIN, _ROW * (len(rows) + 1) + 2 * _MARGIN
    figure = drawing.new_figure(height, width)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))  # in inches, downwards
    ax.set_axis_off()
    bottom = _MARGIN + _ROW  # of the titles' first line
    for place, row in enumerate(rows):
        bottom += _ROW
        if place in (1, len(rows) - 1):
            ax.plot([_MARGIN, width - _MARGIN], [bottom - _ROW] * 2, color="black", linewidth=0.8)
        for column, text in enumerate(row):
            left = column < 2
            x = _MARGIN + (_NUMBER * column if left else names + _COLUMN * (column - 1))
            ax.text(x, bottom - 0.05, text, ha="left" if left else "right", va="baseline", fontsize=drawing.SMALL)
    return figure
