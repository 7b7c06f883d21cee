"""The page about a run: its tables and drawings hold the numbers of the arrays, and it asks the network for nothing."""

import base64
import hashlib
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from synthetic import REFERENCE, made_round, stored_run

from postprocess import analyse, report
from postprocess.cache import cached, signature
from postprocess.connectivity import input_connections, most_connected
from postprocess.receptive_field import rf_width
from postprocess.summary import round_table
from sifting import __version__
from sifting.architecture import LayerSpec
from sifting.runs.directory import RunDirectory

EMPTY = {"meta", "link", "img", "input"}  # elements without content
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}


class Page(HTMLParser):
    """What a browser would find.

    Attributes:
        tags: (name, attributes) of every element, in order.
        tables: id -> rows of texts.
        text: all text outside scripts and styles; scripts: theirs.
        tips: of the points of each chart.
    """

    def __init__(self, content: str):
        super().__init__()
        self.tags, self.tables, self.text, self.scripts, self.tips = [], {}, "", [], []
        self._open, self._table = [], None
        self.feed(content)
        assert not self._open  # every element is closed, in its order

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(attributes["id"], [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("th", "td"):
            self._table[-1].append("")
        elif tag == "script":
            self.scripts.append("")
        elif tag == "svg":
            self.tips.append([])

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] != "style":
            self.text += data
            if self._open[-1] == "title" and "svg" in self._open:
                self.tips[-1].append(data)
            if "table" in self._open and {"th", "td"} & set(self._open):
                self._table[-1][-1] += data

    def all(self, name: str, **wanted) -> list[dict]:
        return [
            attributes
            for tag, attributes in self.tags
            if tag == name
            and wanted.items() <= {k.replace("class", "class_"): v for k, v in attributes.items()}.items()
        ]


def page_of(run: RunDirectory, folder: Path | None = None) -> Page:
    return Page(report.render(report.collect(run), folder or run.folder))


def assert_nothing_is_fetched(page: Page) -> None:
    """Everything that could be loaded stands in the page; the only links are relative, and clicked."""
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in LOADING and tag != "a":
                assert value.startswith(("data:", "#"))
            elif name in LOADING:
                assert re.match(r"[^:]*$", value) and not value.startswith("/")
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def test_tables_of_the_reference_run(reference):
    """The table of rounds is that of summary; densities are counted in the masks."""
    page = page_of(reference)
    rows = [line.split() for line in round_table([reference]).splitlines()[1:]]
    assert page.tables["rounds"][1:] == rows
    titles = ["round", "u [%]", "best acc. [%]", "connected [%]", "L3", "RF width [px]"]
    assert page.tables["rounds"][0] == titles
    layers = ["layer 1: 192 × 48", "layer 2: 48 × 32", "layer 3: 32 × 10, not pruned"]
    assert page.tables["layers"][0] == ["round", *layers]
    for number, row in enumerate(page.tables["layers"][1:]):
        masks = [mask.W for mask in reference.read_round(number).masks.values()]
        assert row == [str(number), *(f"{100 * mask.mean():.3f}" for mask in masks)]
    assert_nothing_is_fetched(page)
    assert report.NO_SETTINGS in page.text and report.NO_VERSIONS in page.text  # the TF1 code stores neither
    numbers = report.highlights(report.collect(reference))
    assert numbers[1][:2] == ("best validation accuracy", "94.25 %")
    assert numbers[-1][1] == f"{rf_width(reference.read_round(5).masks[0].W):.2f} px"
    assert "No kurtosis is stored." in page.text and "--parts kurtosis --input FILE" in page.text


def test_plates_show_the_masks(reference):
    """One picture a round; each shows the same nodes in the same places, pixel by pixel."""
    page = page_of(reference)
    pictures = [picture["src"] for picture in page.all("img")]
    assert len(pictures) == 6
    assert [figure["data-round"] for figure in page.all("figure")] == list("012345")
    (slider,) = page.all("input", type="range")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "5", "5")
    nodes = most_connected(input_connections(reference.read_round(5).masks[0].W))
    for number, uri in enumerate(pictures):
        header, _, content = uri.partition(",")
        assert header == "data:image/png;base64"
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))
        mask = reference.read_round(number).masks[0].W
        for place in (0, 13, 47):  # tiles of 32 pixels, 4 for one of the image, with gaps of 1
            y, x = (33 * index for index in divmod(place, 8))
            tile = shown[y : y + 32 : 4, x : x + 32 : 4]
            expected = mask[:, nodes[place]].reshape(3, 8, 8).transpose(1, 2, 0)
            np.testing.assert_array_equal(tile[..., :3], 255 * expected)
            assert np.all(tile[..., 3] == 255)
        assert np.all(shown[32, :, 3] == 0)  # the page shines through the gaps


