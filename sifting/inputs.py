"""The input file: one frozen dataclass a section, every key with its type, range, default and help.

`read_experiment` merges several files, applies [Scale], checks everything that can be checked without images or
TensorFlow, and returns an Experiment. docs/input.md holds the tables that `python -m sifting.inputs` prints.
"""

import configparser
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sifting import architecture, extensions, input_files
from sifting.errors import InputError
from sifting.keys import (
    FRACTION,
    LARGEST_INTEGER,
    POSITIVE,
    Kind,
    anything,
    boolean,
    choice,
    integer,
    key,
    number,
    text,
    whole_choice,
)
from sifting.methods import (
    METHODS,
    OTHER_RUNS,
    Cavity,
    Iterative,
    LayerByLayer,
    Levels,
    Method,
    Random,
    check_sections,
    of_kind,
)

COMMAND_LINE = "--set"

_Values = dict[tuple[str, str], tuple[str, str]]  # (section, key): (value, source)
_Count = TypeVar("_Count", int, int | None)


# --- the sections --------------------------------------------------------------------------------------------------


RECLASS_NAMES = ("semantic", "random", "5semantic5random", "partial_semantic")
NAMED_CLASSES = 10


@dataclass(frozen=True)
class Reclass:
    """A map of the data set's classes c = 0, 1, ... to `classes` new ones.

    rule: "n" none; "m" c mod classes; "f" `file` holds a comma-separated class id for every c; or one of
    RECLASS_NAMES, see datasets.reclass.
    """

    rule: str = "n"
    classes: int = 0
    file: str = ""

    def __str__(self) -> str:
        if self.rule in RECLASS_NAMES:
            return self.rule
        return ",".join(
            [self.rule, *([str(self.classes)] if self.classes else []), *([self.file] if self.file else [])]
        )


def _parse_reclass(value: str) -> Reclass:
    rule, *rest = (part.strip() for part in value.split(",", 2))
    if rule == "n" and not rest:
        return Reclass()
    if rule in RECLASS_NAMES and not rest:
        return Reclass(rule, NAMED_CLASSES)
    if len(rest) != {"m": 1, "f": 2}.get(rule):
        raise ValueError
    classes = integer(2).parse(rest[0])
    return Reclass(rule, classes, text("a file").parse(rest[1]) if rule == "f" else "")


def _parse_arch(value: str) -> tuple[architecture.LayerToken, ...]:
    return architecture.parse_arch(value)


ARCH = Kind(_parse_arch, architecture.ACCEPTED, lambda tokens: ":".join(map(str, tokens)))
RECLASS = Kind(_parse_reclass, f"n, or m,K, or f,K,FILE with K >= 2 classes, or {', or '.join(RECLASS_NAMES)}")


def _parse_deviation(value: str) -> str | float:
    return value if value in ("layer", "common") else POSITIVE.parse(value)


DEVIATION = Kind(_parse_deviation, "layer, common, or a number > 0")


DATASETS = ("ImageNet32", "ImageNet64", "CIFAR10", "EdgeCollage32", "npz", "folder")


def _parse_dataset(value: str) -> str:
    from sifting import datasets  # which imports this module, and also knows the data sets of extensions

    if value not in datasets.DATASETS:
        raise ValueError(" or ".join(datasets.DATASETS) + extensions.hint("a data set"))
    return value


DATASET = Kind(_parse_dataset, " or ".join(DATASETS))


def _same_order(recorded: str, new: str) -> bool:
    """Files may move between two parts of a run, but TensorFlow Datasets has the images in another order."""
    return (recorded.partition(":")[0] == "tfds") == (new.partition(":")[0] == "tfds")


