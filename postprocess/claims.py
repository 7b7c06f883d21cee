"""`python -m postprocess.claims NAME [NAME ...]` checks claims of both papers against runs; `all` checks all of them.

A claim is a statistic of every seed, its effect, and a threshold: it holds if the mean over the seeds reaches the
threshold. Statistics are such that a larger effect speaks for the claim. The thresholds were written down before the
runs that decide (docs/claims.md). Runs are those that postprocess.reproduce makes; what is missing is run first.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from postprocess.analyse import stored_part
from postprocess.cavity import later_mean
from postprocess.command_line import Parser, output_file, run_command
from postprocess.connectivity import binomial_excess, input_connections
from postprocess.evaluation import removal_curve, removal_order
from postprocess.figures import base, redman
from postprocess.kurtosis import inverse_participation_ratio
from postprocess.locality import Anisotropy, anisotropy, colour_ratio, displacement_maps, locality_index
from postprocess.masks import centre_ratio, dense_masks, effective_mask
from postprocess.receptive_field import layer_width
from postprocess.reproduce import ALL, NeededRun, complete, needed_runs, refused
from postprocess.seeds import good_rounds, pruned_layer, read_seeds
from sifting.errors import InputError
from sifting.network.rounds import Round
from sifting.runs.directory import RunDirectory
from sifting.training import many

TEN = redman.AFTER_TEN


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        source: paper and passage.
        says: the claim.
        statistic: what the effect is, in words.
        threshold: what the mean effect has to reach.
        roles: the input file of each role.
        seeds: how many seeds decide at small scale.
        effect: of one seed, from its run of each role, in their order.
    """

    source: str
    says: str
    statistic: str
    threshold: float
    roles: Mapping[str, str]
    seeds: int
    effect: Callable[..., float]

    def effects(self, runs: base.Runs) -> np.ndarray:
        """float64 [seeds]; runs: of each role, in the same order of seeds."""
        return np.array([self.effect(*seed) for seed in zip(*runs.values(), strict=True)], float)

    def holds(self, effects: np.ndarray) -> bool:
        return bool(np.mean(effects) >= self.threshold)


# --- what the statistics are made of


def at(run: RunDirectory, u: float | None = None) -> Round:
    """The round nearest to a density; None: the one with the best validation accuracy."""
    curve = read_seeds([run])
    return run.read_round(curve.best if u is None else curve.nearest(u))


def mask(run: RunDirectory, u: float | None = None) -> np.ndarray:
    """That of layer 1, [n_0, nodes], in the round of `at`."""
    return at(run, u).masks[0].W


def same_colour(run: RunDirectory, u: float | None = None) -> Anisotropy:
    """The directions that S_sc of layer 1 prefers."""
    return anisotropy(displacement_maps(mask(run, u)).same)


def L3(run: RunDirectory, u: float | None = None) -> float:
    """Locality index of layer 1; 1: as a fully connected layer."""
    return locality_index(mask(run, u))


def mean_width(run: RunDirectory, u: float) -> float:
    """Mean RF width of all nodes of layer 1 that have one, in pixels (Redman Fig. 4A)."""
    return layer_width(mask(run, u)).mean_converged


def best_accuracy(run: RunDirectory, first: int = 0) -> float:
    """Of all rounds from the first one on."""
    return float(np.nanmax(read_seeds([run]).accuracy[first:]))


def gain(run: RunDirectory) -> float:
    """The best validation accuracy of all rounds, less that of the dense round."""
    return float(np.nanmax(read_seeds([run]).gain))