def test_charts_show_the_numbers(reference):
    """Curves go through the values, every point says its own, and the words stand in the page as text."""
    collected = report.collect(reference)
    charts = {chart.title: chart.figure.axes[0] for chart in report.charts_of(collected)}
    assert list(charts) == ["Accuracy", "Density of the layers", "Locality", "Receptive-field width"]
    u, accuracy = (100 * collected.numbers(name) for name in ("density", "accuracy"))
    cases = [
        ("Accuracy", u, accuracy),
        ("Density of the layers", range(6), [100 * layers[0].density for layers in collected.layers]),
        ("Locality", range(6), collected.numbers("locality")),
        ("Receptive-field width", range(6), collected.numbers("rf_width")),
    ]
    page = page_of(reference)
    for (title, x, y), tips in zip(cases, page.tips, strict=True):
        np.testing.assert_array_equal(charts[title].lines[0].get_xydata(), np.transpose([x, y]))
        xlabel = "weights left, u [%]" if title == "Accuracy" else "round"
        label = "layer 1, " if title == "Density of the layers" else ""
        assert tips[:6] == [f"{label}{xlabel} {a:.3g}: {b:.2f}" for a, b in zip(x, y, strict=True)]
    low, high = charts["Accuracy"].get_xlim()
    assert low > high and charts["Accuracy"].get_xscale() == "log"  # the dense network on the left
    assert "best validation accuracy [%]" in page.text and "no locality: 1" in page.text


def store_kurtosis(run: RunDirectory, number: int, mean: float, within: float, version: int = analyse.VERSION) -> None:
    depends = {
        "version": [version, __version__],
        "rounds": [signature(run.round_path(n)) for n in (0, number)],
        "options": [1, "stored", 100],
    }
    arrays = {"mean": np.array(mean), "mean_within_class": np.array(within)}
    cached(run.path(f"analysis_kurtosis_{number}.npz"), depends, lambda: arrays)


def test_stored_kurtosis(reference):
    """Shown where it belongs to the rounds as they are; a round without it is a dash, and said."""
    for number in range(5):
        store_kurtosis(reference, number, 3 + number / 8, 3 + number / 16)
    page = page_of(reference)
    assert page.tables["rounds"][0][-2:] == ["kurtosis", "kurtosis within a class"]
    cells = [row[-2:] for row in page.tables["rounds"][1:]]
    assert cells == [[f"{3 + n / 8:.3f}", f"{3 + n / 16:.3f}"] for n in range(5)] + [["-", "-"]]
    assert "No kurtosis is stored of round 5." in page.text
    assert [tip for tip in page.tips[-1] if "class" in tip][4] == "within a class, round 4: 3.25"
    assert len(page.tips[-1]) == 10

    store_kurtosis(reference, 5, 3.5, 3.25, version=analyse.VERSION + 1)
    assert "-" in page_of(reference).tables["rounds"][6]
    store_kurtosis(reference, 5, 3.5, 3.25)
    assert "No kurtosis" not in page_of(reference).text
    reference.write_round(reference.read_round(0))  # now all of it is of another round 0
    page = page_of(reference)
    assert "does not belong to these rounds" in page.text
    assert page.tables["rounds"][0][-1] == "RF width [px]"


HOSTILE = '<script>alert(1)</script>"><img src=http://example.org/x onerror=alert(2)>&amp;'


def test_hostile_text_stays_text(tmp_path):
    """In settings, records, file names and the name of the run."""
    folder = tmp_path / "<b onclick=x>&'\"#?%41: run"
    run = RunDirectory(shutil.copytree(REFERENCE, folder), "IMP")
    run.write_input(f"; {HOSTILE}\n[IO]\nsave_dir = {HOSTILE}\n[{HOSTILE}]\n{HOSTILE}\n")
    run.write_record({"device": HOSTILE, "versions": {HOSTILE: "1"}, "rounds": {"0": {"seconds": HOSTILE}, "1": 3}})
    (folder / f"IMP_analysis_{HOSTILE.replace('/', '')}.npz").touch()
    page = page_of(run)
    assert_nothing_is_fetched(page)
    assert len(page.all("img")) == 6
    assert ["save_dir", HOSTILE] in page.tables["settings-2"]
    assert ["device", HOSTILE] in page.tables["facts"] and [HOSTILE, "1"] in page.tables["facts"]
    assert str(run) in page.text
    assert page.tables["rounds"][0][-1] == "RF width [px]"  # no seconds that are not numbers


def test_settings_and_versions(reference):
    reference.write_input("[Network]\narch = f48:f32:x\nseed = 7\n\n[IMP]\nprune_ratio = 0.3\n")
    seconds = {"0": {"seconds": 2.34}, "5": {"seconds": 1}}
    reference.write_record({"seed": 7, "versions": {"numpy": "2.1"}, "device": "CPU", "rounds": seconds})
    page = page_of(reference)
    assert page.tables["settings-1"] == [["arch", "f48:f32:x"], ["seed", "7"]]
    assert page.tables["settings-2"] == [["prune_ratio", "0.3"]]
    assert page.tables["facts"] == [["seed", "7"], ["numpy", "2.1"], ["device", "CPU"]]
    assert [row[-1] for row in page.tables["rounds"]] == ["seconds", "2.3", "-", "-", "-", "-", "1.0"]


