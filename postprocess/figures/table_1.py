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
from sifting.training.plan import recorded_experiment

ROLES = {"semantic": "inputs/pb/classes_semantic.in"}
# The paper's numbers. Its lines add up to two images less than its total.
CLASSES = (118, 100, 95, 85, 104, 111, 99, 95, 96, 97)
IMAGES = (147873, 129728, 122895, 110034, 131965, 142423, 126603, 122661, 122701, 124282)
TOTAL_IMAGES = 1281167
_ROW, _LETTER, _COLUMN = 0.27, 0.07, 1.05  # inches: the height of a line, the widths of a letter and a column


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

    width = _LETTER * max(map(len, numbers["names"])) + _COLUMN * (len(columns) + 1)
    figure = drawing.new_figure(_ROW * len(rows), width)
    ax = figure.subplots()
    ax.set_axis_off()
    shown = ax.table(rows, cellLoc="right", bbox=(0, 0, 1, 1), edges="")  # type: ignore[arg-type]  # rows of text
    shown.auto_set_font_size(False)
    shown.set_fontsize(drawing.SMALL)
    shown.auto_set_column_width(list(range(len(rows[0]))))
    for (row, column), cell in shown.get_celld().items():
        cell.visible_edges = "B" if row in (0, len(rows) - 2) else "open"
        if column < 2:
            cell.set_text_props(ha="left")
    return figure
