"""The input file: one frozen dataclass a section, every key with its type, range, default and help.

`read_experiment` merges several files, applies [Scale], checks everything that can be checked without images or
TensorFlow, and returns an Experiment. docs/input.md holds the tables that `python -m sifting.inputs` prints.
"""

import configparser
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from sifting import architecture
from sifting.errors import InputError

LARGEST_INTEGER = 2**31 - 1
COMMAND_LINE = "--set"


# --- kinds of values -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How a key's text becomes a value. `parse` raises ValueError for text that it does not accept."""

    parse: Callable[[str], Any]
    accepts: str
    format: Callable[[Any], str] = str


def integer(minimum: int, maximum: int = LARGEST_INTEGER) -> Kind:
    """Whole numbers, also written as 1e5."""

    def parse(text: str) -> int:
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise ValueError from None
        if not (number.is_finite() and minimum <= number <= maximum and number == number.to_integral_value()):
            raise ValueError
        return int(number)

    lower = "" if minimum == -LARGEST_INTEGER else f" >= {minimum}"
    upper = "" if maximum == LARGEST_INTEGER else f" and <= {maximum}"
    return Kind(parse, f"a whole number{lower}{upper}, such as 100 or 1e2")


def number(accepts: str, within: Callable[[float], bool]) -> Kind:
    def parse(text: str) -> float:
        value = float(text)
        if not (within(value) and abs(value) < float("inf")):
            raise ValueError
        return value

    return Kind(parse, accepts, repr)


def boolean() -> Kind:
    states = configparser.ConfigParser.BOOLEAN_STATES

    def parse(text: str) -> bool:
        if text.lower() not in states:
            raise ValueError
        return states[text.lower()]

    return Kind(parse, "true or false", lambda value: str(value).lower())


def choice(*options: str) -> Kind:
    def parse(text: str) -> str:
        if text not in options:
            raise ValueError
        return text

    return Kind(parse, " or ".join(options))


def text(accepts: str, within: Callable[[str], bool] = bool) -> Kind:
    """One printable line, without what would begin a comment: the recorded input file must read as the same text."""

    def parse(value: str) -> str:
        if not (within(value) and value.isprintable() and " #" not in f" {value}"):
            raise ValueError
        return value

    return Kind(parse, accepts)


@dataclass(frozen=True)
class Reclass:
    """A map of the data set's classes c = 0, 1, ... to `classes` new ones.

    rule: "n" none; "m" c mod classes; "f" `file` holds a comma-separated class id for every c.
    """

    rule: str = "n"
    classes: int = 0
    file: str = ""

    def __str__(self) -> str:
        return ",".join(
            [self.rule, *([str(self.classes)] if self.classes else []), *([self.file] if self.file else [])]
        )


def _parse_reclass(value: str) -> Reclass:
    rule, *rest = (part.strip() for part in value.split(",", 2))
    if rule == "n" and not rest:
        return Reclass()
    if len(rest) != {"m": 1, "f": 2}.get(rule):
        raise ValueError
    classes = integer(2).parse(rest[0])
    return Reclass(rule, classes, text("a file").parse(rest[1]) if rule == "f" else "")


def _parse_arch(value: str) -> tuple[architecture.LayerToken, ...]:
    return architecture.parse_arch(value)


def _parse_prune(value: str) -> tuple[bool, ...]:
    flags = {"T": True, "F": False}
    try:
        return tuple(flags[part.strip()] for part in value.split(":"))
    except KeyError:
        raise ValueError from None


ARCH = Kind(_parse_arch, architecture.ACCEPTED, lambda tokens: ":".join(map(str, tokens)))
RECLASS = Kind(_parse_reclass, "n, or m,K, or f,K,FILE with K >= 2 classes")
PRUNE = Kind(
    _parse_prune,
    "T or F for each layer of arch, joined by ':', such as T:T:F",
    lambda flags: ":".join("T" if flag else "F" for flag in flags),
)
POSITIVE = number("a number > 0", lambda value: value > 0)


def key(default: Any, kind: Kind, help: str) -> Any:
    """A dataclass field for one key. A default of None: settled later, as the help says."""
    return field(default=default, metadata={"kind": kind, "help": help})


