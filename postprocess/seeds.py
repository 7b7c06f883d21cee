"""The runs of one experiment that differ in the seed, side by side: what their rounds say, and statistics over them.

Figures, tables and claims walk over runs here: every round of every run is read once.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from postprocess.command_line import plain
from sifting.architecture import LayerSpec
from sifting.errors import RunDirectoryError
from sifting.network.plates import Shape
from sifting.network.rounds import Round, density, layer_counts
from sifting.runs.directory import RunDirectory

AFTER_TEN = 0.7**10  # density after ten prunings of 30 %, s = 97.2 %, where Redman et al. compare networks


class Range(NamedTuple):
    """Statistics over the runs, float64 [rounds] each; nan where no run has a value."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def nanmean(values: np.ndarray) -> NDArray[np.float64]:
    """Over the last axis, leaving nan out; nan, without a warning, if all is."""
    return mean_and_sd(values)[0]


def mean_and_sd(values: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Over the last axis, leaving nan out; the sample standard deviation is nan for fewer than two values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nan says it
        return np.nanmean(values, axis=-1), np.nanstd(values, axis=-1, ddof=1)


def mean_and_range(values: np.ndarray) -> Range:
    """Over the last axis, leaving nan out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nan says it
        return Range(*(over(values, axis=-1) for over in (np.nanmean, np.nanmin, np.nanmax)))


def statistics(values: np.ndarray) -> dict[str, Any]:
    """Of float64 [runs], for JSON: mean, s.d., range and the values; what is not defined is None."""
    mean, low, high = mean_and_range(values)
    found: dict[str, Any]
    found = plain({"mean": mean, "sd": mean_and_sd(values)[1], "min": low, "max": high, "runs": values})
    return found


@dataclass(frozen=True, eq=False)
class Seeds:
    """What the rounds of an experiment say without looking at single weights; nan where a run has ended.

    Attributes:
        rounds: numbers, those that at least one run has.
        common: those that all runs have.
        density: u, counted over all prunable layers, float64 [rounds, runs].
        accuracy: the best validation accuracy, float64 [rounds, runs].
        layer_density: u of each prunable layer, float64 [rounds, runs, layers].
        specs: the architecture.
        runs: where the rounds are.
        image_shape: of the images that layer 1 looks at, see Round.image_shape.
    """

    rounds: tuple[int, ...]
    common: tuple[int, ...]
    density: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    layer_density: NDArray[np.float64]
    specs: tuple[LayerSpec, ...]
    runs: tuple[RunDirectory, ...] = ()
    image_shape: Shape | None = None

    @property
    def u(self) -> NDArray[np.float64]:
        """Mean over the runs, float64 [rounds]."""
        return mean_and_sd(self.density)[0]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Of the accuracy, over the runs, float64 [rounds]."""
        return mean_and_sd(self.accuracy)[0]

    @property
    def sd(self) -> NDArray[np.float64]:
        """Sample standard deviation of the accuracy over the runs, float64 [rounds]; nan for a single run."""
        return mean_and_sd(self.accuracy)[1]

    @property
    def gain(self) -> NDArray[np.float64]:
        """Accuracy minus that of the same run's dense round, float64 [rounds, runs]."""
        gain: NDArray[np.float64] = self.accuracy - self.accuracy[:1]
        return gain

    @property
    def best(self) -> int:
        """The round with the best mean accuracy, of those that all runs have; the first of equal ones."""
        return max(self.common, key=self.accuracy_of)

    def u_of(self, number: int) -> float:
        return float(self.u[self.rounds.index(number)])

    def accuracy_of(self, number: int) -> float:
        return float(self.mean[self.rounds.index(number)])

    def nearest(self, u: float) -> int:
        """The round, of those that all runs have, whose density is nearest to u on a log scale."""
        return min(self.common, key=lambda number: abs(np.log(self.u_of(number) / u)))

    def table(self, values: Mapping[tuple[int, int], float]) -> NDArray[np.float64]:
        """Values by row and column as float64 [rounds, runs]; nan where there is none."""
        table = np.full(self.density.shape, np.nan)
        for place, value in values.items():
            table[place] = value
        return table


def pooled_mask(rounds: Sequence[Round]) -> NDArray[np.uint8]:
    """First-layer masks of several runs side by side, uint8 [inputs, runs * nodes], 1 where connected."""
    return np.concatenate([(result.masks[0].W != 0).astype(np.uint8) for result in rounds], axis=1)


def common_rounds(runs: Sequence[RunDirectory]) -> list[int]:
    """Numbers of the rounds that all runs have. Raises RunDirectoryError: there are none."""
    stored = [run.rounds() for run in runs]
    for run, numbers in zip(runs, stored, strict=True):
        if not numbers:
            raise RunDirectoryError(f"{run}: holds no rounds; accepted: a run with files {run.round_path(0).name}, ...")
    common = sorted(set(stored[0]).intersection(*stored))
    if not common:
        raise RunDirectoryError(f"{', '.join(map(str, runs))}: have no round in common")
    return common


def read_seeds(runs: Sequence[RunDirectory], look: Callable[[int, int, Round], object] | None = None) -> Seeds:
    """Every round of every run, read once.

    Args:
        look: also called with each round, after its row (of the rounds) and column (of the runs).

    Raises:
        DataError: a damaged round. RunDirectoryError: no rounds, none in common, or runs of different architectures.
    """
    common, stored = common_rounds(runs), [run.rounds() for run in runs]
    rounds = sorted(set().union(*stored))
    u, accuracy = np.full((2, len(rounds), len(runs)), np.nan)
    layers = np.empty((*u.shape, 0))
    specs: tuple[LayerSpec, ...] = ()
    shape: Shape | None = None
    for column, run in enumerate(runs):
        for number in stored[column]:
            result, row = run.read_round(number), rounds.index(number)
            if not specs:
                specs, shape = result.specs, result.image_shape
                layers = np.full((*u.shape, sum(spec.prunable for spec in specs)), np.nan)
            if result.specs != specs:
                raise RunDirectoryError(f"{run}: has another architecture than {runs[0]}; accepted: seeds of one run")
            u[row, column] = density(result.masks, result.specs)
            accuracy[row, column] = best_accuracy(result)
            layers[row, column] = [layer.density for layer in layer_counts(result.masks, specs) if layer.prunable]
            if look is not None:
                look(row, column, result)
    return Seeds(tuple(rounds), tuple(common), u, accuracy, layers, specs, tuple(runs), shape)


def best_accuracy(result: Round) -> float:
    """The best validation accuracy of a round; nan without validation."""
    return 1 - float(result.best_validation_error) if result.validation_errors.size else np.nan


# --- layer by layer


def pruned_layer(seeds: Seeds) -> np.ndarray:
    """Which layer each round of the first run pruned, from 0: the last one that is not dense; 0 for the dense round."""
    pruned = seeds.layer_density[:, 0] < 1
    return np.where(pruned.any(axis=1), pruned.shape[1] - 1 - np.argmax(pruned[:, ::-1], axis=1), 0)


def good_rounds(seeds: Seeds, layers: np.ndarray) -> dict[int, int]:
    """Of each layer, from 0, the last round that pruned it and is no worse than the dense one; layers without: none.

    Args:
        layers: of pruned_layer.
    """
    rows = zip(seeds.rounds[1:], layers[1:], seeds.accuracy[1:, 0], strict=True)
    return {int(layer): number for number, layer, accuracy in rows if accuracy >= seeds.accuracy[0, 0]}
