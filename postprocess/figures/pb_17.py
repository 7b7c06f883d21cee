"""P&B Fig. 17: ten semantic and ten random classes of the same images.

a: sample images, each column a semantic class, each row a random class. b: gain in best validation accuracy over the
dense network; dashed: the u of c and d. c: C_in with the binomial of random pruning dashed, d: S_sc, at u of about
0.7 % (round 14).

Choices. a has the first training image of each pair of classes, black where there is none. c and d pool the nodes of
all runs.
"""

import numpy as np
from matplotlib.figure import Figure

from postprocess.figures import base, drawing, panels
from postprocess.figures.shown import show_roles
from postprocess.masks import image_plate, input_images
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError

ROLES = {"semantic": "inputs/pb/classes_semantic.in", "random": "inputs/pb/classes_random.in"}
SEEDS = 4
SMALL_SEEDS = 2
NAMES = {"semantic": "10 semantic classes", "random": "10 random classes"}
DENSITY = 0.007


def draw(runs: base.Runs, options: base.Options) -> tuple[Figure, base.Numbers]:
    shown = show_roles(runs, options, NAMES, DENSITY)
    semantic, random = (base.load_images(runs[role][0], options) for role in ROLES)
    rows = sample_rows(semantic, random)
    figure = drawing.new_figure(8.9)
    above, below = drawing.sub_figures(figure, heights=(5.4, 3.5))
    samples = above.subplots()
    tiles = input_images(semantic.images[np.maximum(rows.ravel(), 0)].T, semantic.shape) / 255
    tiles[rows.ravel() < 0] = 0
    drawing.plate_panel(samples, image_plate(tiles, columns=rows.shape[1]))
    drawing.letter(samples, "a", "columns: semantic, rows: random classes")
    left, right = drawing.sub_figures(below, widths=(1, 1.3))
    gain = left.subplots()
    found = {"a": {"images": rows}, "b": panels.gains(gain, shown)}
    drawing.letter(gain, "b")
    return figure, found | {"cd": panels.columns(right, shown, {"C_in": "c", "S_sc": "d"})}


def sample_rows(semantic: ImageSet, random: ImageSet) -> np.ndarray:
    """The first training image of each random (rows) and semantic class (columns); -1 where there is none.

    Raises:
        DataError: the two do not have the same images.
    """
    if semantic.images.shape != random.images.shape or not np.array_equal(semantic.images[:100], random.images[:100]):
        raise DataError("the runs on semantic and random classes have other images; accepted: the same")
    rows = np.full((random.classes, semantic.classes), -1)
    backwards = np.arange(len(semantic.labels))[::-1]  # so that the first one stays
    rows[random.labels[backwards], semantic.labels[backwards]] = backwards
    return rows