@dataclass(frozen=True)
class IO:
    """Where results go."""

    save_dir: str = key(".", text("a folder"), "output folder, created if missing")
    prefix: str = key(
        "IMP",
        text("a file name without '/'", lambda value: value != "" and "/" not in value),
        "prefix of every output file; several runs with different prefixes can share a folder",
    )
    checkpoint_seconds: float = key(
        300.0,
        number("a number of seconds >= 0", lambda value: value >= 0),
        "time between two checkpoints of the round in progress",
    )
    cache_dir: str = key(
        "", text("a folder", lambda value: True), "folder of prepared images; empty: the user's cache folder"
    )
    tensorboard: bool = key(
        True, boolean(), "write event files into save_dir/PREFIX_tensorboard, see docs/interoperability.md"
    )


@dataclass(frozen=True)
class Data:
    """Which images, and which classes."""

    dataset: str = key(
        "ImageNet32",
        DATASET,
        "the images; EdgeCollage32 is made on the spot and needs no files; npz, folder: your own",
    )
    dataloc: str = key(
        "./ImageNet",
        text("a folder, an .npz file, tfds, or tfds:DATA_DIR"),
        "ImageNet32/64, CIFAR10: folder of the unpacked official files; or what TensorFlow Datasets has prepared, in "
        "its default folder or in DATA_DIR; npz: the file; folder: the folder of class folders; see docs/data.md",
        continues=_same_order,
    )
    image_size: int = key(32, integer(1, 1024), "folder: images are cropped and shrunk to squares of so many pixels")
    preload: bool = key(
        True,
        boolean(),
        "true: all images on the device, as uint8; false: streamed from disk, same results",
        continues=anything,
    )
    data_ratio: float = key(
        1.0,
        number("a number > 0 and <= 1", lambda value: 0 < value <= 1),
        "fraction of the training images: the first int(ratio*n) in file order",
    )
    reclass: Reclass = key(
        Reclass(),
        RECLASS,
        "class map of c = 0, 1, ...: n none; m,K c mod K; f,K,FILE ids 0..K-1 of all c, comma-separated, from FILE "
        "(relative to the working directory); names: ten super-classes of ImageNet's 1000 classes, see docs/data.md",
    )
    clone: str = key(
        "none", choice("none", "gaussian"), "gaussian: replace the images by a Gaussian clone per class and channel"
    )
    clone_images: int = key(
        100000, integer(2), "number of training images, the first ones, to which the clone is fitted"
    )
    clone_images_per_class: int = key(
        None, integer(2), "if given, instead of clone_images: the first so many training images of each class"
    )
    clone_ridge: float = key(
        0.0,
        number("a number >= 0", lambda value: value >= 0),
        "added to the variance of each pixel of the clone, in squared grey levels",
    )
    clone_seed: int = key(0, integer(0), "seed of the clone's samples")
    rotate: float = key(
        0.0,
        number("any number of degrees", lambda value: True),
        "degrees by which all images are turned counter-clockwise; the input of pixels without a source is 0, see "
        "docs/data.md",
    )
    translate: int = key(
        0,
        integer(0),
        "training images are shifted down and to the right, each by 0 to so many pixels, drawn anew in every step, "
        "with periodic boundaries; less than the size of the images; not for convolutions",
    )
    collage_class: str = key(
        "sharpness", choice("sharpness", "orientation"), "EdgeCollage32: what tells its classes apart, see docs/data.md"
    )
    collage_size: int = key(
        32, whole_choice(32, 64), "EdgeCollage32: pixels along a side; 64: more cells of the same size"
    )
    collage_classes: int = key(
        None,
        whole_choice(10, 100),
        "EdgeCollage32: number of classes; 100: ten families of ten members; default: 10, but 100 with a reclass of "
        "the names above",
    )
    collage_images: int = key(60000, integer(1), "EdgeCollage32: number of training images")
    collage_val_images: int = key(10000, integer(1), "EdgeCollage32: number of validation images")
    collage_seed: int = key(0, integer(0), "EdgeCollage32: seed of the images (the layout is always the same)")


