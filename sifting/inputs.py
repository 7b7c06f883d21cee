"""From input files to an Experiment.

`read_experiment` merges several files, applies [Scale], checks everything that can be checked without images or
TensorFlow, and returns an Experiment. docs/input.md holds the tables that `python -m sifting.inputs` prints.
"""

import configparser
import dataclasses
import os
import re
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sifting import architecture
from sifting.base import extensions, input_files
from sifting.errors import InputError, not_utf8
from sifting.experiment.experiment import Experiment, kind_of, refusal
from sifting.experiment.keys import LARGEST_INTEGER, PRUNE
from sifting.experiment.sections import ARCH, DATASET, IO, RECLASS_NAMES, Data, Network, Scale
from sifting.methods import METHODS, check_sections

COMMAND_LINE = "--set"
SWEEP = "Sweep"  # the section that sifting.sweep reads: several values for some keys
# a view: what an extension adds to METHODS is a section at once; maps behind come first
SECTIONS: Mapping[str, type] = ChainMap({"Scale": Scale}, METHODS, {"IO": IO, "Data": Data, "Network": Network})
ALIASES = {("Network", "rest_file_step"): "restart_weights_step"}

_Values = dict[tuple[str, str], tuple[str, str]]  # (section, key): (value, source)
_Count = TypeVar("_Count", int, int | None)


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
    _load_sections()
    values: dict[tuple[str, str], tuple[str, str]] = {}  # (section, key): (text, source)
    sections: dict[str, str] = {}  # section: first source
    files = {path: _read_file(path) for path in paths}
    swept = _swept(files)
    for path, found in files.items():
        for section, entries in found.items():
            sections.setdefault(section, path)
            _collect(values, section, entries, path)
    for assignment in assignments:
        target, separator, value = assignment.partition("=")
        section, _, name = target.strip().partition(".")
        if not (separator and section.strip() and name.strip()):
            raise InputError(f"{source} '{assignment}': accepted: Section.key=value, such as Network.steps=1e4")
        sections.setdefault(section, source)
        _collect(values, section, {name.strip().lower(): value.strip()}, source)
        swept.pop((section.strip(), ALIASES.get((section.strip(), name.strip()), name.strip())), None)
    for (section, name), (value, path) in swept.items():
        if section != SWEEP:
            accepted = f"python -m sifting.sweep {path}, or {COMMAND_LINE} {section}.{name}=VALUE"
            raise refusal(path, SWEEP, f"{section}.{name}", value, accepted)
    return _resolve(values, sections, ", ".join(paths) or source)


def as_assignments(changes: Mapping[str, object]) -> list[str]:
    """Section.key=text for each Section.key and its value, as an input file has it."""

    def text(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, (list, tuple)):
            if value and all(isinstance(item, bool) for item in value):
                return PRUNE.format(value)
            return ", ".join(map(str, value))
        return "" if value is None else str(value)

    return [f"{name}={text(value)}" for name, value in changes.items()]


def _load_sections() -> None:
    """Those of the user's extension, too."""
    extensions.load()
    check_sections()


def read_sweep(paths: Iterable[str]) -> _Values:
    """What the [Sweep] sections of input files say, later ones stronger: several values, as text, for each key.

    Seeds are those of the key ("Sweep", "seeds").
    """
    _load_sections()
    return _swept({path: _read_file(path) for path in paths})


def _swept(files: Mapping[str, dict[str, dict[str, str]]]) -> _Values:
    """The same; takes the sections out of what was read of the files."""
    swept: _Values = {}
    for path, sections in files.items():
        for target, text in sections.pop(SWEEP, {}).items():
            swept[(SWEEP, target) if target == "seeds" else named_key(target, text, path)] = (text, path)
    return swept


def named_key(target: str, value: str, source: str) -> tuple[str, str]:
    """Section and key that "Section.key" names, in upper or lower case. Raises InputError: there is no such key."""
    section, _, name = (part.strip().lower() for part in target.partition("."))
    section = next((known for known in SECTIONS if known.lower() == section), section)
    _collect({}, section, {name: value}, source)
    return section, ALIASES.get((section, name), name)


