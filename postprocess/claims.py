"""`python -m postprocess.claims NAME [NAME ...]` checks claims of both papers against runs; `all` checks all of them.

A claim is a statistic of every seed, its effect; the same statistic of a null model, in which what the claim speaks of
is taken away; and a threshold. Statistics are such that a larger effect speaks for the claim. It holds if the mean
effect reaches the threshold, and if the smallest effect of all seeds is above the largest null: were effect and null
alike, n seeds would come out so by chance once in (2n)! / n!^2 cases, 1 of 20 for three. Thresholds and nulls were
written down before the runs that decide (docs/claims.md). Runs are those that postprocess.reproduce makes; what is
missing is run first.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from postprocess.claim_statistics import (
    EFFECTIVE,
    L3,
    MATTER,
    NULLS,
    SETTINGS,
    Test,
    against,
    axis_ratio,
    beside,
    beside_magnitude,
    best_accuracy,
    between_seeds,
    colours_L3,
    component_ratio,
    distance_from_percent,
    few_full_nodes,
    gain,
    kurtosis,
    kurtosis_rise,
    last_good_density,
    lead,
    mask,
    mean_width,
    non_gaussian,
    quarters_L3,
    random_order,
    rewired_L3,
    trend,
    variance_ratio,
)
from postprocess.command_line import Parser, output_file, run_command
from postprocess.locality import anisotropy, displacement_maps, locality_index
from postprocess.masks import centre_ratio
from postprocess.receptive_field import layer_width
from postprocess.reproduce import ALL, NeededRun, add_options, complete, needed_runs, refused
from sifting.errors import InputError
from sifting.experiment.seeds import seeds_in
from sifting.runs.directory import RunDirectory
from sifting.training import many

SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        source: paper and passage.
        says: the claim.
        statistic: what the effect is, in words.
        threshold: what the mean effect has to reach.
        roles: the input file of each role.
        test: effect and null.
    """

    source: str
    says: str
    statistic: str
    threshold: float
    roles: Mapping[str, str]
    test: Test

    def judge(self, name: str, runs: Mapping[str, Sequence[RunDirectory]], seeds: Sequence[int]) -> "Verdict":
        """From the runs of each role, in the order of the seeds."""
        own = list(zip(*runs.values(), strict=True))
        effects = np.array([self.test.effect(*seed) for seed in own], float)
        nulls = np.array([self.test.null(*pair) for pair in zip(own, own[1:] + own[:1], strict=True)], float)
        return Verdict(name, self, effects, nulls, tuple(seeds))


@dataclass(frozen=True, eq=False)
class Verdict:
    """What runs say of a claim.

    Attributes:
        name, claim: which.
        effects, nulls: float64 [seeds].
        seeds: their numbers.
    """

    name: str
    claim: Claim
    effects: np.ndarray
    nulls: np.ndarray
    seeds: tuple[int, ...]

    @property
    def agree(self) -> int:
        """How many seeds reach the threshold, above all nulls."""
        return int(np.sum((self.effects >= self.claim.threshold) & (self.effects > np.max(self.nulls))))

    @property
    def holds(self) -> bool:
        return bool(np.mean(self.effects) >= self.claim.threshold and np.min(self.effects) > np.max(self.nulls))

    def line(self) -> str:
        claim = self.claim
        return (
            f"{self.name}: {'yes' if self.holds else 'no'}. {claim.says} ({claim.source}).\n"
            f"  {claim.statistic}: {_range(self.effects)}, threshold {claim.threshold:.3g}\n"
            f"  null, {claim.test.against}: {_range(self.nulls)}; {self.agree} of {len(self.seeds)} seeds agree"
        )

    def row(self) -> str:
        """Of the table in docs/claims.md."""
        claim = self.claim
        cells = (
            f"`{self.name}`",
            f"{claim.says} ({claim.source})",
            claim.statistic.replace("|", "\\|"),
            f"{claim.threshold:.3g}",
            _range(self.effects),
            claim.test.against.replace("|", "\\|"),
            _range(self.nulls),
            f"{self.agree} of {len(self.seeds)}",
            "yes" if self.holds else "**no**",
        )
        return f"| {' | '.join(cells)} |"


def _range(values: np.ndarray) -> str:
    """The mean, and the range of several seeds."""
    mean = f"{np.mean(values):.3g}"
    return f"{mean} [{values.min():.3g}, {values.max():.3g}]" if len(values) > 1 else mean


# --- the claims


def _files(folder: str, *names: str) -> dict[str, str]:
    return {name: f"inputs/{folder}/{name}.in" for name in names}


