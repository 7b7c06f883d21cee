"""Statistics of runs that the claims of postprocess.claims ask for, each with its null model."""

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from postprocess.analyse import stored_part
from postprocess.connectivity import binomial_excess, input_connections, most_connected
from postprocess.evaluation import removal_curve, removal_order
from postprocess.figures import base
from postprocess.kurtosis import inverse_participation_ratio
from postprocess.locality import anisotropy, displacement_maps, locality_index, relative_near_share
from postprocess.masks import dense_masks, effective_mask
from postprocess.nulls import rewired, shuffled, shuffled_in_cells
from postprocess.receptive_field import layer_width
from postprocess.seeds import AFTER_TEN, good_rounds, pruned_layer, read_seeds
from sifting.network.rounds import Round
from sifting.runs.directory import RunDirectory

TEN = AFTER_TEN


class Test(NamedTuple):
    """What decides a claim.

    Attributes:
        effect: of one seed, from its run of each role, in their order.
        null: the same statistic of the null model, from the runs of this seed, and from those of the next one.
        against: the null model, in words.
    """

    effect: Callable[..., float]
    null: Callable[[Sequence[RunDirectory], Sequence[RunDirectory]], float]
    against: str


# --- what the statistics are made of


def at(run: RunDirectory, u: float | None = None) -> Round:
    """The round nearest to a density; None: the one with the best validation accuracy."""
    curve = read_seeds([run])
    return run.read_round(curve.best if u is None else curve.nearest(u))


def mask(run: RunDirectory, u: float | None = None) -> np.ndarray:
    """That of layer 1, [n_0, nodes], in the round of `at`."""
    return at(run, u).masks[0].W


def L3(run: RunDirectory, u: float | None = None) -> float:
    """Locality index of layer 1; 1: as a fully connected layer."""
    return locality_index(mask(run, u))


def colours_L3(mask: np.ndarray) -> float:
    """The same of pairs in different colours."""
    return relative_near_share(displacement_maps(mask).different)


def axis_ratio(mask: np.ndarray) -> float:
    return anisotropy(displacement_maps(mask).same).axis_ratio


def variance_ratio(mask: np.ndarray) -> float:
    """Variance of C_in over that of random pruning."""
    return binomial_excess(input_connections(mask), len(mask)).variance_ratio


def quarters_L3(mask: np.ndarray) -> float:
    """L3 of the most connected quarter of the nodes that have pairs, less that of the least connected quarter."""
    connections = input_connections(mask)
    nodes = most_connected(connections)[: np.sum(connections > 1)]
    quarter = len(nodes) // 4
    return locality_index(mask[:, nodes[:quarter]]) - locality_index(mask[:, nodes[-quarter:]])


def few_full_nodes(mask: np.ndarray) -> float:
    """The share of the nodes without connections, or, if that is less, the density of the others."""
    connections = input_connections(mask)
    return float(min(np.mean(connections == 0), connections[connections > 0].mean() / len(mask)))


def mean_width(run: RunDirectory) -> float:
    """Mean RF width of all nodes of layer 1 that have one, in pixels, after ten prunings (Redman Fig. 4A)."""
    return layer_width(mask(run, TEN)).mean_converged


def best_accuracy(run: RunDirectory, first: int = 0) -> float:
    """Of all rounds from the first one on."""
    return float(np.nanmax(read_seeds([run]).accuracy[first:]))


def gain(run: RunDirectory) -> float:
    """The best validation accuracy of all rounds, less that of the dense round."""
    return float(np.nanmax(read_seeds([run]).gain))


def lead(run: RunDirectory, *rivals: RunDirectory) -> float:
    """Accuracy of a run less that of its rivals at the same density: the smallest lead at u <= 10 %."""
    curve = read_seeds([run])
    others = [read_seeds([rival]) for rival in rivals]
    levels = [(other, number) for other in others for number in other.rounds if other.u_of(number) <= 0.11]
    return min(
        curve.accuracy_of(curve.nearest(other.u_of(number))) - other.accuracy_of(number) for other, number in levels
    )


