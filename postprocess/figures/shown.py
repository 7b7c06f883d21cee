"""A role of a figure: its runs, and the round of them that is shown.

Several runs are seeds of one experiment (postprocess.seeds). Curves are means over them, maps and histograms pool the
nodes of all of them, plates and images show the first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from postprocess.connectivity import input_connections
from postprocess.figures.base import FAR, Options, Runs
from postprocess.figures.drawing import LINES, Line, percent
from postprocess.locality import DisplacementMaps, displacement_maps
from postprocess.seeds import Seeds, pooled_mask, read_seeds
from sifting.errors import RunDirectoryError
from sifting.network.plates import Shape
from sifting.network.rounds import Round
from sifting.runs.directory import RunDirectory


@dataclass(frozen=True, eq=False)
class Shown:
    """One round of all runs of a role.

    Attributes:
        seeds: all rounds of the runs.
        number: of the round.
        wanted: the density that the paper shows, None where it names none.
        name, line: what the role is called, and how it is drawn.
    """

    seeds: Seeds
    number: int
    wanted: float | None = None
    name: str = ""
    line: Line = LINES[0]

    @property
    def u(self) -> float:
        """Density of the round, counted."""
        return self.seeds.u_of(self.number)

    @property
    def accuracy(self) -> float:
        """The best validation accuracy, mean over the runs."""
        return self.seeds.accuracy_of(self.number)

    @cached_property
    def rounds(self) -> list[Round]:
        """The round of every run."""
        return [run.read_round(self.number) for run in self.seeds.runs]

    @property
    def first(self) -> Round:
        return self.rounds[0]

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of the images that layer 1 looks at.

        Raises:
            RunDirectoryError: it looks at none.
        """
        if (shape := self.seeds.image_shape) is None:
            raise RunDirectoryError(f"{self.seeds.runs[0]}: its first layer does not look at images pixel by pixel")
        return shape

    @property
    def first_mask(self) -> np.ndarray:
        """W mask of layer 1 of the first run, [n_0, nodes]; raises as `shape`."""
        return self.first.masks[0].W.reshape(math.prod(self.shape), -1)

    @cached_property
    def mask(self) -> np.ndarray:
        """Masks of layer 1 of all runs side by side, uint8 [n_0, runs * nodes]; raises as `shape`."""
        return pooled_mask(self.rounds).reshape(math.prod(self.shape), -1)

    @cached_property
    def connections(self) -> np.ndarray:
        """C_in of their nodes, int64 [runs * nodes]."""
        return input_connections(self.mask)

    @property
    def layer_u(self) -> float:
        """Density of layer 1."""
        return float(self.connections.mean() / len(self.mask))

    @cached_property
    def maps(self) -> DisplacementMaps:
        """S_sc and S_dc, summed over their nodes."""
        return displacement_maps(self.mask, self.shape)

    @property
    def paper(self) -> str:
        """Such as ' (paper: 0.3 %)', where the density is far from it; else empty."""
        far = self.wanted is not None and not 1 / FAR < self.u / self.wanted < FAR
        return f" (paper: {percent(self.wanted or 0)} %)" if far else ""

    @property
    def label(self) -> str:
        """Such as 'u = 4.04 %'."""
        return f"u = {percent(self.u)} %{self.paper}"

    @property
    def title(self) -> str:
        """The label in two lines, where it would be long."""
        return self.label.replace(" (", "\n(")

    def numbers(self) -> dict[str, Any]:
        """For the JSON."""
        return {"round": self.number, "u": self.u, "paper_u": self.wanted}


def show(runs: Sequence[RunDirectory], options: Options, wanted: float | None = None) -> Shown:
    """At the round that the user names, else the one nearest to the paper's density, else the best one.

    Raises:
        RunDirectoryError: the runs do not all have the round that the user names; else as read_seeds.
    """
    seeds = read_seeds(runs)
    number = options.round
    if number is None:
        number = seeds.best if wanted is None else seeds.nearest(wanted)
    elif number not in seeds.common:
        raise RunDirectoryError(f"--round {number}: accepted: one of {', '.join(map(str, seeds.common))}")
    return Shown(seeds, number, wanted)


def show_roles(runs: Runs, options: Options, names: Mapping[str, str], wanted: float | None = None) -> dict[str, Shown]:
    """Every role of `names`, in its order and with a line of its own."""
    return {
        role: replace(show(runs[role], options, wanted), name=name, line=line)
        for (role, name), line in zip(names.items(), LINES, strict=False)
    }


def at_densities(shown: Shown, densities: Sequence[float]) -> list[Shown]:
    """The same at the rounds nearest to the paper's densities. A run that ends early has fewer: of several densities
    that lead to the same round, the nearest keeps it."""
    kept: dict[int, Shown] = {}
    for wanted in densities:
        one = replace(shown, number=shown.seeds.nearest(wanted), wanted=wanted)
        kept[one.number] = min(kept.get(one.number, one), one, key=_distance)
    return list(kept.values())


def _distance(shown: Shown) -> float:
    return abs(math.log(shown.u / (shown.wanted or shown.u)))
