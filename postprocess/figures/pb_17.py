"""P&B Fig. 17: ten semantic and ten random classes of the same images.

a: sample images, each column a semantic class, each row a random class. b: gain in best validation accuracy over the
dense network; dashed: the u of c and d. c: C_in with the binomial of random pruning dashed, d: S_sc, at u of about
0.7 % (round 14).

Choices. a has the first training image of each pair of classes, black where there is none. c and d pool the nodes of
all runs.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing
from postprocess.figures.tasks import gain_panel, read_tasks, task_columns
from postprocess.masks import image_plate, input_images
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError

ROLES = {"semantic": "inputs/pb/classes_semantic.in", "random": "inputs/pb/classes_random.in"}
NEEDS_IMAGES = True
SEEDS = 4
SMALL_SEEDS = 2
LABELS = {"semantic": "10 semantic classes", "random": "10 random classes"}
DENSITY = 0.007


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    curves, shown, lines = read_tasks(runs, options, ROLES, DENSITY)
    semantic, random = (base.load_images(runs[role][0], options) for role in ROLES)
    rows = sample_rows(semantic, random)
    figure = drawing.new_figure(6.8)
    above, below = drawing.sub_figures(figure, heights=(3, 3.8))
    samples, gain = above.subplots(1, 2)
    tiles = input_images(semantic.images[np.maximum(rows.ravel(), 0)].T) / 255
    tiles[rows.ravel() < 0] = 0
    drawing.plate_panel(samples, image_plate(tiles, columns=rows.shape[1]))
    drawing.letter(samples, "a", "columns: semantic, rows: random classes")
    found = {"a": {"images": rows}, "b": gain_panel(gain, curves, LABELS, lines, DENSITY)}
    drawing.letter(gain, "b")
    colours = {role: line.colour for role, line in lines.items()}
    found["cd"] = task_columns(below, curves, shown, LABELS, {"C_in": "c", "S_sc": "d"}, colours)
    return figure, found


def sample_rows(semantic: ImageSet, random: ImageSet) -> np.ndarray:
    """The first training image of each random (rows) and semantic class (columns); -1 where there is none.

    Raises:
        DataError: the two do not have the same images.
    """
    if semantic.images.shape != random.images.shape or not np.array_equal(semantic.images[:100], random.images[:100]):
        raise DataError("the runs on semantic and random classes have other images; accepted: the same")
    pair = random.labels.astype(np.int64) * semantic.classes + semantic.labels
    rows = np.full(random.classes * semantic.classes, -1)
    found, first = np.unique(pair, return_index=True)
    rows[found] = first
    return rows.reshape(random.classes, semantic.classes)
