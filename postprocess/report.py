"""One self-contained HTML page about a run: `python -m postprocess.report RUN_DIR [--output FILE.html]`.

Settings, versions, a table of rounds, charts, and the masks of the most connected nodes under a slider over the rounds.
The page asks the network for nothing: charts are inline SVG, plates are PNG data URIs, and its content security policy
forbids the rest. It reads rounds and records, and what postprocess.analyse has stored beside them; only numbers that
need masks alone are computed. Equal runs give equal pages.
"""

import argparse
import base64
import functools
import hashlib
import html
import io
import itertools
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from postprocess.analyse import VERSION as ANALYSIS_VERSION
from postprocess.cache import signature, stored_arrays
from postprocess.command_line import Parser, decimal, output_file, run_command
from postprocess.connectivity import input_connections, most_connected
from postprocess.figures import drawing
from postprocess.masks import image_plate, input_images
from postprocess.observables import observables
from postprocess.receptive_field import unlocalised_width
from postprocess.summary import Summary, summarise
from sifting.architecture import LayerSpec
from sifting.errors import RunDirectoryError
from sifting.network.rounds import LayerCount, Round, layer_counts
from sifting.runs.directory import RunDirectory
from sifting.runs.find import find_runs
from sifting.training.api import Run

PLATE_NODES, PLATE_COLUMNS = 48, 8
_NUMBERED = re.compile(r"(.+)_(\d+)\.(\w+)")  # files of which there is one a round
NO_SETTINGS = "No resolved input file is stored beside the run, as for runs of the TF1 code."
NO_VERSIONS = "Neither versions nor device are recorded, as for runs of the TF1 code."


# --- what the page says --------------------------------------------------------------------------------------------


class Kurtosis(NamedTuple):
    """Where a round starts, as stored by postprocess.analyse; nan where that has nothing.

    mean: over the nodes; within_class: over the nodes of each class, then over the classes.
    """

    mean: float
    within_class: float


@dataclass(frozen=True)
class Report:
    """A run, as the page shows it.

    Attributes:
        name: of the run.
        command_name: how a shell command names the run.
        summary: of the run alone.
        settings: section -> [(key, value)] of the resolved input file; None if there is none.
        record: run.json; empty if there is none.
        layers: one tuple a round, of the layers with weights.
        kurtosis: one a round; None if nothing that fits the rounds is stored.
        kurtosis_of: the layer, from 1, whose kurtosis it is.
        no_kurtosis: why there is none, or for which rounds; empty if all is there.
        plates: a PNG a round, the same nodes in the same places; empty if the first layer has no masks to look at.
        plate_nodes: the nodes of the plates, row by row.
        files: (path, bytes) of what the run directory holds, in the order of the page.
    """

    name: str
    command_name: str
    summary: Summary
    settings: Mapping[str, list[tuple[str, str]]] | None
    record: Mapping[str, Any]
    layers: tuple[tuple[LayerCount, ...], ...]
    kurtosis: tuple[Kurtosis, ...] | None
    kurtosis_of: int | None
    no_kurtosis: str
    plates: tuple[bytes, ...]
    plate_nodes: tuple[int, ...]
    files: tuple[tuple[Path, int], ...]

    @property
    def rounds(self) -> tuple[int, ...]:
        return self.summary.rounds

    def numbers(self, name: str) -> NDArray[np.float64]:
        """One of the observables, float64 [rounds]."""
        return self.summary.numbers[name][:, 0]


def collect(run: RunDirectory) -> Report:
    """Read a run; one round after the other is in memory, with the last one.

    Raises:
        DataError: a pickle that is damaged.
        RunDirectoryError: no rounds, or a damaged record.
    """
    last = Run(run)[-1]
    shape = last.image_shape
    nodes = most_connected(input_connections(last.masks[0].W))[:PLATE_NODES].tolist() if shape else []
    layers, plates = [], []

    def look(result: Round) -> None:
        layers.append(layer_counts(result.masks, result.specs))
        if shape:
            plates.append(plate_png(result, nodes))

    summary = summarise([run], look=look)
    kurtosis, layer, reason = _stored_kurtosis(run, summary.rounds)
    return Report(
        str(run),
        shlex.quote(str(run)),
        summary,
        read_settings(run.path("input.in")),
        run.read_record(),
        tuple(layers),
        kurtosis,
        layer,
        reason,
        tuple(plates),
        tuple(nodes),
        tuple((path, path.stat().st_size) for path in _data_files(run)),
    )