@dataclass(frozen=True)
class Network:
    """The network and its training."""

    arch: tuple[architecture.LayerToken, ...] = key((), ARCH, "layers, such as f1024:f1024:f1024:x; required")
    steps: int = key(100000, integer(1), "training steps of each round", scaled="steps")
    batch_size: int = key(1000, integer(2), "images a step, drawn with replacement", scaled="batch", least=2)
    val_size: int = key(1000, integer(1), "number of validation images, the first ones", scaled="images")
    validate_step: int = key(100, integer(1), "steps between two validations", scaled="steps")
    minimizer: str = key("SGD", choice("SGD", "Adam"), "Adam: beta 0.9 and 0.999, epsilon 1e-8")
    learning_rate: float = key(0.1, POSITIVE, "constant learning rate")
    init_deviation: str | float = key(
        "layer",
        DEVIATION,
        "standard deviation of the initial weights: layer, sqrt(2 / (n_in + n_out)) of each layer; common, the root "
        "mean square of these over all weights; or a number, for all layers",
    )
    init_distribution: str = key(
        "normal", choice("normal", "uniform"), "of the initial weights: around 0, with the standard deviation above"
    )
    init_sparsity: float = key(
        0.0, FRACTION, "probability with which each weight of a prunable layer starts masked (biases never)"
    )
    batch_norm_beta: float = key(0.99, FRACTION, "decay of the running moments")
    restart: bool = key(False, boolean(), "go on from stored rounds, as the next four keys say")
    rest_it: int = key(1, integer(1), "number given to the first round after the restart")
    rest_weights_file: str = key(
        None, text("a file"), "its first stored checkpoint is the rewind point; default: save_dir/PREFIX_itdata_0.pkl"
    )
    rest_mask_file: str = key(
        None,
        text("a file"),
        "weights, ratios and masks to prune from; default: save_dir/PREFIX_itdata_(rest_it-1).pkl for methods that "
        "prune round by round, save_dir/PREFIX_itdata_0.pkl for those with levels",
    )
    restart_weights_step: int = key(
        -1,
        integer(-LARGEST_INTEGER),
        "which stored checkpoint of rest_mask_file to prune from: 0 first, -1 last; also rest_file_step",
    )
    seed: int = key(None, integer(0), "seed of all random draws; default: drawn once and recorded")
    jit_compile: bool = key(True, boolean(), "compile the training loop with XLA", continues=anything)
    deterministic: bool = key(False, boolean(), "TensorFlow's deterministic kernels: slower on a GPU")
    tf32: bool = key(False, boolean(), "allow TF32 matrix products on GPUs that have them (errors near 1e-3)")
    centring: str = key(
        "reference",
        choice("reference", "exact"),
        "reference: the reference's batch-norm formula; exact: constant features become exactly zero",
    )


@dataclass(frozen=True)
class Scale:
    """Factors that shrink (or grow) an experiment; applied once all files are merged."""

    width: float = key(1.0, POSITIVE, "factor on the nodes and kernels of every hidden layer")
    steps: float = key(1.0, POSITIVE, "factor on steps, weights_step, prune_step and validate_step")
    batch: float = key(1.0, POSITIVE, "factor on batch_size")
    smallest_batch: int = key(
        2, integer(2), "batch_size is not scaled below this (nor changed, if it is smaller): tiny batches do not train"
    )
    images: float = key(1.0, POSITIVE, "factor on the numbers of training images, val_size and a method's images")


SECTIONS: dict[str, type] = {"IO": IO, "Data": Data, "Network": Network, **METHODS, "Scale": Scale}
ALIASES = {("Network", "rest_file_step"): "restart_weights_step"}


