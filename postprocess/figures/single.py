"""What P&B Fig. 20, 21 and 22 share: one experiment on other images, its curve, maps and masks in the best round.

Maps pool the nodes of all runs, masks are of the first. The round is the best one, or --round.
"""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from postprocess.figures import base, drawing
from postprocess.locality import displacement_maps
from postprocess.seeds import Seeds, pooled_mask, read_image_seeds
from sifting.network.rounds import Round
from sifting.runs.directory import RunDirectory


def shown_rounds(runs: Sequence[RunDirectory], options: base.Options) -> tuple[Seeds, base.Shown, list[Round]]:
    """The experiment, the round that is shown, and that round of every run."""
    curve = read_image_seeds(runs)
    place = base.shown_round(curve, options)
    return curve, place, curve.read(place.number)


def curve_panel(ax: Axes, curve: Seeds, best: int) -> base.Numbers:
    """Best validation accuracy against u, the shown round marked by a square."""
    drawing.curve_with_best(ax, curve, curve.mean, curve.sd, drawing.LINES[0], "IMP", best)
    drawing.density_axis(ax)
    return curve.numbers()


def map_panels(axes: Mapping[str, Axes], rounds: Sequence[Round]) -> base.Numbers:
    """S_sc, S_dc or both, by name."""
    maps = displacement_maps(pooled_mask(rounds))
    found = {}
    for name, ax in axes.items():
        same = name == "S_sc"
        counts = maps.same if same else maps.different
        found[name] = drawing.map_panel(ax, counts, "$S_{sc}$" if same else "$S_{dc}$", same, labels=True)
    return found