def read_settings(path: Path) -> dict[str, list[tuple[str, str]]] | None:
    """Section -> [(key, value)] of an input file, every line of it, comments too; None if there is no file."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    sections: dict[str, list[tuple[str, str]]] = {}
    entries = sections.setdefault("", [])
    for line in filter(None, map(str.strip, lines)):
        if line.startswith("[") and line.endswith("]"):
            entries = sections.setdefault(line[1:-1], [])
        else:
            key, _, value = ("", "", line) if line[0] in "#;" or "=" not in line else line.partition("=")
            entries.append((key.strip(), value.strip()))
    return {section: entries for section, entries in sections.items() if section or entries}


def plate_png(result: Round, nodes: Sequence[int]) -> bytes:
    """First-layer masks of some nodes as a PNG of 8 colours, the gaps transparent (postprocess.masks.image_plate)."""
    shown = (result.masks[0].W[:, nodes] != 0).astype(np.float32)
    plate = image_plate(input_images(shown / 2, result.image_shape), PLATE_COLUMNS)  # below 1, a gap: connected
    colours = np.where(plate[..., 0] == 1, 8, ((plate > 0) & (plate < 1)) @ [4, 2, 1]).astype(np.uint8)
    image = Image.fromarray(colours)  # grey until it has a palette
    image.putpalette([255 * (index >> shift & 1) for index in range(9) for shift in (2, 1, 0)])
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=8, optimize=True)
    return stream.getvalue()


def _stored_kurtosis(run: RunDirectory, rounds: Sequence[int]) -> tuple[tuple[Kurtosis, ...] | None, int | None, str]:
    """Kurtosis of every round, its layer, and what is missing. Files that do not follow from these rounds are none."""
    found, layers, stale = {}, set(), False
    for number in rounds:
        arrays = stored_arrays(run.path(f"analysis_kurtosis_{number}.npz")) or {}
        try:
            depends = json.loads(str(arrays["depends_on"]))
            values = Kurtosis(float(arrays["mean"]), float(arrays["mean_within_class"]))
            fits = depends["rounds"] == [signature(run.round_path(n)) for n in (0, number)]
            if not fits or depends["version"][0] != ANALYSIS_VERSION:
                stale = True
                continue
            layers.add(int(depends["options"][0]))
            found[number] = values
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue
    if len(layers) > 1:
        return None, None, "The stored kurtosis is of several layers."
    if not found:
        older = "The stored kurtosis does not belong to these rounds." if stale else "No kurtosis is stored."
        return None, None, older
    missing = [number for number in rounds if number not in found]
    reason = f"No kurtosis is stored of round {', '.join(map(str, missing))}." if missing else ""
    nothing = Kurtosis(math.nan, math.nan)
    return tuple(found.get(number, nothing) for number in rounds), layers.pop(), reason


def _data_files(run: RunDirectory) -> list[Path]:
    """The files of the run: records first, then rounds and stored arrays by their numbers. No lock, page or picture."""
    mine = re.compile(re.escape(run.prefix) + r"_(.+\.(?:pkl|npz|in|json|dat|csv))")
    names = [match for match in map(mine.fullmatch, os.listdir(run.folder)) if match]
    kinds = ("input", "run", "out", "history", "findata", "itdata", "checkpoint", "analysis")

    def position(match: re.Match[str]) -> tuple[int, list[tuple[bool, int | str]]]:
        kind = next((place for place, kind in enumerate(kinds) if match[1].startswith(kind)), len(kinds))
        return kind, [
            (not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", match[1])
        ]

    return [run.folder / match[0] for match in sorted(names, key=position)]


# --- charts --------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 360, 240  # points, which are pixels of the page at its narrowest
COLOURS = (drawing.BLUE, drawing.ORANGE, drawing.GREEN, "#8a4f7d", "#010101")  # the page gives them others in the dark
DASHES = ("-", (0, (4, 2)), (0, (1, 2)), (0, (5, 2, 1, 2)), "-")
CURVES: list[dict[str, Any]] = [{"color": c, "linestyle": dashes} for c, dashes in zip(COLOURS, DASHES, strict=True)]
_STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), drawing.GREY),
    "axes.formatter.useoffset": False,
    "font.size": 11.0,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.0,
    "svg.fonttype": "none",  # text stays text, in the font of the page
}
_ON_PAGE = {
    **{colour: f"var(--curve-{number})" for number, colour in enumerate(COLOURS, 1)},
    drawing.GREY: "var(--quiet)",
    "#d9dce1": "var(--line)",
}


class Chart(NamedTuple):
    """A drawing of curves: its words, the labels of its curves if there are several, and the figure."""

    title: str
    words: str
    labels: list[str]
    figure: Figure


def line_chart(
    title: str,
    x: Sequence[float] | NDArray[np.float64],
    curves: Mapping[str, Sequence[float] | NDArray[np.float64]],
    xlabel: str,
    ylabel: str,
    log_y: bool = False,
    reference: tuple[float, str] | None = None,
    from_zero: bool = False,
) -> Chart | None:
    """Curves over the rounds, or over u in percent, without points that a logarithm has no place for; None if no point
    is left.

    Args:
        curves: label -> values, as many as x.
        reference: value and words of a dashed horizontal line.
        from_zero: the y axis begins at 0.
    """
    density = xlabel != "round"
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), layout="constrained")
    ax = figure.subplots()
    for (label, values), style in zip(curves.items(), itertools.cycle(CURVES), strict=False):
        known = [
            (a, b)
            for a, b in zip(x, values, strict=True)
            if np.isfinite(b) and (b > 0 or not log_y) and (a > 0 or not density)
        ]
        ax.plot(*np.reshape(known, (-1, 2)).T, **style, label=label)
        for a, b in known:
            tip = f"{label + ', ' if label else ''}{xlabel} {a:.3g}: {b:.2f}"
            ax.plot(a, b, "o", color=style["color"], gid=f"tip {tip}")
    if not any(line.get_marker() == "o" for line in ax.lines):
        return None
    if reference:
        ax.axhline(reference[0], color=drawing.GREY, linestyle="--", linewidth=1, zorder=1.7)  # above the grid
        low = from_zero or reference[0] < np.mean(ax.get_ylim())
        ax.annotate(
            reference[1], (1, reference[0]), (0, 4 if low else -4), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="bottom" if low else "top",
        )  # fmt: skip
    if density:
        drawing.density_axis(ax)
        drawing.log_ticks(ax.xaxis)
    else:
        ax.xaxis.set_major_locator(drawing.whole_numbers())
    if log_y:
        ax.set_yscale("log")
        drawing.plain_numbers(ax.yaxis)
        drawing.log_ticks(ax.yaxis)
    else:
        ax.locator_params(axis="y", nbins=6)
    if from_zero:
        ax.set_ylim(0, max(ax.get_ylim()[1], 1.2 * (reference or (0,))[0]))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(axis="y", color="#d9dce1", linewidth=0.8)
    return Chart(title, f"{title}: {ylabel} against {xlabel}", list(curves) if len(curves) > 1 else [], figure)


def charts_of(report: Report) -> list[Chart]:
    """Those whose numbers are defined; none of a single round."""
    rounds = report.rounds
    if len(rounds) == 1:
        return []
    layers = {
        f"layer {layer.layer + 1}": [100 * row[place].density for row in report.layers]
        for place, layer in enumerate(report.layers[0])
        if layer.prunable
    }
    u = "weights left, u [%]"
    charts = [
        line_chart(
            "Accuracy",
            100 * report.numbers("density"),
            {"": 100 * report.numbers("accuracy")},
            u,
            "best validation accuracy [%]",
        ),
        line_chart("Density of the layers", rounds, layers, "round", u, log_y=True),
    ]
    if report.summary.image_shape:
        for title, name, ylabel, without in (
            ("Locality", "locality", "L3", 1.0),
            ("Receptive-field width", "rf_width", "RF width [pixels]", unlocalised_width(report.summary.image_shape)),
        ):
            reference = without, f"no locality: {without:.4g}"
            curve = {"": report.numbers(name)}
            charts.append(line_chart(title, rounds, curve, "round", ylabel, reference=reference, from_zero=True))
    if report.kurtosis:
        kinds = {"all images": "mean", "within a class": "within_class"}
        curves = {label: [getattr(row, name) for row in report.kurtosis] for label, name in kinds.items()}
        title = f"Kurtosis where a round starts, layer {report.kurtosis_of}"
        charts.append(line_chart(title, rounds, curves, "round", "kurtosis", reference=(3.0, "Gaussian: 3")))
    return [chart for chart in charts if chart]


def svg_of(chart: Chart) -> str:
    """An svg element: words as text, colours as those of the page, and a tip at every point."""
    stream = io.StringIO()
    chart.figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="tip ([^"]*)">', r"<g><title>\1</title>", svg)
    svg = re.sub(r' (width|height)="[0-9.]+pt"', "", svg, count=2)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(chart.words)}" ', 1)
    return functools.reduce(lambda text, pair: text.replace(pair[0].lower(), pair[1]), _ON_PAGE.items(), svg)


# --- tables --------------------------------------------------------------------------------------------------------


class Table(NamedTuple):
    titles: list[str]
    rows: list[list[str]]


def round_table(report: Report) -> Table:
    """One row a round; columns that are defined in no round are left out."""
    columns = [("round", list(map(str, report.rounds)))]
    for name, observable in observables().items():
        if np.isfinite(report.numbers(name)).any():
            columns.append((observable.title, list(map(observable.cell, report.numbers(name)))))
    if report.kurtosis:
        columns.append(("kurtosis", [decimal(row.mean, 3) for row in report.kurtosis]))
        columns.append(("kurtosis within a class", [decimal(row.within_class, 3) for row in report.kurtosis]))
    timings = report.record.get("rounds", {})
    seconds = [_seconds(timings.get(str(number))) for number in report.rounds]
    if np.isfinite(seconds).any():
        columns.append(("seconds", [decimal(value, 1) for value in seconds]))
    return _table(columns)


def layer_table(report: Report) -> Table:
    """Density of every layer with weights, one row a round, in percent."""
    columns = [("round", list(map(str, report.rounds)))]
    for place, layer in enumerate(report.layers[0]):
        spec = report.summary.seeds.specs[layer.layer]
        title = f"layer {layer.layer + 1}: {' × '.join(map(str, spec.weight_shape))}"
        if not layer.prunable:
            title += ", not pruned"
        columns.append((title, [decimal(100 * row[place].density, 3) for row in report.layers]))
    return _table(columns)


def _table(columns: Sequence[tuple[str, list[str]]]) -> Table:
    titles, cells = zip(*columns, strict=True)
    return Table(list(titles), [list(row) for row in zip(*cells, strict=True)])


def _seconds(timing: Any) -> float:
    """Of one entry of run.json; nan for what has another shape."""
    value = timing.get("seconds") if isinstance(timing, dict) else None
    return float(value) if isinstance(value, (int, float)) else math.nan


# --- the page ------------------------------------------------------------------------------------------------------


def highlights(report: Report) -> list[tuple[str, str, str]]:
    """The numbers on top of the page: (name, value, what it is of)."""
    accuracies, u, locality, width = map(report.numbers, ("accuracy", "density", "locality", "rf_width"))
    last = f"round {report.rounds[-1]}"
    found = [("rounds", str(len(report.rounds)), f"{report.rounds[0]} to {report.rounds[-1]}")]
    if np.isfinite(accuracies).any():
        best = int(np.nanargmax(accuracies))
        where = f"round {report.rounds[best]}, u = {100 * u[best]:.3g} %"
        found.append(("best validation accuracy", f"{100 * accuracies[best]:.2f} %", where))
    found.append(("weights left", f"{100 * u[-1]:.3g} %", last))
    if math.isfinite(locality[-1]):
        found.append(("L3", f"{locality[-1]:.2f}", f"{last}; 1: no locality"))
    if report.summary.image_shape and math.isfinite(width[-1]):
        without = f"{unlocalised_width(report.summary.image_shape):.1f}: no locality"
        found.append(("RF width", f"{width[-1]:.2f} px", f"{last}; {without}"))
    return found


def facts_of(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """run.json without the rounds, as (name, value); what is nested is spread."""
    facts = []
    for name, value in record.items():
        if name != "rounds":
            facts += (
                [(f"{key}", str(entry)) for key, entry in value.items()]
                if isinstance(value, dict)
                else [(name.replace("_", " "), str(value))]
            )
    return facts


def render(report: Report, folder: Path) -> str:
    """The page, as it is to stand in `folder`: links to the data are relative to it."""
    loader = PackageLoader("postprocess")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = (loader.get_source(environment, f"report.{kind}")[0] for kind in ("js", "css"))
    plates = [
        {
            "round": number,
            "caption": f"round {number}, u = {100 * u:.3g} %",
            "uri": f"data:image/png;base64,{base64.b64encode(png).decode()}",
        }
        for number, u, png in zip(report.rounds, report.numbers("density"), report.plates, strict=False)
    ]
    links: dict[str, list[dict[str, Any]]] = {}
    for path, size in report.files:
        numbered = _NUMBERED.fullmatch(path.name)
        group, text = (f"{numbered[1]}_N.{numbered[3]}", numbered[2]) if numbered else (path.name, path.name)
        href = quote(os.path.relpath(path, folder).replace(os.sep, "/"))
        links.setdefault(group, []).append({"text": text, "href": href, "bytes": size})
    with drawing.figure_style(_STYLE):
        charts = [(chart, svg_of(chart)) for chart in charts_of(report)]
    return environment.get_template("report.html").render(
        report=report,
        script=script,
        style=style,
        script_hash=_hash(script),
        highlights=highlights(report),
        facts=facts_of(report.record),
        architecture=" → ".join(map(_layer_words, report.summary.seeds.specs)),
        rounds=round_table(report),
        layers=layer_table(report),
        charts=charts,
        plates=plates,
        links=[(group, links[group], _bytes(sum(link["bytes"] for link in links[group]))) for group in links],
        first_is_dense=report.summary.seeds.specs[0].is_dense,
        no_settings=NO_SETTINGS,
        no_versions=NO_VERSIONS,
    )


def _hash(script: str) -> str:
    """As a content security policy names a script that it admits."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _layer_words(spec: LayerSpec) -> str:
    return f"{spec.kind} {'×'.join(map(str, spec.shape))}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m postprocess.report", description="One self-contained HTML page about a run.")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="save_dir or DIR/PREFIX; a folder of seeds: a page for each")
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="default: PREFIX_report.html beside the run")
    return run_command(_report_command, parser, arguments)


def _report_command(options: argparse.Namespace) -> None:
    runs = find_runs([options.run_dir])
    if options.output and len(runs) > 1:
        raise RunDirectoryError(f"{options.run_dir}: holds {len(runs)} runs; accepted with --output: one, as {runs[0]}")
    for run in runs:
        output = options.output or run.path("report.html")
        if output.suffix.lower() not in (".html", ".htm"):
            raise RunDirectoryError(f"{output}: unknown format; accepted: a name that ends in .html")
        page = render(collect(run), output.parent)
        with output_file(output) as file:
            file.write(page.encode())
        print(output)


if __name__ == "__main__":
    sys.exit(main())