@dataclass(frozen=True)
class Experiment:
    """A resolved experiment: all sections, scaled and checked.

    Attributes:
        method: the section that names the method, see methods.METHODS.
        sources: the file (or --set) that gave each key, for error messages; keys left at their default are absent.
    """

    io: IO
    data: Data
    network: Network
    method: Method
    sources: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)

    @property
    def method_name(self) -> str:
        return self.method.name

    def sections(self) -> dict[str, Any]:
        """Section name to section, in the order of the input file."""
        return {"IO": self.io, "Data": self.data, "Network": self.network, self.method_name: self.method}

    def error(self, section: str, name: str, accepted: str) -> InputError:
        """The one-line refusal of a value that is of the right type but does not fit the rest."""
        value = getattr(self.sections()[section], name)
        kind = _kind_of(section, name)
        shown = "" if value is None else kind.format(value)
        return refusal(self.sources.get((section, name), "default"), section, name, shown, accepted)

    def replace(self, section: str, **changes: Any) -> "Experiment":
        """A copy with other values in one section."""
        attribute = "method" if section == self.method_name else section.lower()
        return dataclasses.replace(self, **{attribute: dataclasses.replace(getattr(self, attribute), **changes)})

    def to_text(self) -> str:
        """The input file that gives this experiment, every key spelled out except those that are unset."""
        lines = []
        for section, keys in self.settings().items():
            lines += [f"[{section}]", *(f"{key} = {text}".rstrip() for key, (_, text) in keys.items()), ""]
        return "\n".join(lines)

    def settings(self) -> dict[str, dict[str, tuple[Any, str]]]:
        """{section: {key: (value, its text in an input file)}} of all keys except those that are unset."""
        return {
            name: {
                entry.name: (value, entry.metadata["kind"].format(value))
                for entry in dataclasses.fields(section)
                if (value := getattr(section, entry.name)) is not None
            }
            for name, section in self.sections().items()
        }


def refusal(source: str, section: str, name: str, value: str, accepted: str) -> InputError:
    return InputError(f"{source}: [{section}] {name} = {value!r}: accepted: {accepted}")


# --- reading -------------------------------------------------------------------------------------------------------


def read_experiment(paths: Sequence[str], assignments: Iterable[str] = (), source: str = COMMAND_LINE) -> Experiment:
    """Merge input files, later ones overriding earlier ones key by key, and check the result.

    Args:
        paths: input files.
        assignments: "Section.key=value", stronger than every file.
        source: where the assignments come from, for error messages.

    Raises:
        InputError: one line that names file, section, key, value and what is accepted.
    """
    extensions.load()
    check_sections()
    SECTIONS.update(METHODS)
    values: dict[tuple[str, str], tuple[str, str]] = {}  # (section, key): (text, source)
    sections: dict[str, str] = {}  # section: first source
    for path in paths:
        for section, entries in _read_file(path).items():
            sections.setdefault(section, path)
            _collect(values, section, entries, path)
    for assignment in assignments:
        target, separator, value = assignment.partition("=")
        section, _, name = target.strip().partition(".")
        if not (separator and section.strip() and name.strip()):
            raise InputError(f"{source} '{assignment}': accepted: Section.key=value, such as Network.steps=1e4")
        sections.setdefault(section, source)
        _collect(values, section, {name.strip().lower(): value.strip()}, source)
    return _resolve(values, sections, ", ".join(paths) or source)


def _read_file(path: str) -> dict[str, dict[str, str]]:
    """Sections and keys of one file as text."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",), default_section="")
    parser.SECTCRE = re.compile(r"\[(?P<header>[^]]+)\]$")  # by default, what follows ] would be ignored
    try:
        with open(input_files.find(path), encoding="utf-8-sig") as file:
            parser.read_file(file, source=path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); accepted: an input file such as inputs/quickstart.in"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file; accepted: an input file such as inputs/quickstart.in") from None
    except configparser.DuplicateOptionError as error:
        raise InputError(
            f"{path}: line {error.lineno}: [{error.section}] {error.option} is given twice; accepted: once"
        ) from None
    except configparser.DuplicateSectionError as error:
        raise InputError(
            f"{path}: line {error.lineno}: section [{error.section}] is given twice; accepted: once"
        ) from None
    except configparser.MissingSectionHeaderError as error:
        raise InputError(
            f"{path}: line {error.lineno}: {error.line.strip()!r} stands before any section; "
            f"accepted: {_names(SECTIONS)}"
        ) from None
    except configparser.ParsingError as error:
        line_number, line = error.errors[0]
        raise InputError(f"{path}: line {line_number}: {line}: accepted: [Section], or key = value") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _collect(values: _Values, section: str, entries: Mapping[str, str], source: str) -> None:
    """Check the names of one source's keys, and let them override what was there."""
    if section not in SECTIONS:
        keys = ",".join(f" {name} = {value!r}" for name, value in entries.items())
        accepted = _names(SECTIONS) + extensions.hint("a section")
        raise InputError(f"{source}: [{section}]{keys}: unknown section; accepted: {accepted}")
    known = {entry.name for entry in dataclasses.fields(SECTIONS[section])}
    for name, value in entries.items():
        canonical = ALIASES.get((section, name), name)
        if canonical not in known:
            raise InputError(
                f"{source}: [{section}] {name} = {value!r}: unknown key; accepted: "
                + ", ".join(entry.name for entry in dataclasses.fields(SECTIONS[section]))
            )
        if canonical != name and canonical in entries:
            raise InputError(
                f"{source}: [{section}] {name} = {value!r}: another name of {canonical}, which is given too; "
                "accepted: one of them"
            )
        values[section, canonical] = (value, source)


