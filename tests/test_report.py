"""The page about runs: tables, charts and nodes hold the numbers of the arrays, and it asks the network for nothing."""

import base64
import hashlib
import io
import json
import re
import shutil
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from random_networks import random_images, shrinking_rounds
from synthetic import REFERENCE, input_text, made_round, masked_run, stored_run

from postprocess import summary
from postprocess.activations import most_activating
from postprocess.analyse import Analysis, cavity_arrays, kurtosis_arrays
from postprocess.connectivity import input_connections, most_connected
from postprocess.locality import displacement_maps
from postprocess.masks import effective_mask
from postprocess.receptive_field import receptive_fields, rf_width
from postprocess.report import nodes, page
from postprocess.report.__main__ import main
from postprocess.table import rows_of
from sifting import datasets
from sifting.architecture import LayerSpec
from sifting.inputs import read_experiment
from sifting.runs.directory import RunDirectory

EMPTY = {"meta", "link", "img", "input"}  # elements without content
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}


class Page(HTMLParser):
    """What a browser would find.

    Attributes:
        tags: (name, attributes) of every element, in order.
        tables: id -> rows of texts.
        text: all text outside scripts and styles; scripts: theirs, the data first.
        data: what the script draws.
    """

    def __init__(self, content: str):
        super().__init__()
        self.tags, self.tables, self.text, self.scripts = [], {}, "", []
        self._open, self._table = [], None
        self.feed(content)
        assert not self._open  # every element is closed, in its order
        self.data = json.loads(self.scripts[0]) if self.scripts else {}

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

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] != "style":
            self.text += data
            if "table" in self._open and {"th", "td"} & set(self._open):
                self._table[-1][-1] += data

    def all(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def array(self, packed: dict) -> np.ndarray:
        content = zlib.decompress(base64.b64decode(self.data["arrays"]))
        count = int(np.prod(packed["shape"]))
        return np.frombuffer(content, packed["type"], count, packed["at"]).reshape(packed["shape"])

    def layers(self, experiment: int = 0) -> list[dict]:
        """Of an experiment, its packed arrays unpacked."""
        return [
            {name: self.array(value) if isinstance(value, dict) else value for name, value in layer.items()}
            for layer in self.data["experiments"][experiment]["layers"]
        ]

    def curve(self, title: str, name: str = "") -> list[tuple]:
        (chart,) = (chart for chart in self.data["charts"] if chart["title"] == title)
        return [(point["x"], point["y"]) for point in chart["points"] if point["curve"] == name]


def page_of(*runs: RunDirectory, folder: Path | None = None, images: int = 60) -> Page:
    """Of experiments of one run each, or seeds of one."""
    groups = [row.group for row in rows_of(runs)]
    return Page(page.render(*page.collect(groups, images), folder or runs[0].folder))


def digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def assert_nothing_is_fetched(found: Page) -> None:
    """Everything that could be loaded stands in the page; the only links are relative, and clicked."""
    for tag, attributes in found.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in LOADING and tag != "a":
                assert value.startswith(("data:", "#"))
            elif name in LOADING:
                assert re.match(r"[^:]*$", value) and not value.startswith("/")
    (policy,) = (m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    data, script = found.scripts
    library = zlib.decompress(base64.b64decode(found.data["library"])).decode()
    assert "default-src 'none'" in policy
    assert f"script-src '{digest(library)}' '{digest(script)}';" in policy
    assert [element.get("type") for element in found.all("script")] == ["application/json", "module"]


def test_tables_of_the_reference_run(reference):
    """The table of rounds is that of summary; densities are counted in the masks."""
    found = page_of(reference)
    titles, *rows = found.tables["rounds-1"]
    assert titles == [
        *("round", "u [%]", "best acc. [%]", "connected [%]", "L3", "RF width [px]"),
        *("u, layer 1 [%]", "u, layer 2 [%]"),
    ]
    assert [row[:6] for row in rows] == [line.split() for line in summary.round_table([reference]).splitlines()[1:]]
    for number, row in enumerate(rows):
        masks = reference.read_round(number).masks
        assert row[6:] == [f"{100 * masks[layer].W.mean():.3f}" for layer in (0, 1)]
    assert_nothing_is_fetched(found)
    assert found.text.count("as for runs of the TF1 code") == 2  # it stores neither settings nor versions
    (shown,), _ = page.collect([row.group for row in rows_of([reference])], 0)
    numbers = page.highlights(shown)
    assert numbers[1] == ("best acc. [%]", "94.25", "round 5")
    assert numbers[-1] == ("RF width [px]", f"{rf_width(reference.read_round(5).masks[0].W):.2f}", "round 5")
    assert "the images are not known; --input FILE names them" not in found.text
    assert "nor images that drive nodes" in re.sub(r"\s+", " ", found.text)


def test_nodes_show_the_masks(reference):
    """Of both layers, in every round: masks, signs and order of weights, C_in, fits, maps; the most connected first."""
    found = page_of(reference)
    for depth, layer in enumerate(found.layers()):
        chosen = most_connected(input_connections(reference.read_round(5).masks[depth].W)).tolist()
        assert layer["nodes"] == chosen and layer["of"] == len(chosen)
        for number in range(6):
            result = reference.read_round(number)
            mask = effective_mask([result.masks[above].W for above in range(depth + 1)])
            kept, levels = mask[:, chosen].T, layer["weights"][number]
            np.testing.assert_array_equal(levels != 0, kept)
            assert layer["C_in"][number] == input_connections(result.masks[depth].W)[chosen].tolist()
            assert layer["inputs"][number] == kept.sum(axis=1).tolist()
            fits, maps = receptive_fields(mask[:, chosen]), displacement_maps(mask)
            np.testing.assert_allclose(np.array(layer["sigma_x"][number], float), fits.sigma_x, rtol=1e-3)
            assert layer["S_dc_max"][number] == maps.different.max()
            np.testing.assert_allclose(
                layer["S_sc"][number] / 255 * maps.same.max(), maps.same[1:-1, 1:-1], atol=maps.same.max() / 500
            )
            if depth == 0:
                W = result.checkpoints[-1].parameters[0].W[:, chosen].T
                shown = levels * np.array(layer["scale"][number])[:, None] / nodes.LEVELS
                assert np.all(np.abs(shown - W * kept) <= np.abs(W).max() / nodes.LEVELS)


@pytest.fixture
def run_with_images(tmp_path, monkeypatch):
    """Three rounds whose images are made up; the first two layers are looked at."""
    images = random_images((3, 8, 8), 4, count=150, val_count=90)
    monkeypatch.setattr(datasets, "load", lambda experiment, report: images)
    run = stored_run(tmp_path / "run", *shrinking_rounds("f9:f7:x", (3, 8, 8), 4, 3))
    run.write_input(input_text(tmp_path, "Network.arch=f9:f7:x", "IMP.prune=T:T:F"))
    return run


def test_what_images_say_is_what_analyse_says(run_with_images):
    """Kurtosis and cavity scores where rounds start, and the images that drive nodes, with their pixels."""
    run, images = Analysis(run_with_images), datasets.load(None, None)
    found = page_of(run_with_images)
    layers = found.layers()
    assert found.tables["rounds-1"][0][-2:] == ["kurtosis", "kurtosis within a class"]
    few = RunDirectory(run_with_images.folder, run_with_images.prefix)
    for number in range(3):
        expected = kurtosis_arrays(run, number)
        chosen = layers[0]["nodes"]
        np.testing.assert_allclose(layers[0]["kurtosis"][number], expected["over_all"][chosen], rtol=1e-3)
        assert found.tables["rounds-1"][number + 1][-1] == f"{expected['mean_within_class']:.3f}"
        assert layers[0]["kurtosis_mean"][number] == pytest.approx(float(expected["mean"]), rel=1e-3)
        scores = cavity_arrays(run, number)
        kept = layers[0]["weights"][number] != 0
        left = kept & ~(layers[0]["weights"][min(number + 1, 2)] != 0)
        shown = layers[0]["cavity"][number] * np.array(layers[0]["cavity_scale"][number])[:, None] / nodes.LEVELS
        if number < 2:  # of what the next pruning takes
            assert shown[left].mean() == pytest.approx(scores["mean"][number + 1], abs=np.abs(shown).max() / 10)
        np.testing.assert_array_equal(layers[0]["cavity"][number] != 0, layers[0]["weights"][number] != 0)
        for depth, layer in enumerate(layers):
            for kind, count in (("trained", 60), ("initial", 150)):
                assert np.all(layer[kind][number].sum(axis=1) == count)
            seen = images.__class__(**(vars(images) | {"val_images": images.val_images[:60]}))
            top = most_activating(few.read_round(number), seen, depth, layer["nodes"], nodes.TOP)
            np.testing.assert_allclose(layer["top_values"][number], top.values, rtol=1e-3, atol=1e-6)
            _, content = found.data["experiments"][0]["sprite"].split(",")
            sprite = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))), float)
            place = int(layer["top"][number][0, 0])
            tile = sprite[place // 32 * 8 :, place % 32 * 8 :][:8, :8]
            pixels = images.val_images[top.rows[0, 0]].reshape(3, 8, 8).transpose(1, 2, 0)
            assert np.abs(tile.mean(axis=2) - pixels.mean(axis=2)).mean() < 25  # a JPEG, which spoils noise
            assert found.data["experiments"][0]["labels"][place] == images.val_labels[top.rows[0, 0]]


def test_sizes_are_those_of_the_weights_that_are_kept():
    """Few of many inputs: the percentile is of the kept ones; a node without any has no levels."""
    values, mask = np.linspace(-1, 1, 2000).reshape(1000, 2), np.zeros((1000, 2))
    mask[[0, 600, 999], 0] = 1
    levels, largest = nodes._quantised(values, mask, 99.5)
    assert largest[0] == pytest.approx(np.percentile(np.abs(values[[0, 600, 999], 0]), 99.5))
    assert levels[0, [0, 600, 999]].tolist() == [-7, 2, 7] and not levels[1].any()
    assert np.count_nonzero(levels) == 3


def test_without_images(run_with_images, monkeypatch):
    """Because nobody wants them, or because they cannot be read: nodes are shown all the same, and it says why."""

    def gone(experiment, report):
        raise page.InputError("the images are gone")

    monkeypatch.setattr(datasets, "load", gone)
    for images, why in ((0, "--images 0"), (60, "the images are gone")):
        found = page_of(run_with_images, images=images)
        assert f"drive nodes: {why}." in re.sub(r"\s+", " ", found.text)
        assert "kurtosis" not in found.layers()[0] and "sprite" not in found.data["experiments"][0]


def test_charts_show_the_numbers(reference):
    """Curves go through the values; what a log axis has no place for is left out."""
    found = page_of(reference)
    (shown,), _ = page.collect([row.group for row in rows_of([reference])], 0)
    u = 100 * shown.mean("density")
    cases = {
        ("Best validation accuracy", ""): (u, 100 * shown.mean("accuracy")),
        ("Density of the layers", "layer 1"): (range(6), shown.layer_density["layer 1"][0]),
        ("L3", ""): (range(6), shown.mean("locality")),
        ("RF width [px]", ""): (range(6), shown.mean("rf_width")),
    }
    for name, (x, y) in cases.items():
        np.testing.assert_allclose(found.curve(*name), np.transpose([x, y]), rtol=1e-3)


def test_seeds_are_bands(tmp_path):
    """Points are means, bands s.d.; a seed that has ended is left out; nodes are those of the first."""
    runs = [masked_run(tmp_path / f"seed_{seed}", True, 0.3 + seed / 10, rounds=3 - seed) for seed in (0, 1)]
    found = page_of(*runs)
    (accuracy,) = (chart for chart in found.data["charts"] if chart["title"] == "Best validation accuracy")
    accuracies = [65, 66, 72]
    assert [point["y"] for point in accuracy["points"]] == pytest.approx(accuracies)
    assert ["low" in point for point in accuracy["points"]] == [True, True, False]
    assert accuracy["points"][0]["low"] == pytest.approx(65 - 10 / np.sqrt(2), rel=1e-3)
    assert found.tables["rounds-1"][1][2] == "65.00 ± 7.07"
    assert found.text.count("means; nodes of the first") == 1


@pytest.mark.parametrize("first", [2, 3])
def test_nodes_of_the_first_seed_know_their_rounds(tmp_path, first):
    """Whether it has fewer or more of them than the other seed."""
    runs = [masked_run(tmp_path / f"seed_{seed}", True, 0.3, rounds=n) for seed, n in enumerate((first, 5 - first))]
    found = page_of(*runs)
    (experiment,) = found.data["experiments"]
    assert experiment["rounds"] == [0, 1, 2] and experiment["node_rounds"] == list(range(first))
    assert len(found.layers()[0]["weights"]) == first


def test_two_experiments_on_one_page(tmp_path):
    """Each with its own nodes and curves, under names that tell them apart; they share what a page may hold."""
    runs = [masked_run(tmp_path / name, name == "image", 0.3) for name in ("image", "clone")]
    found = page_of(*runs)
    assert_nothing_is_fetched(found)
    names = [experiment["name"] for experiment in found.data["experiments"]]
    assert sorted(names) == ["clone/IMP", "image/IMP"]
    for place, name in enumerate(names):
        mask = RunDirectory(tmp_path / name.split("/")[0], "IMP").read_round(2).masks[0].W
        layer = found.layers(place)[0]
        np.testing.assert_array_equal(layer["weights"][2] != 0, mask[:, layer["nodes"]].T != 0)
        assert found.curve("L3", name)
    assert {"rounds-1", "rounds-2"} <= found.tables.keys()


def test_of_many_nodes_the_most_connected_are_shown(reference):
    layer, _ = nodes.explore(reference, nodes.Arrays(), 0, values=192 * 6 * 3 * 20)["layers"]
    assert len(layer["nodes"]) == 20 and layer["of"] == 48
    layer, _ = nodes.explore(reference, nodes.Arrays(), 0, values=1)["layers"]
    assert len(layer["nodes"]) == nodes.FEWEST_NODES


HOSTILE = '<script>alert(1)</script>"><img src=http://example.org/x onerror=alert(2)>&amp;'


def test_hostile_text_stays_text(tmp_path):
    """In settings, records, file names and the name of the run."""
    folder = tmp_path / "<b onclick=x>&'\"#?%41: run"
    run = RunDirectory(shutil.copytree(REFERENCE, folder), "IMP")
    run.write_input(input_text(tmp_path, f"Data.dataloc={HOSTILE}"))
    run.write_record({"device": HOSTILE, "versions": {HOSTILE: "1"}, "rounds": {"0": {"seconds": HOSTILE}, "1": 3}})
    (folder / f"IMP_analysis_{HOSTILE.replace('/', '')}.npz").touch()
    found = page_of(run, images=0)
    assert_nothing_is_fetched(found)
    assert ["dataloc", HOSTILE] in found.tables["settings-1-Data"]
    assert f"device: {HOSTILE}" in found.text and f"versions: {HOSTILE} 1" in found.text
    assert str(run) in found.text and found.data["experiments"][0]["name"] == str(run)
    assert "seconds" not in found.tables["rounds-1"][0]  # that are not numbers


def test_settings_that_differ_from_the_defaults(reference, tmp_path):
    """Both lists together are the input file; leaving out the second changes nothing."""
    reference.write_input(read_experiment([], ["IO.save_dir=x", "Data.dataset=EdgeCollage32", "Network.arch=f48:f32:x",
        "Network.seed=7", "IMP.prune=T:T:F", "Network.steps=100", "Network.batch_size=5", "Network.val_size=30",
        "Network.validate_step=10", "IMP.weights_step=5", "IMP.max_iterations=3"]).to_text())  # fmt: skip
    seconds = {"0": {"seconds": 2.34}, "5": {"seconds": 1}}
    reference.write_record({"seed": 7, "versions": {"numpy": "2.1"}, "device": "CPU", "rounds": seconds})
    found = page_of(reference, images=0)
    assert ["arch", "f48:f32:x"] in found.tables["settings-1-Network"]
    assert found.tables["settings-1-IMP"] == [["prune", "T:T:F"], ["weights_step", "5"], ["max_iterations", "3"]]
    assert ["IMP.prune_ratio", "0.3"] in found.tables["defaults-1"]
    assert all(words in found.text for words in ("seed: 7", "versions: numpy 2.1", "device: CPU"))
    assert [row[-1] for row in found.tables["rounds-1"]] == ["seconds", "2.3", "-", "-", "-", "-", "1.0"]


def test_links_lead_to_the_files(reference, tmp_path):
    """Relative to where the page stands; all data of the run, and nothing else in the folder."""
    for name in ("IMP2_itdata_0.pkl", "IMP_summary.png", "IMP_lock", "IMP_itdata_10.pkl"):
        (reference.folder / name).touch()
    (reference.folder / "IMP_itdata_10.pkl").unlink()
    for folder in (reference.folder, tmp_path / "else" / "where"):
        folder.mkdir(parents=True, exist_ok=True)
        links = [unquote(link["href"]) for link in page_of(reference, folder=folder).all("a")]
        names = ["IMP_findata.pkl", *(f"IMP_itdata_{number}.pkl" for number in range(6)), "IMP_out.dat"]
        assert [(folder / link).resolve().name for link in links] == names
        assert all((folder / link).exists() for link in links)


@pytest.mark.parametrize(
    ("first", "W", "reason"),
    [
        (LayerSpec("c", (3, 3, 3, 4, 1), True), np.eye(3)[:, :, None, None] * np.ones((3, 4)), "is not dense"),
        (LayerSpec("f", (6, 4), True), np.arange(24).reshape(6, 4) % 3 == 0, "does not look at images"),
    ],
)
def test_what_is_undefined_is_left_out(tmp_path, first, W, reason):
    """A convolution, or inputs that are no image, at first: densities and accuracy stay, locality and nodes go."""
    specs = (first, LayerSpec("x", (4 if first.is_dense else 144, 2), False))
    run = stored_run(tmp_path, made_round(0, specs, (W,)))
    assert not page_of(run).data["charts"]  # nothing to draw of a single round
    run.write_round(made_round(1, specs, (W,)))
    found = page_of(run)
    titles, row, _ = found.tables["rounds-1"]
    assert titles == ["round", "u [%]", "best acc. [%]", "connected [%]", "u, layer 1 [%]"]
    assert row == ["0", "33.33", "50.00", "100.0", "33.333"]
    assert reason in found.text and "layers" not in found.data["experiments"][0]
    titles = [chart["title"] for chart in found.data["charts"]]
    assert titles == ["Best validation accuracy", "Density of the layers", "connected [%]"]


def test_a_network_without_weights_left(tmp_path):
    """Zero on a log axis is left out; the masks are empty."""
    specs = (LayerSpec("f", (192, 6), True), LayerSpec("x", (6, 2), False))
    found = page_of(stored_run(tmp_path, made_round(0, specs), made_round(1, specs, (np.zeros((192, 6)),))))
    assert found.tables["rounds-1"][2] == ["1", "0.00", "50.00", "0.0", "-", "-", "0.000"]
    assert [chart["title"] for chart in found.data["charts"]] == ["connected [%]"]
    assert not found.layers()[0]["weights"][1].any()


def test_command(reference, tmp_path, capsys):
    """Prints the path; the page lies beside the run; the same run gives the same bytes."""
    before, path = set(reference.folder.iterdir()), reference.path("report.html")
    written = []
    for _ in range(2):
        assert main([str(reference.folder)]) == 0
        assert capsys.readouterr().out.splitlines() == [str(path)]
        assert set(reference.folder.iterdir()) - before == {path}
        written.append(path.read_bytes())
    assert written[0] == written[1] and len(written[0]) < 1_500_000
    assert main([str(reference.folder), "--output", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").exists()


def test_seeds_two_experiments_and_a_sweep(tmp_path, capsys, refusal):
    """One page for seeds, in their folder; one for two folders; of the folder above one for each, and one of links."""
    for name in ("a", "b"):
        for seed in (1, 2):
            masked_run(tmp_path / name / f"seed_{seed}", name == "a", 0.3, rounds=2)
    pages = [tmp_path / name / "IMP_report.html" for name in ("a", "b")]
    for arguments, written in (
        (["a"], pages[:1]),
        (["a", "b"], [tmp_path / "a" / "IMP_comparison.html"]),
        (["a/seed_1"], [tmp_path / "a" / "seed_1" / "IMP_report.html"]),
        (["."], [*pages, tmp_path / "report.html"]),
    ):
        assert main([str(tmp_path / name) for name in arguments]) == 0
        assert capsys.readouterr().out.splitlines() == [str(path) for path in written]
    sweep = Page((tmp_path / "report.html").read_text())
    assert [link["href"] for link in sweep.all("a")] == ["a/IMP_report.html", "b/IMP_report.html"]
    assert [row[0] for row in sweep.tables["experiments"]] == ["run", "a", "b"]
    for more in (["--output", tmp_path / "page.html"], [tmp_path / "a"]):
        assert "holds 2 experiments; accepted" in refusal(main, tmp_path, *more)


def test_experiments_whose_seeds_share_a_folder_have_a_page_each(tmp_path, capsys):
    for seed, rate in ((1, 0.1), (2, 0.1), (3, 0.2), (4, 0.2)):
        run = masked_run(tmp_path / "runs" / f"seed_{seed}", True, 0.3, rounds=2)
        changes = f"Network.seed={seed}", f"Network.learning_rate={rate}"
        run.write_input(input_text(tmp_path, *changes, "Network.arch=f12:x", "IMP.prune=T:F"))
    assert main([str(tmp_path / "runs"), "--images", "0"]) == 0
    pages = [tmp_path / "runs" / name for name in ("seed_1/IMP_report.html", "seed_3/IMP_report.html", "report.html")]
    assert capsys.readouterr().out.split() == list(map(str, pages))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run/missing", "missing: is not there"),
        ("run --output run/page.pdf", "page.pdf: unknown format; accepted: a name that ends in .html"),
        ("run --output run/input.ini/page.html", "page.html: cannot be written"),
        ("run --images -1", "--images -1: accepted: 1 or more, or 0 for none"),
        ("damaged", "IMP_itdata_3.pkl: is not a pickle of numpy arrays, or is damaged"),
        ("recorded", "IMP_run.json: is damaged"),
        ("", "the following arguments are required: RUN_DIR"),
    ],
)
def test_problems_are_one_line(reference, in_tmp_path, refusal, arguments, message):
    for name, file, content in (("damaged", "itdata_3.pkl", b""), ("recorded", "run.json", b"[1]")):
        run = RunDirectory(shutil.copytree(REFERENCE, in_tmp_path / name), "IMP")
        run.path(file).write_bytes(content)
    assert message in refusal(main, *arguments.split())