# --- the sections --------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Data:
    """Which images, and which classes."""

    dataset: str = key(
        "ImageNet32",
        choice("ImageNet32", "ImageNet64", "EdgeCollage32"),
        "the images; EdgeCollage32 is made on the spot and needs no files",
    )
    dataloc: str = key("./ImageNet", text("a folder"), "folder of the unpacked official ImageNet32/64 files")
    preload: bool = key(
        True, boolean(), "true: all images on the device, as uint8; false: streamed from disk, same results"
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
        "(relative to the working directory)",
    )
    clone: str = key(
        "none", choice("none", "gaussian"), "gaussian: replace the images by a Gaussian clone per class and channel"
    )
    clone_images: int = key(
        100000, integer(2), "number of training images, the first ones, to which the clone is fitted"
    )
    clone_seed: int = key(0, integer(0), "seed of the clone's samples")
    collage_class: str = key(
        "sharpness", choice("sharpness", "orientation"), "EdgeCollage32: what tells its classes apart, see docs/data.md"
    )
    collage_images: int = key(60000, integer(1), "EdgeCollage32: number of training images")
    collage_val_images: int = key(10000, integer(1), "EdgeCollage32: number of validation images")
    collage_seed: int = key(0, integer(0), "EdgeCollage32: seed of the images (the layout is always the same)")


@dataclass(frozen=True)
class Network:
    """The network and its training."""

    arch: tuple[architecture.LayerToken, ...] = key((), ARCH, "layers, such as f1024:f1024:f1024:x; required")
    steps: int = key(100000, integer(1), "training steps of each round")
    batch_size: int = key(1000, integer(2), "images a step, drawn with replacement")
    val_size: int = key(1000, integer(1), "number of validation images, the first ones")
    validate_step: int = key(100, integer(1), "steps between two validations")
    minimizer: str = key("SGD", choice("SGD", "Adam"), "Adam: beta 0.9 and 0.999, epsilon 1e-8")
    learning_rate: float = key(0.1, POSITIVE, "constant learning rate")
    init_sparsity: float = key(
        0.0,
        number("a number >= 0 and < 1", lambda value: 0 <= value < 1),
        "probability with which each weight of a prunable layer starts masked (biases never)",
    )
    batch_norm_beta: float = key(
        0.99, number("a number >= 0 and < 1", lambda value: 0 <= value < 1), "decay of the running moments"
    )
    restart: bool = key(False, boolean(), "go on from stored rounds, as the next four keys say")
    rest_it: int = key(1, integer(1), "number given to the first round after the restart")
    rest_weights_file: str = key(
        None, text("a file"), "its first stored checkpoint is the rewind point; default: save_dir/PREFIX_itdata_0.pkl"
    )
    rest_mask_file: str = key(
        None, text("a file"), "weights, ratios and masks to prune from; default: save_dir/PREFIX_itdata_(rest_it-1).pkl"
    )
    restart_weights_step: int = key(
        -1,
        integer(-LARGEST_INTEGER),
        "which stored checkpoint of rest_mask_file to prune from: 0 first, -1 last; also rest_file_step",
    )
    seed: int = key(None, integer(0), "seed of all random draws; default: drawn once and recorded")
    jit_compile: bool = key(True, boolean(), "compile the training loop with XLA")
    deterministic: bool = key(False, boolean(), "TensorFlow's deterministic kernels: slower on a GPU")
    tf32: bool = key(False, boolean(), "allow TF32 matrix products on GPUs that have them (errors near 1e-3)")
    centring: str = key(
        "reference",
        choice("reference", "exact"),
        "reference: the reference's batch-norm formula; exact: constant features become exactly zero",
    )


@dataclass(frozen=True)
class IMP:
    """Iterative magnitude pruning."""

    prune: tuple[bool, ...] = key(
        None, PRUNE, "which layers are pruned, in the order of arch; missing flags at the end are F; default: all T"
    )
    prune_ratio: float = key(
        0.3,
        number("a number > 0 and < 1", lambda value: 0 < value < 1),
        "fraction of the remaining weights pruned per round",
    )
    weights_step: int = key(1000, integer(0), "rewind step; less than prune_step")
    prune_step: int = key(None, integer(1), "step whose weights make the mask; at most steps; default: steps")
    stop_ratio: float = key(
        0.0,
        number("a number >= 0 and < 1", lambda value: 0 <= value < 1),
        "stop once, in some prunable layer, the fraction of connected nodes is <= this",
    )
    max_iterations: int = key(1000, integer(1), "number of rounds, round 0 included")


