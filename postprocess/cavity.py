"""Cavity scores by the round in which a weight is pruned (Redman et al. 2024, Eq. 5 and 6, Fig. 5B and 5C).

Every first-layer weight of theta(t_rewind) * m(n), the start of round n, gets a score (network.statistics): negative if
the preactivation is more Gaussian without it. m(n) are the masks of round n, those that n prunings have left. A weight
is pruned in round k if m(k) is the first without it: Redman's round k.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sifting.errors import DataError
from sifting.network.statistics import cavity_scores


class CavityRow(NamedTuple):
    """Mean cavity scores at the start of round n, of the weights that n prunings have left.

    Entry k: of those that are pruned in round k, pooled over the nodes; the last entry, N + 1 for masks of the rounds 0
    to N: never pruned in these. Nothing left to score (k <= n): nan, 0. Fig. 5B is `mean` at the start of round 0, Fig.
    5C N_W(n) * mean, one curve a row.

    Attributes:
        mean: float64 [N + 2], mean score; nan where no weight has one.
        magnitude_mean: the same of groups as large, but in the order of |W|: what magnitude alone would give.
        scored: int64 [N + 2], weights in `mean`.
        left_out: int64 [N + 2], weights without a score: with or without them lambda has zero variance.
        weights_left: N_W(n), counted.
    """

    mean: NDArray[np.float64]
    magnitude_mean: NDArray[np.float64]
    scored: NDArray[np.int64]
    left_out: NDArray[np.int64]
    weights_left: int


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


def dealt_by_magnitude(W: np.ndarray, mask: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """Rounds as `rounds` has them, dealt anew among the weights of the mask: the smallest |W| get the first ones."""
    kept, dealt = np.asarray(mask) != 0, rounds.copy()
    order = np.argsort(np.abs(W[kept]), kind="stable")
    dealt_kept = np.empty_like(order)
    dealt_kept[order] = np.sort(rounds[kept])
    dealt[kept] = dealt_kept
    return dealt


def cavity_row(
    inputs: Iterable[np.ndarray], W: np.ndarray, mask: np.ndarray, rounds: np.ndarray, count: int
) -> CavityRow:
    """Scores of the weights of one starting round.

    Args:
        inputs: blocks of x~ [block, n_in], to be iterated over again and again (statistics.LayerInputs).
        W: [n_in, nodes], the rewind weights.
        mask: of the starting round.
        rounds: in which each weight is pruned, of pruning_round for all rounds.
        count: how many rounds.
    """
    scores = cavity_scores(inputs, W, mask)
    mean, scored = mean_by_round(scores, rounds, count + 1)
    magnitude_mean, _ = mean_by_round(scores, dealt_by_magnitude(W, mask, rounds), count + 1)
    left = np.bincount(rounds[np.asarray(mask) != 0], minlength=count + 1)
    return CavityRow(mean, magnitude_mean, scored, left - scored, int(left.sum()))


def later_mean(mean: np.ndarray, scored: np.ndarray, number: int) -> float:
    """Of the row of round `number`, its mean and scored: mean score of what outlives the next pruning, or nan."""
    mean, scored = mean[number + 2 :], scored[number + 2 :]
    return float(np.nansum(mean * scored) / scored.sum()) if scored.sum() else np.nan
