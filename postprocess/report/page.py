"""The page: tables and text as HTML, all else as data for its script."""

import base64
import functools
import hashlib
import importlib.resources
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from postprocess.command_line import decimal
from postprocess.differences import Group
from postprocess.observables import observables
from postprocess.receptive_field import unlocalised_width
from postprocess.report.nodes import VALUES, Arrays, explore, packed, rounded
from postprocess.seeds import mean_and_sd
from postprocess.summary import Summary, summarise
from postprocess.table import Row, as_text
from sifting.architecture import LayerSpec
from sifting.errors import InputError
from sifting.runs.directory import RunDirectory
from sifting.training.api import load_experiment
from sifting.training.plan import recorded_experiment


class Settings(NamedTuple):
    """Of an input file: (key, value) by section of what is not default; ("Section.key", value) of the rest."""

    departures: dict[str, list[tuple[str, str]]]
    defaults: list[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """One experiment of the page.

    Attributes:
        name: short, and no other experiment's of the page.
        runs: its seeds.
        summary: of all of them.
        nodes: of the first, see nodes.explore.
        settings: of its input file; None if there is none.
        record: run.json of the first; empty if there is none.
        files: what its directory holds.
    """

    name: str
    runs: Sequence[RunDirectory]
    summary: Summary
    nodes: Mapping[str, Any]
    settings: Settings | None
    record: Mapping[str, Any]
    files: Sequence[Path]

    @property
    def rounds(self) -> tuple[int, ...]:
        return self.summary.rounds

    def mean(self, name: str) -> NDArray[np.float64]:
        """One of the observables, over the seeds, float64 [rounds]."""
        return self.summary.mean_and_sd(name)[0]

    @property
    def kurtosis(self) -> dict[str, list[float | None]]:
        """Where a round of the first seed starts, in layer 1, over the nodes; empty if it is not known."""
        layer = (self.nodes.get("layers") or [{}])[0]
        later = [None] * (len(self.rounds) - len(layer.get("kurtosis_mean", ())))  # rounds of other seeds
        names = {"kurtosis": "kurtosis_mean", "kurtosis within a class": "kurtosis_within_class"}
        return {title: layer[name] + later for title, name in names.items() if name in layer}

    @property
    def layer_density(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Mean and s.d. of u over the seeds in percent, float64 [rounds] each, of every prunable layer."""
        numbers = [layer for layer, spec in enumerate(self.summary.seeds.specs, 1) if spec.prunable]
        found = zip(numbers, np.moveaxis(100 * self.summary.seeds.layer_density, 2, 0), strict=True)
        return {f"layer {number}": mean_and_sd(values) for number, values in found}


def collect(groups: Sequence[Group], images: int) -> tuple[list[Shown], str]:
    """What a page shows of some experiments, and the arrays of their nodes for its script.

    Raises:
        DataError: a pickle that is damaged.
        RunDirectoryError: no rounds, or a damaged record.
    """
    arrays, shown = Arrays(), []
    for name, group in zip(_names(groups), groups, strict=True):
        first = group.runs[0]
        summary = summarise(group.runs)
        nodes = explore(first, arrays, images, VALUES // len(groups))
        record, files = first.read_record(), _data_files(first)
        shown.append(Shown(name, group.runs, summary, nodes, settings_of(first), record, files))
    return shown, arrays.encoded()


def _names(groups: Sequence[Group]) -> list[str]:
    names = list(map(str, groups))
    if len(names) == 1:
        return names
    shared = os.path.commonpath([os.path.dirname(os.path.abspath(name)) for name in names])
    return [os.path.relpath(name, shared) for name in names]


def settings_of(run: RunDirectory) -> Settings | None:
    """A default is what an input file without the key would give."""
    experiment = recorded_experiment(run)
    if experiment is None:
        return None
    texts = {
        f"{section}.{key}": text for section, keys in experiment.settings().items() for key, (_, text) in keys.items()
    }
    found = Settings({}, [])
    for name, text in texts.items():
        try:
            without = load_experiment(changes={other: value for other, value in texts.items() if other != name})
        except InputError:  # it cannot be left out
            without = None
        section, _, key = name.partition(".")
        if without == experiment:
            found.defaults.append((name, text))
        else:
            found.departures.setdefault(section, []).append((key, text))
    return found


def _data_files(run: RunDirectory) -> list[Path]:
    """The files of the run by name, their numbers by size. No lock, page or picture."""
    mine = re.compile(re.escape(run.prefix) + r"_.+\.(?:pkl|npz|in|json|dat|csv)")
    names = filter(mine.fullmatch, os.listdir(run.folder))
    return [
        run.folder / name
        for name in sorted(names, key=lambda name: (re.sub(r"\d+", "", name), *map(int, re.findall(r"\d+", name))))
    ]


# --- charts --------------------------------------------------------------------------------------------------------


def charts_of(experiments: Sequence[Shown]) -> list[dict[str, Any]]:
    """Curves over the rounds, or over u, as the script draws them; a chart of fewer than two rounds is left out.

    A point has its curve, round, x and y, and of several seeds low and high: mean -+ s.d.
    """
    charts: list[dict[str, Any]] = []

    def add(title: str, y: str, curves_of: Callable[[Shown], Mapping[str, Sequence[Any]]], **how: Any) -> None:
        points = []
        for shown in experiments:
            x = 100 * shown.mean("density") if how.get("over_u") else shown.rounds
            for label, curve in curves_of(shown).items():
                name = ", ".join(filter(None, [shown.name] * (len(experiments) > 1) + [label]))
                for number, place, *pair in zip(shown.rounds, x, *curve, strict=True):
                    mean, sd = np.array(pair, np.float64)
                    point = {"curve": name, "round": number, "x": rounded(place), "y": rounded(mean)}
                    if np.isfinite(mean) and (mean > 0 or not how.get("log")) and (place > 0 or not how.get("over_u")):
                        band = {"low": rounded(mean - sd), "high": rounded(mean + sd)} if np.isfinite(sd) else {}
                        points.append(point | band)
        if len({point["round"] for point in points}) > 1:
            charts.append({"title": title, "y": y, "points": points, **how})

    def observed(name: str) -> Callable[[Shown], Mapping[str, Sequence[Any]]]:
        factor = observables()[name].factor
        return lambda shown: {"": [factor * values for values in shown.summary.mean_and_sd(name)]}

    def kurtosis(shown: Shown) -> Mapping[str, Sequence[Any]]:
        labels = ("all images", "within a class")
        return {label: (mean, [None] * len(mean)) for label, mean in zip(labels, shown.kurtosis.values(), strict=False)}

    without = {"locality": 1.0, "rf_width": rounded(unlocalised_width(experiments[0].summary.image_shape))}
    add("Best validation accuracy", "accuracy [%]", observed("accuracy"), over_u=True)
    add("Density of the layers", "u [%]", lambda shown: shown.layer_density, log=True)
    for name in (name for name in observables() if name not in ("density", "accuracy")):
        reference = [without[name], "no locality"] if without.get(name) else None
        title = observables()[name].title
        add(title, title, observed(name), reference=reference)
    add("Kurtosis where a round starts, layer 1", "kurtosis", kurtosis, reference=[3, "Gaussian"])
    return charts


# --- tables --------------------------------------------------------------------------------------------------------


class Table(NamedTuple):
    titles: list[str]
    rows: list[list[str]]


def round_table(shown: Shown) -> Table:
    """One row a round, mean and s.d. over the seeds; columns that are defined in no round are left out."""
    columns = {"round": list(map(str, shown.rounds))}
    for name, observable in observables().items():
        mean, sd = shown.summary.mean_and_sd(name)
        if np.isfinite(mean).any():
            columns[observable.title] = list(map(observable.cell, mean, sd))
    columns |= {f"u, {name} [%]": [decimal(u, 3) for u in mean] for name, (mean, _) in shown.layer_density.items()}
    columns |= {title: [decimal(value, 3) for value in values] for title, values in shown.kurtosis.items()}
    timings = shown.record.get("rounds", {})
    seconds = [_seconds(timings.get(str(number))) for number in shown.rounds]
    if np.isfinite(seconds).any():
        columns["seconds"] = [decimal(value, 1) for value in seconds]
    return Table(list(columns), [list(row) for row in zip(*columns.values(), strict=True)])


def sweep_table(rows: Sequence[Row], folder: Path) -> Table:
    """One row an experiment, as postprocess.table has them; its name comes first."""
    titles, *lines = as_text(rows)
    names = [os.path.relpath(str(row.group), folder) for row in rows]
    return Table(["run", *titles], [[name, *line] for name, line in zip(names, lines, strict=True)])


def _seconds(timing: Any) -> float:
    """Of one entry of run.json; nan for what has another shape."""
    value = timing.get("seconds") if isinstance(timing, dict) else None
    return float(value) if isinstance(value, (int, float)) else math.nan


# --- the page ------------------------------------------------------------------------------------------------------


def highlights(shown: Shown) -> list[tuple[str, str, str]]:
    """The numbers on top of the page: (name, value, what it is of), of the last round or that of the best accuracy."""
    rounds, found = shown.rounds, []
    if len(shown.runs) > 1:
        found.append(("seeds", str(len(shown.runs)), "means; nodes of the first"))
    for name, observable in observables().items():
        values = shown.mean(name)
        if np.isfinite(values).any():
            place = int(np.nanargmax(values)) if name == "accuracy" else -1
            found.append((observable.title, observable.cell(values[place]), f"round {rounds[place]}"))
    return found


def render(experiments: Sequence[Shown], arrays: str, folder: Path) -> str:
    """The page, as it is to stand in `folder`: links to the data are relative to it."""
    library = _library()
    data = {
        "arrays": arrays,
        "library": packed(library.encode()),
        "charts": charts_of(experiments),
        "experiments": [
            {"name": shown.name, "rounds": shown.rounds, "u": rounded(100 * shown.mean("density")), **shown.nodes}
            for shown in experiments
        ],
    }
    return _rendered(
        " | ".join(shown.name for shown in experiments),
        [library, _source("page.js")],
        experiments=experiments,
        # as JSON, "<" is the same as its escape, which cannot end the element
        data=json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        bands=any(len(shown.runs) > 1 for shown in experiments),
        href=lambda path: _href(path, folder),
        architecture=lambda shown: " → ".join(map(_layer_words, shown.summary.seeds.specs)),
        highlights=highlights,
        round_table=round_table,
    )


def render_sweep(folder: Path, rows: Sequence[Row], pages: Sequence[Path]) -> str:
    """The page of a sweep, as it is to stand in `folder`: a table whose rows lead to the pages of its experiments."""
    hrefs = [_href(page, folder) for page in pages]
    return _rendered(str(folder), [], experiments=[], sweep=sweep_table(rows, folder), hrefs=hrefs)


def _rendered(title: str, scripts: Sequence[str], **values: Any) -> str:
    loader = PackageLoader("postprocess", "report")
    options: dict[str, Any] = {
        "autoescape": True,
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    template = Environment(loader=loader, **options).get_template("page.html")
    # as a content security policy names the scripts that it admits
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return template.render(
        {"sweep": None} | values, title=title, scripts=scripts, hashes=hashes, style=_source("page.css")
    )


@functools.cache
def _library() -> str:
    """Vega-Lite and what it needs, as the function vegaEmbed. It takes a second to be put together."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle


def _source(name: str) -> str:
    return (importlib.resources.files("postprocess.report") / name).read_text("utf-8")


def _href(path: Path, folder: Path) -> str:
    return quote(os.path.relpath(path, folder).replace(os.sep, "/"))


def _layer_words(spec: LayerSpec) -> str:
    return f"{spec.kind} {'×'.join(map(str, spec.shape))}"