@dataclass(frozen=True)
class Scale:
    """Factors that shrink (or grow) an experiment; applied once all files are merged."""

    width: float = key(1.0, POSITIVE, "factor on the nodes and kernels of every hidden layer")
    steps: float = key(1.0, POSITIVE, "factor on steps, weights_step, prune_step and validate_step")
    batch: float = key(1.0, POSITIVE, "factor on batch_size")
    images: float = key(1.0, POSITIVE, "factor on the number of training images and on val_size")


METHODS: dict[str, type] = {"IMP": IMP}
SECTIONS: dict[str, type] = {"IO": IO, "Data": Data, "Network": Network, **METHODS, "Scale": Scale}
ALIASES = {("Network", "rest_file_step"): "restart_weights_step"}


@dataclass(frozen=True)
class Experiment:
    """A resolved experiment: all sections, scaled and checked.

    Attributes:
        method: the section that names the method (an IMP).
        sources: the file (or --set) that gave each key, for error messages; keys left at their default are absent.
    """

    io: IO
    data: Data
    network: Network
    method: IMP
    sources: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)

    @property
    def method_name(self) -> str:
        return type(self.method).__name__

    def sections(self) -> dict[str, Any]:
        """Section name to section, in the order of the input file."""
        return {"IO": self.io, "Data": self.data, "Network": self.network, self.method_name: self.method}

    def error(self, section: str, name: str, accepted: str) -> InputError:
        """The one-line refusal of a value that is of the right type but does not fit the rest."""
        value = getattr(self.sections()[section], name)
        kind = SECTIONS[section].__dataclass_fields__[name].metadata["kind"]
        return refusal(self.sources.get((section, name), "default"), section, name, kind.format(value), accepted)

    def replace(self, section: str, **changes: Any) -> "Experiment":
        """A copy with other values in one section."""
        attribute = "method" if section == self.method_name else section.lower()
        return dataclasses.replace(self, **{attribute: dataclasses.replace(getattr(self, attribute), **changes)})

    def to_text(self) -> str:
        """The input file that gives this experiment, every key spelled out except those that are unset."""
        lines = []
        for name, section in self.sections().items():
            lines.append(f"[{name}]")
            for entry in dataclasses.fields(section):
                value = getattr(section, entry.name)
                if value is not None:
                    lines.append(f"{entry.name} = {entry.metadata['kind'].format(value)}".rstrip())
            lines.append("")
        return "\n".join(lines)


def refusal(source: str, section: str, name: str, value: str, accepted: str) -> InputError:
    return InputError(f"{source}: [{section}] {name} = {value!r}: accepted: {accepted}")


# --- reading -------------------------------------------------------------------------------------------------------


def read_experiment(paths: Iterable[str], assignments: Iterable[str] = ()) -> Experiment:
    """Merge input files, later ones overriding earlier ones key by key, and check the result.

    Args:
        paths: input files.
        assignments: "Section.key=value" from the command line, stronger than every file.

    Raises:
        InputError: one line that names file, section, key, value and what is accepted.
    """
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
            raise InputError(f"{COMMAND_LINE} '{assignment}': accepted: Section.key=value, such as Network.steps=1e4")
        sections.setdefault(section, COMMAND_LINE)
        _collect(values, section, {name.strip().lower(): value.strip()}, COMMAND_LINE)
    return _resolve(values, sections, ", ".join(paths))


def _read_file(path: str) -> dict[str, dict[str, str]]:
    """Sections and keys of one file as text."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",), default_section="")
    parser.SECTCRE = re.compile(r"\[(?P<header>[^]]+)\]$")  # by default, what follows ] would be ignored
    try:
        with open(path, encoding="utf-8-sig") as file:
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


def _collect(values: dict, section: str, entries: Mapping[str, str], source: str) -> None:
    """Check the names of one source's keys, and let them override what was there."""
    if section not in SECTIONS:
        keys = ",".join(f" {name} = {value!r}" for name, value in entries.items())
        raise InputError(f"{source}: [{section}]{keys}: unknown section; accepted: {_names(SECTIONS)}")
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


def _names(sections: Iterable[str]) -> str:
    return ", ".join(f"[{section}]" for section in sections)