_IMP, _REDMAN, _RANDOM = {"imp": "inputs/imp_3l1k.in"}, _files("redman", "imp"), _files("pb", "random")
_REDMAN_RANDOM, _CLONE = _files("redman", "random"), {"clone": "inputs/redman/imp_clone.in"}
_RIVALS = _files("pb", "oneshot", "snip", "synflow")
_VARIANTS = _files("pb", "prune_ratio_0.2", "rewind_500", "rewind_100", "rewind_0", "steps_5e5", "imp_global")
_MINIMISERS = _files("pb", "sgd_0.5", "sgd_0.02", "adam_0.01")
_SIZES = _files("pb", "widths_3l256", "widths_3l512", "widths_3l2k", "depths_4l1k", "depths_5l1k")
_FRACTIONS = _files("pb", *(f"fraction_{percent}" for percent in ("02", "05", "10", "20", "30", "50")))
_TASKS = _files("pb", "classes_semantic", "classes_random")
_MIXED = _files("pb", "classes_random", "classes_partial_semantic", "classes_5semantic5random", "classes_semantic")

CLAIMS: dict[str, Claim] = {
    "pb-gain": Claim(
        "P&B 4, Fig. 1a", "IMP improves the validation accuracy over the dense network",
        "best accuracy of all rounds less the dense one", 0.02, _IMP | _RANDOM, beside(gain, "random pruning"),
    ),
    "pb-peak": Claim(
        "P&B 4, Fig. 1a", "the accuracy is best near u = 1 %", "- |log10 of the best u / 1 %|", -0.5, _IMP | _RANDOM,
        beside(lambda run: -distance_from_percent(run), "random pruning"),
    ),
    "pb-tail": Claim(
        "P&B 4, Fig. 1b", "C_in has a long tail: a few nodes keep many connections",
        "variance of C_in over the binomial one, u = 1 %", 3, _IMP, against("shuffled", variance_ratio, 0.01),
    ),
    "pb-matter": Claim(
        "P&B 4, Fig. 1c", "the most connected nodes matter most",
        "relative accuracy without the least connected half less that without the most connected half, best round",
        0.1, _IMP, MATTER,
    ),
    "pb-local": Claim(
        "P&B 4, Fig. 2", "inputs connected to the same node lie close together", "L3 of layer 1, u = 1 %",
        1.5, _IMP, against("rewired", locality_index, 0.01),
    ),
    "pb-colour": Claim(
        "P&B 4, Fig. 2", "both within and between colours", "L3 of S_dc of layer 1, u = 1 %",
        1.5, _IMP, against("rewired", colours_L3, 0.01),
    ),
    "pb-local-grows": Claim(
        "P&B 4, Fig. 2", "the localisation becomes stronger as the pruning progresses",
        "L3 of layer 1 at u = 0.3 % over that at 4 %", 1.2, _IMP,
        Test(
            lambda imp: L3(imp, 0.003) / L3(imp, 0.04),
            lambda own, _: rewired_L3(own[0], 0.003) / rewired_L3(own[0], 0.04),
            NULLS["rewired"].says,
        ),
    ),
    "pb-axes": Claim(
        "P&B 4, Fig. 2", "horizontal and vertical displacements are preferred", "axis_ratio of S_sc, u = 1 %",
        1.1, _IMP, against("in cells", axis_ratio, 0.01),
    ),
    "pb-rotated": Claim(
        "P&B C.4, Fig. 20", "the preferred directions turn with the images, by 20 degrees",
        "- |preferred angle - 20|, degrees, best round", -8, _files("pb", "rotated") | _IMP,
        beside(
            lambda run: -abs(anisotropy(displacement_maps(mask(run)).same).preferred_angle - 20), "images as they are"
        ),
    ),
    "pb-nodes": Claim(
        "P&B B.3, Fig. 11", "the most connected nodes are local, the least connected ones less so",
        "L3 of the most connected quarter less that of the least connected one, u = 1 %", 0.5, _IMP,
        against("rewired", quarters_L3, 0.01),
    ),
    "pb-effective": Claim(
        "P&B 4, B.4, Fig. 12, 15", "nodes of layer 2 combine nodes of layer 1 into features that are local, too",
        "L3 of effective layer-2 masks over that with layer 2 rewired, u = 0.3 %", 1.2, _IMP, EFFECTIVE,
    ),
    "pb-oneshot": Claim(
        "P&B 5.1, Fig. 4", "oneshot masks are less localised than IMP's",
        "mean RF width of oneshot over IMP's, u = 1 %", 1.1, _IMP | _files("pb", "oneshot"),
        between_seeds(
            lambda imp, oneshot: layer_width(mask(oneshot, 0.01)).mean_converged
            / layer_width(mask(imp, 0.01)).mean_converged
        ),
    ),
    "pb-effective-method": Claim(
        "P&B 5.1, Fig. 4", "IMP is the most effective of the methods",
        "accuracy of IMP less that of oneshot, SNIP, SynFlow at their u <= 10 %: the smallest lead",
        0.0, _IMP | _RIVALS | _RANDOM,
        Test(
            lambda imp, *rivals: lead(imp, *rivals[:3]), lambda own, _: lead(own[4], *own[1:4]),
            "random pruning in IMP's place",
        ),
    ),
    "pb-snip": Claim(
        "P&B B.5, Fig. 14", "SNIP's masks are somewhat local", "L3 of SNIP, u = 1 %",
        1.5, _files("pb", "snip"), against("rewired", locality_index, 0.01),
    ),
    "pb-snip-tail": Claim(
        "P&B B.5, Fig. 14", "SNIP's C_in has the same long tails as IMP's",
        "variance of C_in over the binomial one, u = 10 %", 3, _files("pb", "snip"),
        against("shuffled", variance_ratio, 0.1),
    ),
    "pb-synflow": Claim(
        "P&B B.5, Fig. 14", "SynFlow keeps a few highly connected nodes and prunes the others completely",
        "share of nodes without inputs, or density of the others, the smaller one, u = 10 %",
        0.5, _files("pb", "synflow"), against("shuffled", few_full_nodes, 0.1),
    ),
    "pb-task": Claim(
        "P&B 5.3, C.1, Fig. 5, 17", "local features need a task with structure",
        "L3 of the semantic task over that of the random one, u = 0.7 %", 1.5, _TASKS,
        between_seeds(lambda semantic, random: L3(semantic, 0.007) / L3(random, 0.007), "the semantic task"),
    ),
    "pb-task-binomial": Claim(
        "P&B 5.3, Fig. 5, 17", "on the random task C_in is that of random pruning",
        "- variance of C_in over the binomial one, u = 0.7 %", -1.5, dict(reversed(_TASKS.items())),
        beside(lambda run: -variance_ratio(mask(run, 0.007)), "the semantic task"),
    ),
    "pb-task-gain": Claim(
        "P&B C.1, Fig. 17b", "pruning gains more on the semantic task than on the random one",
        "gain on the semantic task less that on the random one", 0.01, _TASKS,
        between_seeds(lambda semantic, random: gain(semantic) - gain(random), "the semantic task"),
    ),
    "pb-task-mixed": Claim(
        "P&B C.2, Fig. 18", "tasks in between lie in between",
        "rank correlation of L3 with: random, partial semantic, 5 semantic and 5 random, semantic; u = 0.5 %",
        0.8, _MIXED, random_order(lambda *runs: [L3(run, 0.005) for run in runs]),
    ),
    "pb-data-gain": Claim(
        "P&B 5.2, C.3, Fig. 19b", "the smaller the training set, the smaller the gain",
        "rank correlation of gain and size, 2 to 100 % of the images", 0.8, _FRACTIONS | _IMP,
        random_order(lambda *runs: [gain(run) for run in runs]),
    ),
    "pb-data-local": Claim(
        "P&B 5.2, C.3, Fig. 19d", "the smaller the training set, the less local the masks",
        "rank correlation of L3 and size, u = 0.5 %", 0.8, _FRACTIONS | _IMP,
        random_order(lambda *runs: [L3(run, 0.005) for run in runs]),
    ),
    "pb-data-binomial": Claim(
        "P&B 5.2, Fig. 5, 19c", "with few images C_in becomes that of random pruning",
        "- variance of C_in over the binomial one, 2 % of the images, u = 0.5 %", -1.5,
        _files("pb", "fraction_02") | _IMP, beside(lambda run: -variance_ratio(mask(run, 0.005)), "all images"),
    ),
    "pb-minimisers": Claim(
        "P&B A.1, Fig. 6", "the accuracy rises with pruning whatever minimiser and learning rate",
        "smallest gain of SGD 0.5, SGD 0.02, Adam 0.01", 0.02, _MINIMISERS | _RANDOM,
        Test(lambda *runs: min(map(gain, runs[:-1])), lambda own, _: gain(own[-1]), "random pruning"),
    ),
    "pb-sizes": Claim(
        "P&B A.2, Fig. 7", "masks are local in networks of any width and depth",
        "smallest L3 of widths 256, 512, 2k and depths 4, 5, u = 1 %", 1.5, _SIZES,
        Test(
            lambda *runs: min(L3(run, 0.01) for run in runs), lambda own, _: max(rewired_L3(run, 0.01) for run in own),
            NULLS["rewired"].says,
        ),
    ),
    "pb-settings": Claim(
        "P&B A.3, Fig. 8", "most settings of the pruning lead to the same best accuracy",
        "share of 6 variants whose best accuracy is within 2 points of the standard one", 2 / 3,
        _IMP | _VARIANTS | _RIVALS, SETTINGS,
    ),
    "pb-short": Claim(
        "P&B A.3, Fig. 8", "trainings that end before the validation error does not fall any more are worse",
        "best accuracy less that with 5,000 steps a round", 0.02, _IMP | _files("pb", "steps_5e3"),
        between_seeds(lambda imp, short: best_accuracy(imp) - best_accuracy(short)),
    ),
    "pb-layers": Claim(
        "P&B B.6, Fig. 16", "each layer of a deep network can be pruned below 1 % without loss",
        "- the largest u of a hidden layer where it is last as good as dense", -0.01,
        _files("pb", "layer_by_layer", "random"), beside(lambda run: -last_good_density(run), "random pruning"),
    ),
    "pb-centre": Claim(
        "P&B B.2, Fig. 10", "networks that perform well look at the centre of the image",
        "connections of a central input over those of an outer one, u = 1 %", 1.2, _IMP,
        against("shuffled", centre_ratio, 0.01),
    ),
    "pb-64": Claim(
        "P&B C.5, Fig. 21", "masks are local on images of 64 x 64 pixels, too", "L3 of layer 1, u = 0.3 %",
        1.5, _files("pb", "imagenet64"), against("rewired", locality_index, 0.003),
    ),
    "pb-translated": Claim(
        "P&B C.6, Fig. 22", "features emerge on randomly translated images, too", "L3 of layer 1, u = 8 %",
        1.2, _files("pb", "translated"), against("rewired", locality_index, 0.08),
    ),
    "redman-oneshot": Claim(
        "Redman Fig. 1, 4A", "oneshot's receptive fields are wider than IMP's",
        "mean RF width of oneshot over IMP's, s = 97.2 %", 1.1, _files("redman", "imp", "oneshot"),
        between_seeds(lambda imp, oneshot: mean_width(oneshot) / mean_width(imp)),
    ),
    "redman-random": Claim(
        "Redman Fig. 4A", "randomly pruned nodes have no small receptive fields",
        "mean RF width of random pruning over IMP's, s = 97.2 %", 1.5, _REDMAN | _REDMAN_RANDOM,
        between_seeds(lambda imp, random: mean_width(random) / mean_width(imp)),
    ),
    "redman-components": Claim(
        "Redman 3.1, Fig. 2", "independent components are local, principal ones are not",
        "median inverse participation ratio of ICA (large: local) over that of PCA", 1.5, _REDMAN | _CLONE,
        beside(component_ratio, "the Gaussian clone"),
    ),
    "redman-clone": Claim(
        "Redman 3.1, Fig. 3C", "no local receptive fields on the Gaussian clone",
        "mean RF width on the clone over that on images, s = 97.2 %", 1.5, _REDMAN | _CLONE,
        between_seeds(lambda imp, clone: mean_width(clone) / mean_width(imp)),
    ),
    "redman-clone-learnt": Claim(
        "Redman 3.1, Fig. 3C", "nor on a clone that can be learnt: embedded images with classes in their covariance",
        "mean RF width on the clone over that on images, s = 97.2 %", 1.5,
        {"imp": "inputs/beyond/clone_fit_data.in", "clone": "inputs/beyond/clone_fit_all.in"},
        between_seeds(lambda imp, clone: mean_width(clone) / mean_width(imp)),
    ),
    "redman-kurtosis": Claim(
        "Redman 3.2, Fig. 4B", "IMP increases the kurtosis of the preactivations",
        "kurtosis after ten prunings less that of the dense network", 0.05, _REDMAN | _REDMAN_RANDOM,
        beside(kurtosis_rise, "random pruning"),
    ),
    "redman-kurtosis-random": Claim(
        "Redman 3.2, Fig. 4B", "random pruning leaves the kurtosis as it is",
        "- |kurtosis after ten prunings less that of the dense network|", -0.1, _REDMAN_RANDOM | _REDMAN,
        beside(lambda run: -abs(kurtosis_rise(run)), "IMP"),
    ),
    "redman-kurtosis-monotone": Claim(
        "Redman 3.2, Fig. 4B", "the kurtosis increases almost monotonically with the rounds of IMP",
        "rank correlation of kurtosis and round, 0 to 10", 0.8, _REDMAN | _REDMAN_RANDOM,
        beside(lambda run: trend(kurtosis(run)), "random pruning"),
    ),
    "redman-non-gaussian": Claim(
        "Redman 3.2, Fig. 4B", "IMP leads away from Gaussian preactivations, of either sign, and further than oneshot",
        "|3 - kurtosis| of IMP less that of oneshot, s = 97.2 %", 0.01, _files("redman", "imp", "oneshot"),
        between_seeds(lambda imp, oneshot: non_gaussian(imp) - non_gaussian(oneshot)),
    ),
    "redman-cavity-start": Claim(
        "Redman 3.3, Fig. 5B", "at round 0, weights that go first score positive and those that go late negative",
        "share of positive means of rounds 1, 2 and of negative ones of rounds 4 to 10, their mean", 0.8,
        _REDMAN, beside_magnitude("start"),
    ),
    "redman-cavity-sign": Claim(
        "Redman 3.3, Fig. 5C", "weights are pruned when their removal makes the preactivations less Gaussian",
        "share of rounds where the weights pruned next have a positive mean cavity score", 0.8,
        _REDMAN, beside_magnitude("following"),
    ),
    "redman-cavity-order": Claim(
        "Redman 3.3, Fig. 5C", "and not before: weights that are pruned later have negative mean scores",
        "share of negative means, over all rounds and groups that are pruned later", 0.8,
        _REDMAN, beside_magnitude("later"),
    ),
}  # fmt: skip