def _kind_of(section: str, name: str) -> Kind:
    """What a key accepts."""
    kind: Kind
    (kind,) = (entry.metadata["kind"] for entry in dataclasses.fields(SECTIONS[section]) if entry.name == name)
    return kind


def _names(sections: Iterable[str]) -> str:
    return ", ".join(f"[{section}]" for section in sections)


def _resolve(values: _Values, sections: Mapping[str, str], files: str) -> Experiment:
    """Parse every value, choose the method, apply [Scale], settle the defaults that depend on others, check."""
    parsed: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for (section, name), (value, source) in values.items():
        kind = _kind_of(section, name)
        try:
            parsed[section][name] = kind.parse(value)
        except ValueError as error:
            accepts = f"{kind.accepts} ({error})" if kind is ARCH else kind.accepts
            if kind is DATASET:  # whose `accepts`, as the documentation shows it, leaves extensions out
                accepts = str(error)
            raise refusal(source, section, name, value, accepts) from None
    methods = [name for name in METHODS if name in sections]
    if len(methods) != 1:
        sources = ", ".join(dict.fromkeys(sections[name] for name in methods))
        found = f"{_names(methods)} in {sources}" if methods else "none"
        behind = "" if methods else "; a file such as inputs/small.in stands behind one that has it"
        raise InputError(f"{files}: method section: found {found}; accepted: exactly one of {_names(METHODS)}{behind}")
    if "arch" not in parsed["Network"]:
        raise InputError(f"{files}: [Network] arch is missing; accepted: {architecture.ACCEPTED}")
    experiment = Experiment(
        IO(**parsed["IO"]),
        Data(**parsed["Data"]),
        Network(**parsed["Network"]),
        METHODS[methods[0]](**parsed[methods[0]]),
        {name: source for name, (_, source) in values.items()},
    )
    scaled = _apply_scale(experiment, Scale(**parsed["Scale"]))
    return _check(_settle_defaults(scaled))


