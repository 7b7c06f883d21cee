"""Everything that a run allows to be computed: `python -m postprocess.analyse RUN_DIR [RUN_DIR ...]`.

Parts that need the rounds alone:

    masks        C_in and C_out of every layer, S maps, profiles, anisotropy and RF widths of every dense layer
and those that need its images, which are made or read as its input file says:

    accuracy     top-1 and top-5 of every round, at its last checkpoint
    kurtosis     of the preactivations where every round starts, and the inverse participation ratio of the weights
    cavity       the cavity scores of all first-layer weights at the start of every round, by the round of their pruning
    removal      accuracy without the most, the least connected or random nodes, in one round
    activations  the images that activate the most connected nodes most, in one round
    components   PCA and ICA of all validation images of the data set, beyond val_size, too

The arrays are stored beside the rounds, PREFIX_analysis_PART[_N].npz, and computed anew only where what they follow
from has changed. Layers are counted from 1, as in the papers; keys of arrays begin with lL_ where they are of layer L.
"""

import argparse
import contextlib
import itertools
import operator
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsIndex

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from postprocess.activations import NORMALISATIONS, layer_inputs, most_activating
from postprocess.cache import cached
from postprocess.cavity import cavity_row, later_mean, pruning_round
from postprocess.command_line import Parser, aligned, decimal, run_command
from postprocess.connectivity import binomial_excess, input_connections, layer_connections, most_connected
from postprocess.evaluation import ORDERS, evaluate, removal_curve, removal_order
from postprocess.kurtosis import IMAGES_PER_CLASS, first_of_each_class, image_kurtosis, inverse_participation_ratio
from postprocess.locality import anisotropy, displacement_maps, radial_profile, relative_near_share
from postprocess.masks import layer_masks
from postprocess.receptive_field import receptive_fields, width_of_layer
from postprocess.seeds import best_accuracy
from sifting import __version__, datasets
from sifting.base.extensions import NAME
from sifting.base.quiet import native_messages_hidden
from sifting.datasets.cache import stamps
from sifting.datasets.image_set import ImageSet
from sifting.errors import DataError, InputError, RunDirectoryError, one_line
from sifting.experiment.experiment import Experiment
from sifting.inputs import read_experiment
from sifting.network.observables import own_observables
from sifting.network.rounds import Round, connected_fraction, density
from sifting.network.statistics import ImageBlocks
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs
from sifting.training.api import Run
from sifting.training.plan import recorded_experiment

VERSION = 3  # of the arrays; a new one makes stored arrays stale
TOP_NODES, TOP_IMAGES = 30, 3  # shown in P&B Fig. 15
REMOVAL_SIZES = 11
SMALLEST_AMPLITUDE = 0.01  # of the fourfold harmonic, below which no preferred angle is shown

Found = Mapping[str, dict[Any, Any]]  # arrays by part, see analyse
Arrays = dict[str, Any]  # arrays, and numbers, which become arrays without dimensions in the files


class NotDefined(Exception):
    """A part that this run does not allow; the text says why."""


@dataclass(frozen=True)
class Options:
    """What the user can choose; part of what the arrays depend on.

    Attributes:
        layer: of the table and the kurtosis, from 1; None: the first dense one.
        normalise: see postprocess.activations; None: "stored" for layer 1, "batch" for deeper ones.
        images_per_class: of the training set, for kurtosis and cavity scores; 0 for all.
        round: of the removal curves and activations; None: the one with the best validation accuracy.
    """

    layer: int | None = None
    normalise: str | None = None
    images_per_class: int = IMAGES_PER_CLASS
    round: int | None = None