def _read_file(path: str) -> dict[str, dict[str, str]]:
    """Sections and keys of one file as text."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",), default_section="")
    parser.SECTCRE = re.compile(r"\[(?P<header>[^]]+)\]$")  # by default, what follows ] would be ignored
    example = "accepted: an input file such as inputs/quickstart.in"
    try:
        with open(input_files.find(path), encoding="utf-8-sig") as file:
            parser.read_string(file.read(), source=path)
        return {section: dict(parser.items(section)) for section in parser.sections()}
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); {example}"
    except UnicodeDecodeError as error:
        problem = f"{not_utf8(error)}; {example}"
    except configparser.DuplicateOptionError as error:
        problem = f"line {error.lineno}: [{error.section}] {error.option} is given twice; accepted: once"
    except configparser.DuplicateSectionError as error:
        problem = f"line {error.lineno}: section [{error.section}] is given twice; accepted: once"
    except configparser.MissingSectionHeaderError as error:
        line = error.line.strip()
        problem = f"line {error.lineno}: {line!r} stands before any section; accepted: {_names(SECTIONS)}"
    except configparser.ParsingError as error:
        number, line = error.errors[0]
        problem = f"line {number}: {line}: accepted: [Section], or key = value"
    raise InputError(f"{path}: {problem}")


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


def _names(sections: Iterable[str]) -> str:
    return ", ".join(f"[{section}]" for section in sections)


def _resolve(values: _Values, sections: Mapping[str, str], files: str) -> Experiment:
    """Parse every value, choose the method, apply [Scale], settle the defaults that depend on others, check."""
    parsed: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for (section, name), (value, source) in values.items():
        kind = kind_of(SECTIONS[section], name)
        try:
            parsed[section][name] = kind.parse(value)
        except ValueError as error:
            accepts = f"{kind.accepts} ({error})" if str(error) else kind.accepts
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
    return _check(_fill_in_defaults(scaled))


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
        changes = {
            entry.name: scaled(getattr(section, entry.name), factor, smallest.get(factor, entry.metadata["least"]))
            for entry in dataclasses.fields(section)
            if (factor := entry.metadata["scaled"])
        }
        experiment = experiment.replace(name, **changes)
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


def _fill_in_defaults(experiment: Experiment) -> Experiment:
    """Fill in the defaults that depend on other keys."""
    network = experiment.network
    folder, prefix = Path(experiment.io.save_dir).expanduser(), experiment.io.prefix
    experiment = experiment.replace("IO", save_dir=str(folder))
    if network.restart:
        pruned = network.rest_it - 1 if experiment.method.round_by_round else 0
        files = {"rest_weights_file": f"{prefix}_itdata_0.pkl", "rest_mask_file": f"{prefix}_itdata_{pruned}.pkl"}
        experiment = experiment.replace(
            "Network",
            **{key: os.path.expanduser(getattr(network, key) or "") or str(folder / files[key]) for key in files},
        )
    if experiment.data.collage_classes is None:
        classes = 100 if experiment.data.reclass.rule in RECLASS_NAMES else 10
        experiment = experiment.replace("Data", collage_classes=classes)
    if experiment.data.image_size is None and experiment.data.dataset != "hf":
        experiment = experiment.replace("Data", image_size=32)
    return experiment.replace(experiment.method_name, **experiment.method.defaults(experiment))


def _check(experiment: Experiment) -> Experiment:
    """Refuse values that do not fit each other."""
    if experiment.data.dataset not in (names := _data_sets()):
        raise experiment.error("Data", "dataset", " or ".join(names) + extensions.hint("a data set"))
    if experiment.data.translate and architecture.CONVOLUTION in {token.kind for token in experiment.network.arch}:
        raise experiment.error("Data", "translate", "0 with the convolutions of [Network] arch")
    experiment.method.check(experiment)
    return experiment


def _data_sets() -> Iterable[str]:
    """Names, those of extensions included."""
    from sifting.datasets import DATASETS  # scipy and Pillow take a while

    return DATASETS


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
            accepts = {ARCH: "see below", DATASET: " or ".join(_data_sets())}.get(kind, kind.accepts)
            rows.append(f"| {entry.name} | {default} | {accepts} | {entry.metadata['help']} |")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    print(markdown_tables(), end="")