def _apply_scale(experiment: Experiment, scale: Scale) -> Experiment:
    """Multiply by the factors of [Scale]. A positive number stays positive, zero stays zero."""

    def scaled(value: _Count, name: str, least: int = 1, most: int = LARGEST_INTEGER) -> _Count:
        """`value` times the factor `name`."""
        factor: float = getattr(scale, name)
        if not value:
            return value
        if value * factor > most:
            source = experiment.sources["Scale", name]
            raise refusal(source, "Scale", name, repr(factor), f"at most {most / value:.6g}: it multiplies {value}")
        return max(least, round(value * factor))

    smallest = {"batch": min(scale.smallest_batch, experiment.network.batch_size)}
    for name, section in experiment.sections().items():
        factors = {entry.name: entry.metadata for entry in dataclasses.fields(section) if entry.metadata["scaled"]}
        experiment = experiment.replace(
            name,
            **{
                entry: scaled(
                    getattr(section, entry), metadata["scaled"], smallest.get(metadata["scaled"], metadata["least"])
                )
                for entry, metadata in factors.items()
            },
        )
    hidden = {architecture.DENSE: 0, architecture.CONVOLUTION: 1}  # which number of the token is the width
    arch = tuple(
        dataclasses.replace(
            token,
            numbers=tuple(
                scaled(value, "width", most=architecture.LARGEST_SIZE) if position == hidden.get(token.kind) else value
                for position, value in enumerate(token.numbers)
            ),
        )
        for token in experiment.network.arch
    )
    experiment = experiment.replace("Network", arch=arch)
    data = experiment.data
    if scale.images == 1:
        return experiment
    if data.dataset == "EdgeCollage32":
        return experiment.replace(
            "Data",
            collage_images=scaled(data.collage_images, "images"),
            collage_val_images=scaled(data.collage_val_images, "images"),
        )
    experiment = experiment.replace("Data", data_ratio=data.data_ratio * scale.images)
    if experiment.data.data_ratio > 1:
        raise experiment.error("Data", "data_ratio", "at most 1 after multiplication by [Scale] images")
    return experiment


def _settle_defaults(experiment: Experiment) -> Experiment:
    """Fill in the defaults that depend on other keys."""
    network, method, name = experiment.network, experiment.method, experiment.method_name
    folder, prefix = Path(experiment.io.save_dir).expanduser(), experiment.io.prefix
    experiment = experiment.replace("IO", save_dir=str(folder))
    if network.restart:
        pruned = network.rest_it - 1 if isinstance(method, Iterative) else 0
        experiment = experiment.replace(
            "Network",
            rest_weights_file=os.path.expanduser(network.rest_weights_file or "")
            or str(folder / f"{prefix}_itdata_0.pkl"),
            rest_mask_file=os.path.expanduser(network.rest_mask_file or "")
            or str(folder / f"{prefix}_itdata_{pruned}.pkl"),
        )
    if experiment.data.collage_classes is None:
        classes = 100 if experiment.data.reclass.rule in RECLASS_NAMES else 10
        experiment = experiment.replace("Data", collage_classes=classes)
    settled = {}
    if method.prune is None:
        settled["prune"] = method.default_prune(len(network.arch))
    if hasattr(method, "prune_step") and method.prune_step is None:
        settled["prune_step"] = network.steps
    for entry in OTHER_RUNS:
        if getattr(method, entry, None) is not None:
            settled[entry] = os.path.expanduser(getattr(method, entry))
    experiment = experiment.replace(name, **settled)
    if isinstance(method, LayerByLayer) and method.layers is None:
        experiment = experiment.replace(name, layers=max(1, len(_prunable(experiment))))
    return experiment


def _prunable(experiment: Experiment) -> list[int]:
    """The layers that are pruned."""
    flags = zip(experiment.method.prune, experiment.network.arch, strict=False)
    return [index for index, (flag, token) in enumerate(flags) if flag and token.kind != architecture.POOL]


def _check(experiment: Experiment) -> Experiment:
    """Refuse values that do not fit each other."""
    network, method, name = experiment.network, experiment.method, experiment.method_name
    if hasattr(method, "prune_step"):
        if method.prune_step > network.steps:
            raise experiment.error(name, "prune_step", f"at most [Network] steps = {network.steps}")
        if method.rewind_step >= method.prune_step:
            prune_step = f"{method.prune_step} (prune_step, by default steps)"
            raise experiment.error(name, "weights_step", f"a whole number >= 0 and < {prune_step}")
    elif method.rewind_step >= network.steps:
        raise experiment.error(name, "weights_step", f"a whole number >= 0 and < [Network] steps = {network.steps}")
    if experiment.data.translate and architecture.CONVOLUTION in {token.kind for token in network.arch}:
        raise experiment.error("Data", "translate", "0 with the convolutions of [Network] arch")
    if len(method.prune) > len(network.arch):
        raise experiment.error(name, "prune", f"at most {len(network.arch)} flags, one for each layer of arch")
    if not _prunable(experiment):
        raise experiment.error(name, "prune", "at least one T, at a layer with weights")
    if isinstance(method, Levels):
        _check_levels(experiment)
    elif isinstance(method, Iterative) and network.restart and network.rest_it >= method.max_iterations:
        raise experiment.error("Network", "rest_it", f"less than [{name}] max_iterations = {method.max_iterations}")
    if isinstance(method, LayerByLayer):
        _check_layers(experiment)
    if isinstance(method, Cavity) and (
        _prunable(experiment) != [0] or network.arch[0].kind == architecture.CONVOLUTION
    ):
        raise experiment.error(name, "prune", "T at the first layer alone, which must be a dense one")
    return experiment