def _resolve(values: Mapping, sections: Mapping[str, str], files: str) -> Experiment:
    """Parse every value, choose the method, apply [Scale], settle the defaults that depend on others, check."""
    parsed: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for (section, name), (value, source) in values.items():
        kind = SECTIONS[section].__dataclass_fields__[name].metadata["kind"]
        try:
            parsed[section][name] = kind.parse(value)
        except ValueError as error:
            why = f" ({error})" if kind is ARCH else ""
            raise refusal(source, section, name, value, kind.accepts + why) from None
    methods = [name for name in METHODS if name in sections]
    if len(methods) != 1:
        found = f"{_names(methods)} in {', '.join(sections[name] for name in methods)}" if methods else "none"
        raise InputError(f"{files}: method section: found {found}; accepted: exactly one of {_names(METHODS)}")
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

    def scaled(value: int | None, name: str, minimum: int = 1, maximum: int = LARGEST_INTEGER) -> int | None:
        """`value` times the factor `name`."""
        factor = getattr(scale, name)
        if not value:
            return value
        if value * factor > maximum:
            source = experiment.sources["Scale", name]
            raise refusal(source, "Scale", name, repr(factor), f"at most {maximum / value:.6g}: it multiplies {value}")
        return max(minimum, round(value * factor))

    network, method, data = experiment.network, experiment.method, experiment.data
    hidden = {architecture.DENSE: 0, architecture.CONVOLUTION: 1}  # which number of the token is the width
    arch = tuple(
        dataclasses.replace(
            token,
            numbers=tuple(
                scaled(value, "width", maximum=architecture.LARGEST_SIZE)
                if position == hidden.get(token.kind)
                else value
                for position, value in enumerate(token.numbers)
            ),
        )
        for token in network.arch
    )
    experiment = experiment.replace(
        "Network",
        arch=arch,
        steps=scaled(network.steps, "steps"),
        validate_step=scaled(network.validate_step, "steps"),
        batch_size=scaled(network.batch_size, "batch", minimum=2),
        val_size=scaled(network.val_size, "images"),
    )
    experiment = experiment.replace(
        experiment.method_name,
        weights_step=scaled(method.weights_step, "steps"),
        prune_step=scaled(method.prune_step, "steps"),
    )
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
    network, method = experiment.network, experiment.method
    folder, prefix = Path(experiment.io.save_dir).expanduser(), experiment.io.prefix
    experiment = experiment.replace("IO", save_dir=str(folder))
    if network.restart:
        experiment = experiment.replace(
            "Network",
            rest_weights_file=os.path.expanduser(network.rest_weights_file or "")
            or str(folder / f"{prefix}_itdata_0.pkl"),
            rest_mask_file=os.path.expanduser(network.rest_mask_file or "")
            or str(folder / f"{prefix}_itdata_{network.rest_it - 1}.pkl"),
        )
    return experiment.replace(
        experiment.method_name,
        prune=(True,) * len(network.arch) if method.prune is None else method.prune,
        prune_step=network.steps if method.prune_step is None else method.prune_step,
    )


def _check(experiment: Experiment) -> Experiment:
    """Refuse values that do not fit each other."""
    network, method, name = experiment.network, experiment.method, experiment.method_name
    if method.prune_step > network.steps:
        raise experiment.error(name, "prune_step", f"at most [Network] steps = {network.steps}")
    if method.weights_step >= method.prune_step:
        prune_step = f"{method.prune_step} (prune_step, by default steps)"
        raise experiment.error(name, "weights_step", f"a whole number >= 0 and < {prune_step}")
    if len(method.prune) > len(network.arch):
        raise experiment.error(name, "prune", f"at most {len(network.arch)} flags, one for each layer of arch")
    prunable = [
        flag and token.kind != architecture.POOL for flag, token in zip(method.prune, network.arch, strict=False)
    ]
    if not any(prunable):
        raise experiment.error(name, "prune", "at least one T, at a layer with weights")
    if network.restart and network.rest_it >= method.max_iterations:
        raise experiment.error("Network", "rest_it", f"less than [{name}] max_iterations = {method.max_iterations}")
    return experiment


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
        rows = [f"## [{name}]", "", section.__doc__, "", "| key | default | accepted | meaning |", "|---|---|---|---|"]
        for entry in dataclasses.fields(section):
            kind = entry.metadata["kind"]
            default = "" if entry.default in (None, (), "") else f"`{kind.format(entry.default)}`"
            accepts = "see below" if kind is ARCH else kind.accepts
            rows.append(f"| {entry.name} | {default} | {accepts} | {entry.metadata['help']} |")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    print(markdown_tables(), end="")
