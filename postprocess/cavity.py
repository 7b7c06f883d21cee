"""Cavity scores by the round in which a weight is pruned (Redman et al. 2024, Eq. 5 and 6, Fig. 5B and 5C).

Every first-layer weight of theta(t_rewind) * m(n), the start of round n, gets a score (network.statistics): negative if
the preactivation is more Gaussian without it. m(n) are the masks of round n, those that n prunings have left. A weight
is pruned in round k if m(k) is the first without it: Redman's round k.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from postprocess.activations import layer_inputs
from postprocess.kurtosis import rewind_point
from sifting.errors import DataError
from sifting.network.rounds import Round
from sifting.network.statistics import cavity_scores


@dataclass(frozen=True, eq=False)
class CavityTable:
    """Mean cavity scores, from every starting round, of the weights that are pruned in round k.

    Row n: scores of the weights that n prunings have left. Column k: pruned in round k, pooled over the nodes; the
    last column, N + 1 for masks of the rounds 0 to N: never pruned in these. Nothing left to score (k <= n): nan, 0.

    Attributes:
        mean: float64 [N + 1, N + 2], mean score; nan where no weight has one.
        scored: int64 [N + 1, N + 2], weights in that mean.
        left_out: int64 [N + 1, N + 2], weights without a score: with or without them lambda has zero variance.
        weights_left: int64 [N + 1], N_W(n), counted.
    """

    mean: NDArray[np.float64]
    scored: NDArray[np.int64]
    left_out: NDArray[np.int64]
    weights_left: NDArray[np.int64]

    @property
    def scaled(self) -> NDArray[np.float64]:
        """N_W(n) * mean, float64 [N + 1, N + 2]: Fig. 5C, one curve a row. The first row of `mean` is Fig. 5B."""
        scaled: NDArray[np.float64] = self.weights_left[:, None] * self.mean
        return scaled


def pruning_round(masks: Sequence[np.ndarray]) -> np.ndarray:
    """The round in which each weight is pruned.

    Args:
        masks: of the rounds 0 to N, [n_in, nodes] each; non-zero means connected.

    Returns:
        int64 [n_in, nodes]: the first k for which masks[k] is 0; N + 1, one more than the last round, if none is.

    Raises:
        DataError: a weight that was pruned is there again.
    """
    rounds = np.zeros(np.shape(masks[0]), np.int64)
    for number, mask in enumerate(masks):
        connected = np.asarray(mask) != 0
        if np.any(connected & (rounds < number)):
            raise DataError(f"the masks of round {number} have weights that were pruned before")
        rounds += connected
    return rounds


def mean_by_round(scores: np.ndarray, rounds: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean score of the weights that are pruned in the same round, pooled over the nodes (Fig. 5B).

    Args:
        scores: float64 [n_in, nodes]; nan is left out.
        rounds: int [n_in, nodes], of pruning_round.
        groups: number of groups; all of `rounds` are 0 ... groups - 1.

    Returns:
        float64 [groups], nan for a group without scores; and the number of scores in each, int64 [groups].
    """
    scored = np.isfinite(scores)
    count = np.bincount(rounds[scored], minlength=groups)
    total = np.bincount(rounds[scored], weights=scores[scored], minlength=groups)
    return np.divide(total, count, out=np.full(groups, np.nan), where=count > 0), count


def cavity_row(
    inputs: Iterable[np.ndarray], W: np.ndarray, mask: np.ndarray, rounds: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """One row of a CavityTable: mean, scored, left_out, weights_left.

    Args:
        inputs: blocks of x~ [block, n_in], to be iterated over again and again (statistics.LayerInputs).
        W: [n_in, nodes], the rewind weights.
        mask: of the starting round.
        rounds: in which each weight is pruned, of pruning_round for all rounds.
        count: how many rounds.
    """
    mean, scored = mean_by_round(cavity_scores(inputs, W, mask), rounds, count + 1)
    left = np.bincount(rounds[np.asarray(mask) != 0], minlength=count + 1)
    return mean, scored, left - scored, int(left.sum())


def later_mean(mean: np.ndarray, scored: np.ndarray, number: int) -> float:
    """Of row `number` of a CavityTable, its mean and scored: mean score of what outlives the next pruning, or nan."""
    mean, scored = mean[number + 2 :], scored[number + 2 :]
    return float(np.nansum(mean * scored) / scored.sum()) if scored.sum() else np.nan


def rewind_cavity_table(
    rounds: Iterable[Round], source: Iterable[np.ndarray], normalise: str = "stored"
) -> CavityTable:
    """The table of a run, first layer: rewind weights times the masks of every round.

    Args:
        rounds: 0 to N, without a gap. They are read one at a time; only the first-layer masks stay in memory.
        source: blocks [block, n_in] of the network's inputs, such as sifting.network.statistics.ImageBlocks.
        normalise: "stored", "batch" or "none", see postprocess.activations.

    Raises:
        DataError: the rounds are not 0, 1, 2, ..., the first layer is a convolution, or a weight that was pruned is
            there again.
        ValueError: normalise is none of the three, or there are no inputs.
    """
    rewind, masks = None, []
    for number, result in enumerate(rounds):
        if result.number != number:
            raise DataError(f"round {result.number} stands where round {number} belongs; accepted: 0, 1, 2, ...")
        rewind = rewind or rewind_point(result)
        masks.append(result.masks[0].W)
    if rewind is None:
        raise DataError("there is no round to take the rewind point from")
    inputs = layer_inputs(rewind, source, normalise=normalise)
    pruned_in = pruning_round(masks)
    rows = [cavity_row(inputs, rewind.parameters[0].W, mask, pruned_in, len(masks)) for mask in masks]
    return CavityTable(*map(np.array, zip(*rows, strict=True)))