def test_links_lead_to_the_files(reference, tmp_path):
    """Relative to where the page stands; all data of the run, and nothing else in the folder."""
    store_kurtosis(reference, 0, 3, 3)
    for name in ("IMP2_itdata_0.pkl", "IMP_summary.png", "IMP_lock"):
        (reference.folder / name).touch()
    for folder in (reference.folder, tmp_path / "else" / "where"):
        links = [unquote(link["href"]) for link in page_of(reference, folder).all("a")]
        folder.mkdir(parents=True, exist_ok=True)
        assert [(folder / link).resolve().name for link in links] == [
            "IMP_out.dat",
            "IMP_findata.pkl",
            *(f"IMP_itdata_{number}.pkl" for number in range(6)),
            "IMP_analysis_kurtosis_0.npz",
        ]
        assert all((folder / link).exists() for link in links)


@pytest.mark.parametrize(
    ("first", "W", "reason"),
    [
        (
            LayerSpec("c", (3, 3, 3, 4, 1), True),
            np.eye(3)[:, :, None, None] * np.ones((3, 4)),
            "first layer is not dense",
        ),
        (LayerSpec("f", (6, 4), True), np.arange(24).reshape(6, 4) % 3 == 0, "does not look at images"),
    ],
)
def test_what_is_undefined_is_left_out(tmp_path, first, W, reason):
    """A convolution, or inputs that are no image, at first: densities and accuracy stay, locality and plates go."""
    specs = (first, LayerSpec("x", (4 if first.is_dense else 144, 2), False))
    run = stored_run(tmp_path, made_round(0, specs, (W,)))
    assert not page_of(run).all("svg")  # nothing to draw of a single round
    run.write_round(made_round(1, specs, (W,)))
    page = page_of(run)
    titles, row, _ = page.tables["rounds"]
    assert titles == ["round", "u [%]", "best acc. [%]", "connected [%]"]
    assert row == ["0", "33.33", "50.00", "100.0"]
    assert page.tables["layers"][1] == ["0", "33.333", "100.000"]
    assert reason in page.text
    assert not page.all("img") and not page.all("input")
    assert [re.sub(":.*", "", svg["aria-label"]) for svg in page.all("svg")] == ["Accuracy", "Density of the layers"]


def test_a_single_round_has_no_slider(reference):
    for number in range(1, 6):
        reference.round_path(number).unlink()
    page = page_of(reference)
    assert len(page.all("img")) == 1 and not page.all("input")
    assert_nothing_is_fetched(page)


def test_a_network_without_weights_left(tmp_path):
    """Zero on a log axis is left out; the plate is black."""
    specs = (LayerSpec("f", (192, 6), True), LayerSpec("x", (6, 2), False))
    run = stored_run(tmp_path, made_round(0, specs), made_round(1, specs, (np.zeros((192, 6)),)))
    page = page_of(run)
    assert page.tables["rounds"][2] == ["1", "0.00", "50.00", "0.0", "-", "-"]
    assert [len(tips) for tips in page.tips] == [1, 1, 1, 1]


def test_command(reference, tmp_path, capsys):
    """Prints the path; the page lies beside the run; the same run gives the same bytes."""
    before, path = set(reference.folder.iterdir()), reference.path("report.html")
    written = []
    for _ in range(2):
        assert report.main([str(reference.folder)]) == 0
        assert capsys.readouterr().out.splitlines() == [str(path)]
        assert set(reference.folder.iterdir()) - before == {path}
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert report.main([str(reference.folder), "--output", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").exists()


def test_a_page_for_each_seed(tmp_path, capsys, refusal):
    for seed in (1, 2):
        shutil.copytree(REFERENCE, tmp_path / f"seed_{seed}")
    assert "holds 2 runs" in refusal(report.main, tmp_path, "--output", tmp_path / "page.html")
    assert report.main([str(tmp_path)]) == 0
    written = [tmp_path / f"seed_{seed}" / "IMP_report.html" for seed in (1, 2)]
    assert capsys.readouterr().out.splitlines() == list(map(str, written))
    assert all(path.exists() for path in written)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run/missing", "missing: is not there"),
        ("run --output run/page.pdf", "page.pdf: unknown format; accepted: a name that ends in .html"),
        ("run --output run/input.ini/page.html", "page.html: cannot be written"),
        ("damaged", "IMP_itdata_3.pkl: is not a pickle of numpy arrays, or is damaged"),
        ("recorded", "IMP_run.json: is damaged"),
        ("", "the following arguments are required: RUN_DIR"),
    ],
)
def test_problems_are_one_line(reference, in_tmp_path, refusal, arguments, message):
    for name, file, content in (("damaged", "itdata_3.pkl", b""), ("recorded", "run.json", b"[1]")):
        run = RunDirectory(shutil.copytree(REFERENCE, in_tmp_path / name), "IMP")
        run.path(file).write_bytes(content)
    assert message in refusal(report.main, *arguments.split())