class Analysis(Run):
    """A run with what the user has chosen; the last round asked for, and round 0, stay in memory.

    Attributes:
        options, report: what is computed, and what is called with one line.
    """

    def __init__(
        self,
        directory: RunDirectory,
        experiment: Experiment | None = None,
        options: Options | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        super().__init__(directory, experiment)
        self.options, self.report = options or Options(), report
        self._read: dict[int, Round] = {}

    def __getitem__(self, number: SupportsIndex) -> Round:
        number = operator.index(number)
        if number not in self._read:
            self._read = {kept: result for kept, result in self._read.items() if kept == 0}
            self._read[number] = super().__getitem__(number)
        return self._read[number]

    @cached_property
    def first(self) -> Round:
        return self[self.numbers[0]]

    @cached_property
    def layer(self) -> int:
        """The layer of table and kurtosis, from 1. Raises DataError: it does not exist, or is not dense."""
        layers = [layer for layer, spec in enumerate(self.first.specs, 1) if spec.is_dense]
        layer = layers[0] if self.options.layer is None else self.options.layer
        if layer not in layers:
            raise DataError(
                f"{self.directory}: layer {layer} does not exist, or is not dense; accepted: "
                f"{', '.join(map(str, layers))}"
            )
        return layer

    @cached_property
    def normalise(self) -> str:
        return self.options.normalise or ("stored" if self.layer == 1 else "batch")

    @cached_property
    def shown(self) -> int:
        """The round of the removal curves and activations."""
        number = self.options.round
        if number is None:
            return min(self.numbers, key=lambda number: self[number].best_validation_error)
        if number not in self.numbers:
            accepted = ", ".join(map(str, self.numbers))
            raise RunDirectoryError(f"{self.directory}: has no round {number}; accepted: one of {accepted}")
        return number

    @property
    def frozen(self) -> bool:
        """Whether layers keep trained values when later rounds start."""
        return self.known is not None and self.known.method.freezes_weights

    @cached_property
    def nested(self) -> bool:
        """Whether the first-layer masks of each round are part of those of the round before."""
        try:
            return self.pruned_in is not None
        except DataError:
            return False

    @cached_property
    def pruned_in(self) -> np.ndarray:
        """The round in which each first-layer weight is pruned, see postprocess.cavity.pruning_round."""
        return pruning_round([self[number].masks[0].W for number in self.numbers])

    @cached_property
    def image_set(self) -> ImageSet:
        with native_messages_hidden():
            import sifting.network.forward  # noqa: F401  TensorFlow, without its start-up messages
        return self.images(self.report)

    def why_not(self, part: "Part") -> str:
        """Why a part cannot be computed; empty if it can."""
        if part.images and self.known is None:
            return "the images are not known; --input FILE names them"
        if part.rewind and self.numbers[0] != 0:
            return "there is no round 0, which stores the rewind point"
        if part.rewind and self.numbers != list(range(len(self.numbers))):
            return "a round is missing"
        if part.dense and not self.first.specs[0].is_dense:
            return "the first layer is a convolution or a max-pool"
        if part.rewind and self.frozen:
            return "layers are frozen in this run, so that rounds do not start from the rewind point"
        if part.nested and not self.nested:
            return "weights that were pruned come back in a later round; the rounds are not prunings of one another"
        return ""


# --- parts: arrays of one round, or of the run ---------------------------------------------------------------------


def mask_arrays(run: Analysis, number: int) -> Arrays:
    """Own and effective connections, S maps, profiles and RF widths of every dense layer."""
    result = run[number]
    arrays: Arrays = {
        "density": density(result.masks, result.specs),
        "connected": connected_fraction(result.masks, result.specs),
        "best_accuracy": best_accuracy(result),
    }
    masks = [result.masks[layer].W for layer, spec in enumerate(result.specs) if spec.is_dense]
    first = next(layer for layer, spec in enumerate(result.specs, 1) if spec.is_dense)
    for layer, own in enumerate(layer_connections(layer_masks(masks, "own")), first):
        arrays |= {f"l{layer}_C_in": own.incoming, f"l{layer}_C_out": own.outgoing}
    shape = result.image_shape
    if first > 1 or shape is None or min(shape[1:]) <= 6:  # anisotropy looks at distances up to 6 pixels
        return arrays
    for layer, mask in enumerate(layer_masks(masks[:-1] or masks, "effective"), 1):
        maps, fits = displacement_maps(mask, shape), receptive_fields(mask, shape=shape)
        direction, excess = anisotropy(maps.same, shape=shape), binomial_excess(input_connections(mask), len(mask))
        found = {
            "C_in_effective": input_connections(mask),
            "C_out_pixels": np.count_nonzero(mask, axis=1),
            "S_sc": maps.same,
            "S_dc": maps.different,
            "radial_profile": radial_profile(maps.same),
            "L3": relative_near_share(maps.same, shape=shape),
            "angular_profile": direction.profile,
            "excess_variance": excess.variance_ratio,
            "excess_tail": excess.tail,
        }
        names = ("axis_ratio", "preferred_angle", "fourfold", "orientation", "twofold")
        found |= {name: getattr(direction, name) for name in names}
        found |= {name: getattr(fits, name) for name in ("sigma_x", "sigma_y", "r_squared", "converged")}
        arrays |= {f"l{layer}_{name}": values for name, values in found.items()}
    return arrays


def accuracy_arrays(run: Analysis, number: int) -> Arrays:
    found = evaluate(run[number], run.image_set)
    return {"top1": found.top1, "top5": found.top5}


def kurtosis_arrays(run: Analysis, number: int) -> Arrays:
    """Of the rewind weights under the masks of the round; within_class is the mean over nodes, one a class."""
    layer, first, masks = run.layer - 1, run[0], run[number].masks
    rewind, count = first.checkpoints[0], run.options.images_per_class or None
    found = image_kurtosis(first, run.image_set, layer, rewind.step, masks, count, run.normalise)
    names = ("over_all", "mean", "mean_within_class", "left_out", "left_out_within_class")
    return {name: getattr(found, name) for name in names} | {
        "images_per_class": found.images,
        "inverse_participation_ratio": inverse_participation_ratio(rewind.parameters[layer].W * masks[layer].W),
    }


def cavity_arrays(run: Analysis, number: int) -> Arrays:
    """A CavityRow, and N_W(n) times its mean."""
    rewind = run[0].checkpoints[0]
    rows = first_of_each_class(run.image_set.labels, run.options.images_per_class or None)
    source = ImageBlocks(run.image_set.images, run.image_set.mean, rows)
    inputs = layer_inputs(rewind, source, normalise=run.options.normalise or "stored")
    mask, W = run[number].masks[0].W, rewind.parameters[0].W
    row = cavity_row(inputs, W, mask, run.pruned_in, len(run.numbers))
    return row._asdict() | {"scaled": row.weights_left * row.mean, "images": len(rows)}


def removal_arrays(run: Analysis) -> Arrays:
    result = run[run.shown]
    connections = input_connections(result.masks[0].W)
    sizes = np.linspace(0, len(connections), REMOVAL_SIZES).astype(int)
    arrays: Arrays = {"round": run.shown, "sizes": sizes}
    for order in ORDERS:
        curve = removal_curve(result, run.image_set, removal_order(connections, order), sizes, normalise="batch")
        arrays |= {f"{order}_top1": curve.top1, f"{order}_top5": curve.top5, f"{order}_relative": curve.relative}
    return arrays


def activation_arrays(run: Analysis) -> Arrays:
    """The most connected nodes of each dense hidden layer, their images, and the preactivations there."""
    result = run[run.shown]
    arrays: Arrays = {"round": run.shown}
    for layer, spec in enumerate(result.specs[:-1]):
        if spec.is_dense:
            nodes = most_connected(input_connections(result.masks[layer].W))[:TOP_NODES]
            found = most_activating(result, run.image_set, layer, nodes, min(TOP_IMAGES, len(run.image_set.val_labels)))
            names = {"nodes": nodes, "images": found.rows, "preactivations": found.values}
            arrays |= {f"l{layer + 1}_{name}": values for name, values in names.items()}
    return arrays


def component_arrays(run: Analysis) -> Arrays:
    # scikit-learn takes a second to import
    from postprocess.components import IMAGES_A_COMPONENT, component_count, image_components

    arrays: Arrays = {}
    images = datasets.load_complete(run.experiment, run.report)
    count = component_count(images)
    if count == 0:
        raise NotDefined(f"components need at least {IMAGES_A_COMPONENT} validation images")
    try:
        both = image_components(images, count)
    except DataError as error:  # the images vary in few directions
        raise NotDefined(str(error)) from None
    for name, found in zip(("pca", "ica"), both, strict=True):
        arrays |= {f"{name}_{key}": np.asarray(values) for key, values in vars(found).items()}
    return arrays


# --- the tables ----------------------------------------------------------------------------------------------------


def _mask_table(run: Analysis, found: Found) -> str:
    """Masks and accuracy of every round; empty without masks."""
    names = ("L3", "axis_ratio", "preferred_angle", "fourfold", "sigma_x", "converged")
    rows = [["round", "u [%]", "best [%]", "top-1 [%]", "top-5 [%]", "L3", "axis/diag.", "angle"]]
    rows[0] += ["RF median [px]", "mean, converged", "missing"]
    rows[0] += [observable.title for observable in own_observables().values()]
    for number, arrays in found.get("masks", {}).items():
        accuracy = found.get("accuracy", {}).get(number, {})
        of_layer = {name: arrays.get(f"l{run.layer}_{name}", np.nan) for name in names}
        widths = width_of_layer(*map(np.atleast_1d, (of_layer["sigma_x"], np.nan_to_num(of_layer["converged"]))))
        shares = arrays["density"], arrays["best_accuracy"], accuracy.get("top1"), accuracy.get("top5")
        angle = of_layer["preferred_angle"] if of_layer["fourfold"] >= SMALLEST_AMPLITUDE else np.nan
        rows.append([str(number), *(decimal(None if share is None else 100 * share) for share in shares)])
        rows[-1] += [decimal(of_layer["L3"]), decimal(of_layer["axis_ratio"]), decimal(angle, 0)]
        rows[-1] += [decimal(widths.median), decimal(widths.mean_converged)]
        rows[-1] += [str(widths.missing) if np.ndim(of_layer["sigma_x"]) else "-"]
        rows[-1] += [entry.cell(entry.measured(run[number], run.directory)) for entry in own_observables().values()]
    title = f"L3, direction and RF widths: of layer {run.layer}, all its nodes; top-1 and top-5 at the end of the round"
    return f"{title}\n{aligned(rows)}" if len(rows) > 1 else ""


def _kurtosis_table(run: Analysis, found: Found) -> str:
    """What the images say of where each round starts; empty without kurtosis."""
    if "kurtosis" not in found:
        return ""
    cavity = found.get("cavity", {})
    rows = [["round", "kurtosis", "within class", "left out", "IPR", "cavity: pruned next", "pruned later"]]
    for number, arrays in found["kurtosis"].items():
        ratios = arrays["inverse_participation_ratio"]
        following = cavity[number]["mean"][number + 1] if cavity else np.nan
        later = later_mean(cavity[number]["mean"], cavity[number]["scored"], number) if cavity else np.nan
        ratio = np.mean(ratios[np.isfinite(ratios)]) if np.isfinite(ratios).any() else np.nan
        rows.append([str(number), decimal(arrays["mean"]), decimal(arrays["mean_within_class"])])
        rows[-1] += [str(arrays["left_out"]), decimal(ratio, 4), decimal(following, 5), decimal(later, 5)]
    images = next(iter(found["kurtosis"].values()))["images_per_class"]
    return (
        f"Where each round starts (rewind weights, its masks), layer {run.layer}, z {_described(run)}, "
        f"{images.sum():,} training images; mean cavity scores: of layer 1\n{aligned(rows)}"
    )


def _described(run: Analysis) -> str:
    untrained = run.normalise == "stored" and run[0].checkpoints[0].step == 0
    return "stored, which before training is (0, 1)" if untrained else run.normalise


# --- what can be computed --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What is computed together.

    Attributes:
        compute: of (run, round number) if each round has its own arrays, else of the run.
        each_round: which of the two.
        all_rounds: whether the arrays of a round follow from all rounds.
        any_round: whether they follow from the images alone, all of them.
        options: of the run, that they follow from.
        images, rewind, dense, nested: whether it needs the images, round 0 and all that follow, a dense first layer,
            masks that only shrink.
        table: what shows it, with its neighbours of the same table.
        steps: what it does, for the user who waits.
    """

    compute: Callable[..., Arrays]
    each_round: bool = False
    all_rounds: bool = False
    any_round: bool = False
    options: Callable[[Analysis], list[Any]] = lambda run: []
    images: bool = True
    rewind: bool = False
    dense: bool = False
    nested: bool = False
    table: Callable[[Analysis, Found], str] | None = None
    steps: str = ""


class _Parts(dict[str, Part]):
    def __setitem__(self, name: str, part: Part) -> None:
        if name not in self:
            accepted = f"OBSERVABLES[{name!r}] of postprocess.observables, a function of a round, see docs/extending.md"
            raise InputError(f"{NAME}.py: PARTS[{name!r}]; accepted: {accepted}")
        super().__setitem__(name, part)


PARTS = _Parts(
    {
        "masks": Part(mask_arrays, each_round=True, images=False, table=_mask_table),
        "accuracy": Part(accuracy_arrays, each_round=True, table=_mask_table),
        "kurtosis": Part(
            kurtosis_arrays,
            each_round=True,
            rewind=True,
            table=_kurtosis_table,
            options=lambda run: [run.layer, run.normalise, run.options.images_per_class],
        ),
        "cavity": Part(
            cavity_arrays,
            each_round=True,
            all_rounds=True,
            rewind=True,
            dense=True,
            nested=True,
            table=_kurtosis_table,
            options=lambda run: [run.options.normalise, run.options.images_per_class],
        ),
        "removal": Part(removal_arrays, dense=True, options=lambda run: [run.options.round]),
        "activations": Part(activation_arrays, options=lambda run: [run.options.round]),
        "components": Part(component_arrays, any_round=True, steps="PCA, then ICA"),
    }
)


# --- a whole run ---------------------------------------------------------------------------------------------------


def allowed(run: Analysis, parts: Sequence[str], required: bool = False) -> list[str]:
    """What the run allows of these parts, in the order of PARTS, the slow ones last.

    Args:
        required: refuse what it does not allow, rather than leaving it out.

    Raises:
        DataError, RunDirectoryError: a layer or round that does not exist; what is required and impossible.
    """
    _ = run.layer, run.options.round is None or run.shown  # refused now, if they do not exist
    reasons = {name: run.why_not(part) for name, part in PARTS.items() if name in parts}
    for name in filter(reasons.get, reasons):
        _leave_out(run, name, reasons[name], required)
    return [name for name, reason in reasons.items() if not reason]


def _leave_out(run: Analysis, name: str, reason: str, required: bool) -> None:
    if required:
        raise RunDirectoryError(f"{run.directory}: {name} left out: {reason}")
    run.report(f"{name:12} left out: {reason}")


def analyse(
    run: Analysis, parts: Sequence[str] = tuple(PARTS), console: Console | None = None, required: bool = False
) -> dict[str, dict[Any, Any]]:
    """Compute, or find stored, what the run allows.

    Args:
        required: as of `allowed`.

    Returns:
        For each part that could be computed: its arrays by name, or for parts of each round {number: arrays}.

    Raises:
        DataError, InputError, RunDirectoryError: as `allowed`; rounds or images that cannot be read, or no room for
            the results.
    """
    found: dict[str, dict[Any, Any]] = {}
    for name in allowed(run, parts, required):
        part, began = PARTS[name], time.monotonic()
        try:
            results, stored = _compute(run, name, console or Console())
        except (NotDefined, MemoryError) as error:
            _leave_out(run, name, one_line(error), required)
            continue
        found[name] = results if part.each_round else results[None]
        what = f"{len(results)} rounds" if part.each_round else "done"
        known = "" if not stored else f", {stored} of them stored before" if part.each_round else ", stored before"
        run.report(f"{name:12} {what}{known}, {time.monotonic() - began:.1f} s")
    return found


def stored_part(
    directory: RunDirectory,
    part: str,
    assignments: Sequence[str] = (),
    report: Callable[[str], None] = lambda line: None,
) -> dict[Any, Any]:
    """The arrays of a part of a run, with the default options; computed where they are not stored.

    Raises:
        RunDirectoryError: the part cannot be computed for the run; the line says why.
    """
    run = Analysis(directory, recorded_experiment(directory, assignments), report=report)
    if reason := run.why_not(PARTS[part]):
        raise RunDirectoryError(f"{directory}: no {part}: {reason}")
    return analyse(run, [part], required=True)[part]


def _compute(run: Analysis, name: str, console: Console) -> tuple[dict[int | None, Arrays], int]:
    """The arrays of a part by round, or under None; and how many of them were stored."""
    part = PARTS[name]
    tasks: Sequence[int | None] = run.numbers if part.each_round else [None]
    results: dict[int | None, Arrays] = {}
    stored = 0
    # A part of the run as a whole does not say how far it is: its bar moves, and shows the time.
    columns = (
        Progress.get_default_columns()
        if part.each_round
        else (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    )
    progress = Progress(*columns, console=console, transient=True)
    # Before version 14.3 rich ends a line of a log even if it shows nothing.
    with progress if console.is_terminal else contextlib.nullcontext():
        description = f"{name}: {part.steps}" if part.steps else name
        bar = progress.add_task(description, total=len(tasks) if part.each_round else None)
        for number in tasks:
            results[number], was_stored = _task(run, name, part, number)
            stored += was_stored
            progress.advance(bar)
    return results, stored


def _task(run: Analysis, name: str, part: Part, number: int | None) -> tuple[Arrays, bool]:
    numbers = run.numbers if number is None or part.all_rounds else [0, number] if part.rewind else [number]
    images = ""
    if part.images:
        experiment = run.experiment
        images = str(experiment.data) if part.any_round else experiment.to_text()
    depends = {
        "version": [VERSION, __version__],
        "rounds": stamps([] if part.any_round else map(run.directory.round_path, numbers)),
        "options": part.options(run),
        "images": images,
    }
    file = run.directory.path(f"analysis_{name}.npz" if number is None else f"analysis_{name}_{number}.npz")
    return cached(file, depends, lambda: part.compute(run) if number is None else part.compute(run, number))


def _tables(run: Analysis, parts: Sequence[str], required: bool) -> Iterator[str]:
    """Compute these parts; each table follows the parts that it shows, so that it is there whatever happens later."""
    names = allowed(run, parts, required)
    for table, of_table in itertools.groupby(names, lambda name: PARTS[name].table):
        found = analyse(run, tuple(of_table), required=required)
        if table and (text := table(run, found)):
            yield text


# --- the command ---------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.analyse", description="All observables of a run, stored beside it.")
    parser.add_argument("run_dir", nargs="+", metavar="RUN_DIR", help="save_dir or DIR/PREFIX")
    parser.add_argument(
        "--parts", help=f"default: what the run allows of {', '.join(PARTS)}; what is named and impossible is refused"
    )
    parser.add_argument(
        "--input", nargs="+", metavar="FILE", help="input files; default: the run's own, PREFIX_input.in"
    )
    parser.add_settings("such as Data.dataloc=DIR")
    parser.add_argument("--layer", type=int, help="of the table and the kurtosis, from 1; default: the first dense one")
    parser.add_argument("--normalise", choices=NORMALISATIONS, help="default: stored; batch for deeper layers")
    parser.add_argument(
        "--images_per_class", type=int, default=IMAGES_PER_CLASS, help=f"default: {IMAGES_PER_CLASS}; 0: all"
    )
    parser.add_argument("--round", type=int, help="of removal and activations; default: that of the best accuracy")
    return run_command(_analyse_command, parser, arguments)


def _analyse_command(options: argparse.Namespace) -> None:
    parts = list(PARTS) if options.parts is None else options.parts.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InputError(f"--parts {options.parts}: {unknown[0]!r} is unknown; accepted: {', '.join(PARTS)}")
    if options.images_per_class < 0 or options.images_per_class == 1:
        raise InputError(f"--images_per_class {options.images_per_class}: accepted: 2 or more, or 0 for all")
    chosen = Options(options.layer, options.normalise, options.images_per_class, options.round)
    for directory in find_runs(options.run_dir):
        print(directory)
        run = Analysis(directory, _experiment(directory, options.input, options.set), chosen)
        for table in _tables(run, parts, options.parts is not None):
            print(f"\n{table}\n", flush=True)
        print(f"arrays     {directory.path('analysis_*.npz')}\n")


def _experiment(directory: RunDirectory, files: Sequence[str] | None, assignments: Sequence[str]) -> Experiment | None:
    return read_experiment(files, assignments) if files else recorded_experiment(directory, assignments)


if __name__ == "__main__":
    sys.exit(main())