def accuracy_without(run: RunDirectory, order: str) -> float:
    """Relative accuracy of the best round without half of the nodes of layer 1, removed in that order."""
    result = at(run)
    nodes = removal_order(input_connections(result.masks[0].W), order)
    images = base.load_images(run, base.Options())
    return float(removal_curve(result, images, nodes, [len(nodes) // 2], normalise="batch").relative[0])


def trend(values: Sequence[float]) -> float:
    """Spearman's rank correlation of values with their places: 1 if they rise all the way."""
    return float(spearmanr(values, range(len(values))).statistic)


def effective_L3(run: RunDirectory, u: float, layer: int) -> float:
    """Locality index of the effective masks of a layer, counted from 1."""
    return locality_index(effective_mask(dense_masks(at(run, u))[:layer]))


def last_good_density(run: RunDirectory) -> float:
    """Layer by layer: the largest of the densities at which each pruned layer is last as good as dense; 1: none is."""
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


def cavity_shares(run: RunDirectory) -> tuple[float, float]:
    """Of the rounds n = 0 to 9: in how many the weights that are pruned next score higher than all later ones do
    together, where both have scores; in how many their mean score is positive."""
    found = stored_part(run, "cavity")
    ahead, positive = [], []
    for n in [n for n in sorted(found)[:10] if found[n]["scored"][n + 1]]:
        following, later = found[n]["mean"][n + 1], later_mean(found[n]["mean"], found[n]["scored"], n)
        positive.append(following > 0)
        ahead += [following > later] if np.isfinite(later) else []
    return float(np.mean(ahead)), float(np.mean(positive))


# --- the claims


def _files(folder: str, *names: str) -> dict[str, str]:
    return {name: f"inputs/{folder}/{name}.in" for name in names}


_IMP, _REDMAN = {"imp": "inputs/imp_3l1k.in"}, _files("redman", "imp")
_RIVALS = _files("pb", "oneshot", "snip", "synflow")
_VARIANTS = _files("pb", "prune_ratio_0.2", "rewind_500", "rewind_100", "rewind_0", "steps_5e5", "imp_global")
_MINIMISERS = _files("pb", "sgd_0.5", "sgd_0.02", "adam_0.01")
_SIZES = _files("pb", "widths_3l256", "widths_3l512", "widths_3l2k", "depths_4l1k", "depths_5l1k")
_FRACTIONS = _files("pb", *(f"fraction_{percent}" for percent in ("02", "05", "10", "20", "30", "50")))
_TASKS = _files("pb", "classes_semantic", "classes_random")

CLAIMS: dict[str, Claim] = {
    "pb-gain": Claim(
        "P&B 3, Fig. 1a", "IMP improves the validation accuracy over the dense network",
        "best accuracy of all rounds less the dense one", 0.02, _IMP, 4, gain,
    ),
    "pb-tail": Claim(
        "P&B 4, Fig. 1b", "C_in has a long tail: a few nodes keep many connections",
        "variance of C_in over the binomial one, u = 1 %", 3, _IMP, 4,
        lambda imp: binomial_excess(input_connections(mask(imp, 0.01)), 3072).variance_ratio,
    ),
    "pb-matter": Claim(
        "P&B 4, Fig. 1c", "the most connected nodes matter most",
        "relative accuracy without the least connected half less that without the most connected half, best round",
        0.1, _IMP, 4, lambda imp: accuracy_without(imp, "least") - accuracy_without(imp, "most"),
    ),
    "pb-local": Claim(
        "P&B 4, Fig. 2", "inputs connected to the same node lie close together", "L3 of layer 1, u = 1 %",
        1.5, _IMP, 4, lambda imp: L3(imp, 0.01),
    ),
    "pb-colour": Claim(
        "P&B 4, Fig. 2", "S_sc is above S_dc", "S_sc / S_dc per pair of channels, 1 <= |d| <= 3, u = 1 %",
        1.05, _IMP, 4, lambda imp: colour_ratio(displacement_maps(mask(imp, 0.01))),
    ),
    "pb-axes": Claim(
        "P&B 4, Fig. 2", "horizontal and vertical displacements are preferred", "axis_ratio of S_sc, u = 1 %",
        1.1, _IMP, 4, lambda imp: same_colour(imp, 0.01).axis_ratio,
    ),
    "pb-rotated": Claim(
        "P&B C.4, Fig. 20", "the preferred directions turn with the images, by 20 degrees",
        "- |preferred angle - 20|, degrees, best round", -8, _files("pb", "rotated"), 1,
        lambda rotated: -abs(same_colour(rotated).preferred_angle - 20),
    ),
    "pb-effective": Claim(
        "P&B 5, Fig. 12, 15", "nodes of layer 2 see local features, too", "L3 of effective layer-2 masks, u = 0.3 %",
        1.2, _IMP, 4, lambda imp: effective_L3(imp, 0.003, 2),
    ),
    "pb-oneshot": Claim(
        "P&B B.1, Fig. 4", "oneshot masks are less localised than IMP's",
        "mean RF width of oneshot over IMP's, u = 1 %", 1.1, _IMP | _files("pb", "oneshot"), 1,
        lambda imp, oneshot: mean_width(oneshot, 0.01) / mean_width(imp, 0.01),
    ),
    "pb-effective-method": Claim(
        "P&B B.1", "IMP is the most effective of the methods",
        "best accuracy of IMP less the best of oneshot, SNIP and SynFlow (pruned levels)", 0.0, _IMP | _RIVALS, 1,
        lambda imp, *rivals: best_accuracy(imp) - max(best_accuracy(run, first=1) for run in rivals),
    ),
    "pb-snip": Claim(
        "P&B B.1, Fig. 14", "SNIP's masks are somewhat local", "L3 of SNIP, u = 1 %",
        1.5, _files("pb", "snip"), 1, lambda snip: L3(snip, 0.01),
    ),
    "pb-synflow": Claim(
        "P&B B.1, Fig. 14", "SynFlow's masks are not local", "1 / L3 of SynFlow, u = 10 %",
        1 / 1.2, _files("pb", "synflow"), 1, lambda synflow: 1 / L3(synflow, 0.1),
    ),
    "pb-random-masks": Claim(
        "P&B 4, Fig. 9", "randomly pruned nodes are not local", "1 / L3 of random masks, u = 1 %",
        1 / 1.1, _files("pb", "random"), 1, lambda random: 1 / L3(random, 0.01),
    ),
    "pb-task": Claim(
        "P&B 4, C.1, Fig. 5, 17", "local features need a task with structure",
        "L3 of the semantic task over that of the random one, u = 0.7 %", 1.5, _TASKS, 2,
        lambda semantic, random: L3(semantic, 0.007) / L3(random, 0.007),
    ),
    "pb-task-gain": Claim(
        "P&B C.1, Fig. 17b", "pruning gains more on the semantic task than on the random one",
        "gain on the semantic task less that on the random one", 0.01, _TASKS, 2,
        lambda semantic, random: gain(semantic) - gain(random),
    ),
    "pb-data-gain": Claim(
        "P&B C.3, Fig. 19b", "the smaller the training set, the smaller the gain",
        "rank correlation of gain and size, 2 to 100 % of the images", 0.8, _FRACTIONS | _IMP, 1,
        lambda *runs: trend([gain(run) for run in runs]),
    ),
    "pb-data-local": Claim(
        "P&B C.3, Fig. 19d", "the smaller the training set, the less local the masks",
        "rank correlation of L3 and size, u = 0.5 %", 0.8, _FRACTIONS | _IMP, 1,
        lambda *runs: trend([L3(run, 0.005) for run in runs]),
    ),
    "pb-minimisers": Claim(
        "P&B A, Fig. 6", "minimiser and learning rate do not decide whether masks are local",
        "smallest L3 of SGD 0.5, SGD 0.02, Adam 0.01, u = 1 %", 1.5, _MINIMISERS, 1,
        lambda *runs: min(L3(run, 0.01) for run in runs),
    ),
    "pb-sizes": Claim(
        "P&B A, Fig. 7", "masks are local in networks of any width and depth",
        "smallest L3 of widths 256, 512, 2k and depths 4, 5, u = 1 %", 1.5, _SIZES, 1,
        lambda *runs: min(L3(run, 0.01) for run in runs),
    ),
    "pb-settings": Claim(
        "P&B A, Fig. 8", "most settings of the pruning lead to the same best accuracy",
        "share of 6 variants whose best accuracy is within 2 points of the standard one", 2 / 3, _IMP | _VARIANTS, 1,
        lambda imp, *runs: float(np.mean([abs(best_accuracy(run) - best_accuracy(imp)) <= 0.02 for run in runs])),
    ),
    "pb-layers": Claim(
        "P&B 5, Fig. 16", "each layer of a deep network can be pruned below 1 % without loss",
        "- the largest u of a hidden layer where it is last as good as dense", -0.01, _files("pb", "layer_by_layer"), 1,
        lambda layers: -last_good_density(layers),
    ),
    "pb-centre": Claim(
        "P&B A, Fig. 10", "networks that perform well look at the centre of the image",
        "connections of a central input over those of an outer one, u = 1 %", 1.2, _IMP, 4,
        lambda imp: centre_ratio(mask(imp, 0.01)),
    ),
    "pb-64": Claim(
        "P&B C.5, Fig. 21", "masks are local on images of 64 x 64 pixels, too", "L3 of layer 1, u = 0.3 %",
        1.5, _files("pb", "imagenet64"), 1, lambda imagenet64: L3(imagenet64, 0.003),
    ),
    "pb-translated": Claim(
        "P&B C.6, Fig. 22", "features emerge on randomly translated images, too", "L3 of layer 1, u = 8 %",
        1.2, _files("pb", "translated"), 1, lambda translated: L3(translated, 0.08),
    ),
    "redman-oneshot": Claim(
        "Redman Fig. 1, 4A", "oneshot's receptive fields are wider than IMP's",
        "mean RF width of oneshot over IMP's, s = 97.2 %", 1.1, _files("redman", "imp", "oneshot"), 3,
        lambda imp, oneshot: mean_width(oneshot, TEN) / mean_width(imp, TEN),
    ),
    "redman-random": Claim(
        "Redman Fig. 4A", "randomly pruned nodes have no small receptive fields",
        "mean RF width of random pruning over IMP's, s = 97.2 %", 1.5, _files("redman", "imp", "random"), 3,
        lambda imp, random: mean_width(random, TEN) / mean_width(imp, TEN),
    ),
    "redman-components": Claim(
        "Redman Fig. 2", "independent components are local, principal ones are not",
        "median inverse participation ratio of ICA (large: local) over that of PCA", 1.5, _REDMAN, 1, component_ratio,
    ),
    "redman-clone": Claim(
        "Redman Fig. 3C", "no local receptive fields on the Gaussian clone",
        "mean RF width on the clone over that on images, s = 97.2 %", 1.5,
        _REDMAN | {"clone": "inputs/redman/imp_clone.in"}, 3,
        lambda imp, clone: mean_width(clone, TEN) / mean_width(imp, TEN),
    ),
    "redman-kurtosis": Claim(
        "Redman Fig. 4B", "IMP increases the kurtosis of the preactivations",
        "kurtosis after ten prunings less that of the dense network", 0.05, _REDMAN, 3,
        lambda imp: kurtosis(imp)[-1] - kurtosis(imp)[0],
    ),
    "redman-non-gaussian": Claim(
        "Redman Fig. 4B", "IMP leads away from Gaussian preactivations, of either sign, and further than oneshot",
        "|3 - kurtosis| of IMP less that of oneshot, s = 97.2 %", 0.01, _files("redman", "imp", "oneshot"), 3,
        lambda imp, oneshot: abs(3 - kurtosis(imp)[-1]) - abs(3 - kurtosis(oneshot)[-1]),
    ),
    "redman-cavity-sign": Claim(
        "Redman Fig. 5", "weights are pruned when their removal makes the preactivations less Gaussian",
        "share of rounds where the weights pruned next have a positive mean cavity score", 0.8,
        _REDMAN, 3, lambda imp: cavity_shares(imp)[1],
    ),
    "redman-cavity-order": Claim(
        "Redman Fig. 5", "weights are pruned in the order of their cavity scores",
        "share of rounds where the weights pruned next score higher than all that outlive them", 0.8,
        _REDMAN, 3, lambda imp: cavity_shares(imp)[0],
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What runs say of a claim.

    Attributes:
        name: of the claim.
        effects: float64 [seeds].
        seeds: their numbers.
    """

    name: str
    effects: np.ndarray
    seeds: tuple[int, ...]

    @property
    def holds(self) -> bool:
        return CLAIMS[self.name].holds(self.effects)

    @property
    def effect_text(self) -> str:
        """The mean, and the range of several seeds."""
        mean = f"{np.mean(self.effects):.3g}"
        return f"{mean} [{self.effects.min():.3g}, {self.effects.max():.3g}]" if len(self.seeds) > 1 else mean

    def line(self) -> str:
        claim = CLAIMS[self.name]
        answer = "yes" if self.holds else "no"
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        return (
            f"{self.name}: {answer}. {claim.says} ({claim.source}).\n"
            f"  {claim.statistic}: {self.effect_text} in {seeds}, threshold {claim.threshold:.3g}"
        )

    def row(self) -> str:
        """Of the table in docs/claims.md."""
        claim = CLAIMS[self.name]
        cells = (
            f"`{self.name}`",
            f"{claim.says} ({claim.source})",
            claim.statistic.replace("|", "\\|"),
            f"{claim.threshold:.3g}",
            self.effect_text,
            str(len(self.seeds)),
            "yes" if self.holds else "**no**",
        )
        return f"| {' | '.join(cells)} |"


TABLE_HEAD = (
    "| claim | says | statistic | at least | effect: mean [range] | seeds | holds |\n|---|---|---|---|---|---|---|"
)


def runs_of_claim(
    claim: Claim,
    scale: str,
    seeds: Sequence[int] | None = None,
    assignments: Sequence[str] = (),
    folder: str | None = None,
) -> dict[str, list[NeededRun]]:
    """The runs of each role, in the order of the seeds: 1, 2, ... unless they are named."""
    return needed_runs(claim.roles, scale, seeds or range(1, claim.seeds + 1), assignments, folder)


def judge(name: str, needed: Mapping[str, Sequence[NeededRun]]) -> Verdict:
    """The effect of every seed, from runs that are finished."""
    runs = {role: [run.plan.directory for run in group] for role, group in needed.items()}
    return Verdict(name, CLAIMS[name].effects(runs), tuple(run.seed for run in next(iter(needed.values()))))


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
    needed = {name: runs_of_claim(CLAIMS[name], options.scale, None, options.set, how.runs) for name in names}
    lacks = complete(needed, options.scale, how, options.dry_run)
    if options.dry_run or how.commands:
        return
    verdicts = []
    for name in (name for name in names if name not in lacks):
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
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"such as pb-gain; {ALL}: all claims")
    parser.add_argument("--scale", choices=base.SCALES, default="full", help="as of postprocess.reproduce")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all runs")
    parser.add_argument("--table", type=Path, metavar="FILE", help="also write the rows of docs/claims.md")
    parser.add_argument("--dry_run", action="store_true", help="show the runs only")
    parser.add_argument("--list", action="store_true", help="all claims")
    many.add_options(parser)
    return run_command(_claims_command, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