TABLE_HEAD = (
    "| claim | says | statistic | at least | effect: mean [range] | null | null: mean [range] | seeds | holds |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def runs_of_claim(
    claim: Claim, scale: str, seeds: Sequence[int] = SEEDS, assignments: Sequence[str] = (), folder: str | None = None
) -> dict[str, list[NeededRun]]:
    """The runs of each role, in the order of the seeds."""
    return needed_runs(claim.roles, scale, seeds, assignments, folder)


def judge(name: str, needed: Mapping[str, Sequence[NeededRun]]) -> Verdict:
    """From runs that are finished."""
    runs = {role: [run.plan.directory for run in group] for role, group in needed.items()}
    return CLAIMS[name].judge(name, runs, [run.seed for run in next(iter(needed.values()))])


def _claims_command(options: argparse.Namespace) -> None:
    if options.list:
        print("\n".join(f"{name}: {claim.says} ({claim.source})" for name, claim in CLAIMS.items()))
        return
    names = list(CLAIMS) if options.name == [ALL] else options.name
    if not names:
        raise InputError(f"no claim named; accepted: {', '.join(CLAIMS)}, {ALL}")
    for name in names:
        if name not in CLAIMS:
            raise InputError(f"{name!r} is not a claim; accepted: {', '.join(CLAIMS)}")
    how = many.how(options)
    seeds = SEEDS if options.seeds is None else seeds_in(options.seeds)
    needed = {name: runs_of_claim(CLAIMS[name], options.scale, seeds, options.set, how.runs) for name in names}
    lacks = complete(needed, options.scale, how, options.dry_run)
    if options.dry_run or how.commands:
        return
    verdicts = []
    for name in (name for name in needed if name not in lacks):
        verdicts.append(judge(name, needed[name]))
        print(verdicts[-1].line(), flush=True)
    print(f"{sum(verdict.holds for verdict in verdicts)} of {len(verdicts)} claims hold")
    if options.table is not None:
        text = "\n".join([TABLE_HEAD, *(verdict.row() for verdict in verdicts)])
        with output_file(options.table) as file:
            file.write(f"{text}\n".encode())
    refused(lacks, len(needed), "claims are not judged")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog="python -m postprocess.claims", description="Check claims of both papers against runs, made if missing."
    )
    parser.add_names(f"such as pb-gain; {ALL}: all claims", lambda: [*CLAIMS, ALL])
    add_options(parser, ",".join(map(str, SEEDS)))
    parser.add_argument("--table", type=Path, metavar="FILE", help="also write the rows of docs/claims.md")
    parser.add_argument("--list", action="store_true", help="all claims")
    return run_command(_claims_command, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