def _check_levels(experiment: Experiment) -> None:
    """The levels must be given in one way, lie above init_sparsity, and reach to where a restart begins."""
    network, method, name = experiment.network, of_kind(experiment.method, Levels), experiment.method_name
    ways: dict[str, tuple[str, ...]] = {"sparsity": ("sparsity",), "prune_ratio and rounds": ("prune_ratio", "rounds")}
    if isinstance(method, Random):
        ways["like"] = ("like",)
    given = {entry for keys in ways.values() for entry in keys if getattr(method, entry) is not None}
    if not any(given == set(keys) for keys in ways.values()):
        raise experiment.error(
            name,
            next(iter(sorted(given)), "sparsity"),
            f"the levels given in exactly one way: {', or '.join(ways)}; given: {', '.join(sorted(given)) or 'none'}",
        )
    if not method.dense_round and method.rewind_step and not network.restart:
        raise experiment.error(name, "weights_step", "0 with dense = false: the rewind point belongs to round 0")
    if network.restart and getattr(method, "dense_run", None) is not None:
        raise experiment.error(name, "dense_run", "not with restart, which says itself where to begin")
    if isinstance(method, Random) and method.like is not None:
        if method.scope == "global":
            raise experiment.error(name, "scope", "layerwise with like, which gives each layer its density")
        return
    levels = method.levels(network.init_sparsity)
    if levels[0] <= network.init_sparsity:
        raise experiment.error(name, "sparsity", f"levels above [Network] init_sparsity = {network.init_sparsity}")
    if network.restart and network.rest_it > len(levels):
        raise experiment.error("Network", "rest_it", f"at most {len(levels)}, the number of levels")


def _check_layers(experiment: Experiment) -> None:
    network, method, name = experiment.network, of_kind(experiment.method, LayerByLayer), experiment.method_name
    prunable = len(_prunable(experiment))
    if method.layers > prunable:
        raise experiment.error(name, "layers", f"at most {prunable}, the number of prunable layers")
    if method.first_layer > method.layers:
        raise experiment.error(name, "first_layer", f"at most [{name}] layers = {method.layers}")
    if method.first_layer > 1 and not network.restart:
        raise experiment.error(name, "first_layer", "1, but after [Network] restart")


def cache_folder(experiment: Experiment) -> Path:
    """The folder of prepared images: [IO] cache_dir, or sifting/ in the user's cache folder."""
    if experiment.io.cache_dir:
        return Path(experiment.io.cache_dir).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sifting"


# --- documentation -------------------------------------------------------------------------------------------------


def markdown_tables() -> str:
    """The tables of docs/input.md: one a section, one row a key."""
    blocks = []
    for name, section in SECTIONS.items():
        rows = [f"## [{name}]", "", section.__doc__ or "", ""]
        rows += ["| key | default | accepted | meaning |", "|---|---|---|---|"]
        for entry in dataclasses.fields(section):
            kind = entry.metadata["kind"]
            default = "" if entry.default in (None, (), "") else f"`{kind.format(entry.default)}`"
            accepts = "see below" if kind is ARCH else kind.accepts
            rows.append(f"| {entry.name} | {default} | {accepts} | {entry.metadata['help']} |")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    print(markdown_tables(), end="")