def distance_from_percent(run: RunDirectory) -> float:
    """How far the density of the best round is from 1 %, in decades."""
    curve = read_seeds([run])
    return float(abs(np.log10(curve.u_of(curve.best) / 0.01)))


def half_matters(run: RunDirectory, order: str) -> float:
    """Relative accuracy of the best round without the second half of the nodes of layer 1, in that order, less that
    without the first half."""
    result = at(run)
    nodes = removal_order(input_connections(result.masks[0].W), order)
    images, half = base.load_images(run, base.Options()), [len(nodes) // 2]
    first, second = (
        removal_curve(result, images, n, half, normalise="batch").relative[0] for n in (nodes, nodes[::-1])
    )
    return float(second - first)


def trend(values: Sequence[float] | np.ndarray) -> float:
    """Spearman's rank correlation of values with their places: 1 if they rise all the way."""
    return float(spearmanr(values, range(len(values))).statistic)


def last_good_density(run: RunDirectory) -> float:
    """Of the densities at which each layer that is pruned alone is last as good as dense the largest; 1: one never is.
    Where layers are pruned together, that of the network."""
    curve = read_seeds([run])
    pruned = pruned_layer(curve)
    chosen = good_rounds(curve, pruned)
    return max(
        float(curve.layer_density[curve.rounds.index(chosen[n]), 0, n]) if n in chosen else 1.0
        for n in np.unique(pruned[1:])
    )


def component_ratio(run: RunDirectory) -> float:
    """How much more local independent components of all validation images are than principal ones."""
    arrays = stored_part(run, "components")
    return locality(arrays["ica_weights"]) / locality(arrays["pca_weights"])


def locality(components: np.ndarray) -> float:
    """Median inverse participation ratio of components [count, ...]: the larger, the fewer inputs make them up."""
    return float(np.median(inverse_participation_ratio(components.reshape(len(components), -1).T)))


def kurtosis(run: RunDirectory) -> np.ndarray:
    """Mean over nodes and classes of the kurtosis where each round starts, float64 [rounds] (Redman Fig. 4B)."""
    found = stored_part(run, "kurtosis")
    return np.array([float(found[n]["mean_within_class"]) for n in sorted(found) if n <= 10])


def kurtosis_rise(run: RunDirectory) -> float:
    return float(kurtosis(run)[-1] - kurtosis(run)[0])


def non_gaussian(run: RunDirectory) -> float:
    """|3 - kurtosis| after ten prunings."""
    return float(abs(3 - kurtosis(run)[-1]))


class CavitySigns(NamedTuple):
    """Shares of mean cavity scores that have the sign which Redman et al. found.

    Attributes:
        start: at round 0, positive for the weights of rounds 1 and 2, negative for those of 4 to 10: the mean of the
            two shares, so that scores of one sign give 1/2 (Fig. 5B).
        following: positive for the weights that are pruned next, over the rounds n = 0 to 9 (Fig. 5C).
        later: negative for those of each later round, up to 10 (Fig. 5C).
    """

    start: float
    following: float
    later: float


def cavity_signs(run: RunDirectory, order: str = "mean") -> CavitySigns:
    """order: "mean", the groups of the table, or "magnitude_mean", as many weights in the order of |W| instead."""
    rows = [np.asarray(row[order]) for _, row in sorted(stored_part(run, "cavity").items())][:10]
    following = np.array([row[n + 1] for n, row in enumerate(rows)])
    later = np.concatenate([row[n + 2 : 11] for n, row in enumerate(rows)])
    start = np.mean([_share(rows[0][1:3] > 0, rows[0][1:3]), _share(rows[0][4:11] < 0, rows[0][4:11])])
    return CavitySigns(float(start), _share(following > 0, following), _share(later < 0, later))


def _share(true: np.ndarray, values: np.ndarray) -> float:
    """Of values that are not nan."""
    return float(np.mean(true[np.isfinite(values)]))


# --- tests, with their nulls


class Null(NamedTuple):
    """A null model of a mask; `says`: in words."""

    deal: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    says: str


NULLS = {
    "shuffled": Null(shuffled, "mask shuffled within the layer"),
    "rewired": Null(rewired, "mask rewired, C_in and C_out kept"),
    "in cells": Null(shuffled_in_cells, "mask shuffled within cells of 8 x 8 pixels"),
}


def against(null: str, statistic: Callable[[np.ndarray], float], u: float) -> Test:
    """A statistic of the layer-1 mask at a density; null: of the mask dealt anew, a name of NULLS."""
    deal, says = NULLS[null]
    return Test(
        lambda run: statistic(mask(run, u)),
        lambda own, _: statistic(deal(mask(own[0], u), np.random.default_rng(0))),
        says,
    )


def rewired_L3(run: RunDirectory, u: float) -> float:
    return locality_index(rewired(mask(run, u), np.random.default_rng(0)))


def between_seeds(difference: Callable[[RunDirectory, RunDirectory], float], role: str = "IMP") -> Test:
    """A difference or ratio of the first role to the second; null: of the first role to that of the next seed
    (with a single seed that is the same run: 1, or 0)."""
    return Test(difference, lambda own, other: difference(own[0], other[0]), f"two seeds of {role}")


def random_order(values: Callable[..., Sequence[float]]) -> Test:
    """A trend over runs; null: over the same in random order."""

    def shuffled_trend(own: Sequence[RunDirectory], _: object) -> float:
        found = np.array(values(*own))
        # Of its own for each seed, and the same wherever the values are the same to three digits.
        draw = zlib.crc32(str(found.round(3).tolist()).encode())
        return trend(np.random.default_rng(draw).permutation(found))

    return Test(lambda *runs: trend(values(*runs)), shuffled_trend, "the same runs in random order")


def beside(statistic: Callable[[RunDirectory], float], says: str) -> Test:
    """A statistic of the first role; null: of the last one."""
    return Test(lambda *runs: statistic(runs[0]), lambda own, _: statistic(own[-1]), says)


def beside_magnitude(sign: str) -> Test:
    """A share of CavitySigns; null: weights grouped in the order of |W| at the rewind point."""
    return Test(
        lambda imp: getattr(cavity_signs(imp), sign),
        lambda own, _: getattr(cavity_signs(own[0], "magnitude_mean"), sign),
        "weights grouped by |W| at the rewind point",
    )


def effective_L3(run: RunDirectory, draw: int | None = None) -> float:
    """L3 of effective layer-2 masks at u = 0.3 %; with a draw: layer 2 rewired."""
    mask_1, mask_2 = dense_masks(at(run, 0.003))[:2]
    rng = np.random.default_rng(draw)
    return locality_index(effective_mask([mask_1, mask_2 if draw is None else rewired(mask_2, rng)]))


EFFECTIVE = Test(
    lambda imp: effective_L3(imp) / effective_L3(imp, 0),
    lambda own, _: effective_L3(own[0], 1) / effective_L3(own[0], 0),
    "layer 2 rewired, twice",
)
MATTER = Test(
    lambda imp: half_matters(imp, "most"), lambda own, _: half_matters(own[0], "random"), "nodes in random order"
)
SETTINGS = Test(
    lambda imp, *runs: same_accuracy(imp, runs[:-3]),
    lambda own, _: same_accuracy(own[0], own[-3:]),
    "oneshot, SNIP, SynFlow in place of the variants",
)


def same_accuracy(run: RunDirectory, others: Sequence[RunDirectory]) -> float:
    """The share of other runs whose best accuracy on pruning is within 2 points."""
    return float(np.mean([abs(best_accuracy(other, first=1) - best_accuracy(run)) <= 0.02 for other in others]))
