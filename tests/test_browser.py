"""Pages as a browser shows them: the report of a run, the documentation as a site, TensorBoard.

`make browser` runs this. Playwright drives the Chromium or Chrome of this machine.
"""

import contextlib
import functools
import http.server
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from random_networks import random_images, shrinking_rounds
from synthetic import input_text, masked_run, stored_run
from tiny_runs import run

from postprocess.report import __main__ as report
from sifting import datasets

ROOT = Path(__file__).parent.parent
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZES = {"desktop": (1300, 900), "phone": (390, 844)}

playwright = pytest.importorskip("playwright.sync_api", reason="`make browser` installs Playwright")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="there is neither Chromium nor Chrome")]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, url: str, size: str = "desktop", scheme: str = "light"):
    """The page, and what is wrong with it: complaints on the console, requests that fail or go elsewhere."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    origin, problems = url.split("/", 3)[:3], []
    page.on("console", lambda line: problems.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    page.on(
        "response", lambda answer: problems.append(f"{answer.status}: {answer.url}") if answer.status > 399 else None
    )
    page.on(
        "request",
        lambda request: (
            problems.append(f"elsewhere: {request.url}")
            if not request.url.startswith(("data:", "blob:")) and request.url.split("/", 3)[:3] != origin
            else None
        ),
    )
    try:
        page.goto(url, wait_until="networkidle")
        yield page, problems
    finally:
        page.close()


def seen(page) -> dict:
    """How many pixels the page is wider than its window, and which pictures it does not show."""
    return page.evaluate(
        """() => ({
            wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
        })"""
    )


WELL = {"wider": 0, "broken": []}


# --- the report ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, str]:
    """Addresses of pages: of a run that two layers and images say much of, and of two runs of unlike images: in
    colour, and grey ones that are not square."""
    folder = tmp_path_factory.mktemp("reports")
    run = stored_run(folder / "run", *shrinking_rounds("f9:f7:x", (3, 8, 8), 4, 3))
    run.write_input(input_text(folder, "Network.arch=f9:f7:x", "IMP.prune=T:T:F"))
    pair = [masked_run(folder / name, name == "local", 0.3, size=size) for name, size in (("local", 16), ("not", 8))]
    pair[1].write_record({"image_shape": [1, 16, 12], "rounds": {}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", lambda experiment, report: random_images((3, 8, 8), 4, count=150, val_count=90))
        assert report.main([str(run.folder)]) == 0
    assert report.main([str(one.folder) for one in pair]) == 0
    paths = {"one": run.path("report.html"), "two": pair[0].path("comparison.html")}
    return {name: path.as_uri() for name, path in paths.items()}


@contextlib.contextmanager
def shown_report(browser, url: str, size: str = "desktop", scheme: str = "light"):
    """The page, once all is drawn, and a function that waits until it shows this round, layer from 0 and node."""
    with opened(browser, url, size, scheme) as (page, problems):

        def wait(round, layer, node, view="mask"):
            page.wait_for_selector(f"body[data-shown='{round} {layer} {view} {node}']", timeout=20_000)

        page.wait_for_selector("body[data-shown]", timeout=60_000)
        yield page, wait
        assert seen(page) == WELL and problems == []


def colours(page, canvas: str) -> list:
    """The different colours in a canvas."""
    pixels = page.eval_on_selector(
        canvas,
        """canvas => {
            const { width, height } = canvas;
            const copy = Object.assign(document.createElement("canvas"), { width, height });
            const pen = copy.getContext("2d", { willReadFrequently: true });
            pen.drawImage(canvas, 0, 0);
            return [...pen.getImageData(0, 0, width, height).data];
        }""",
    )
    return sorted({tuple(pixels[at : at + 3]) for at in range(0, len(pixels), 4)})


@pytest.mark.parametrize("which", ["one", "two"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens(browser, reports, which, size, scheme):
    with shown_report(browser, reports[which], size, scheme) as (page, _):
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(background.split("(")[1].split(",")[0])
        assert (red > 128) == (scheme == "light")
        assert page.locator(".run canvas").count() > 20
        charts = page.locator(".card:visible svg")
        assert charts.count() == page.locator(".card:visible .chart").count() > 5
        for chart in charts.all():
            box = chart.bounding_box()
            assert box["width"] > 150 and box["height"] > 150


def test_a_node_is_chosen_by_a_click_and_by_keys(browser, reports):
    with shown_report(browser, reports["one"]) as (page, wait):
        tiles = page.locator(".plate button")
        nodes = [int(tile.get_attribute("data-node")) for tile in tiles.all()]
        assert sorted(nodes) == list(range(9))
        wait(2, 0, nodes[0])
        tiles.nth(3).click()
        wait(2, 0, nodes[3])
        facts = page.inner_text(".facts")
        assert page.inner_text("#chosen") == f"Node {nodes[3]} of layer 1" and "kurtosis" in facts and "RF" in facts
        assert page.locator(".images canvas").count() == 5 and len(colours(page, ".images canvas")) > 10
        for key, place in (("ArrowRight", 4), ("ArrowLeft", 3), ("End", 8), ("Home", 0), ("ArrowLeft", 0)):
            page.keyboard.press(key)
            wait(2, 0, nodes[place])
            assert page.evaluate("document.activeElement.dataset.node") == str(nodes[place])
        assert page.locator(".plate button[aria-pressed=true]").count() == 1


def test_the_round_is_chosen_by_keys_and_clicks(browser, reports):
    """By the slider, by the play button, by the pictures of a node, by a point of a chart."""
    with shown_report(browser, reports["one"]) as (page, wait):
        node = page.locator(".plate button").first.get_attribute("data-node")
        assert (0, 0, 0) in colours(page, "[data-name=mask] canvas")
        page.focus("#round")
        for number in (1, 0):
            page.keyboard.press("ArrowLeft")
            wait(number, 0, node)
        assert page.inner_text("#shown") == "0, u = 100 %" and page.inner_text(".run h3") == "round 0, u = 100 %"
        assert colours(page, "[data-name=mask] canvas") == [(255, 255, 255)]  # dense
        page.click(".strip button:nth-child(2)")
        wait(1, 0, node)
        page.locator("#charts svg path[aria-roledescription=point]").last.click()
        wait(2, 0, node)
        page.focus("#play")
        page.keyboard.press("Enter")
        wait(1, 0, node)
        wait(2, 0, node)
        page.wait_for_selector("#play[aria-pressed=false]")


def test_layers_views_order_and_filter(browser, reports):
    expect = playwright.expect
    with shown_report(browser, reports["one"]) as (page, wait):
        tiles = page.locator(".plate button")
        first = tiles.first.get_attribute("data-node")
        page.select_option("#view", "weights")
        wait(2, 0, first, "weights")
        assert (128, 128, 128) in colours(page, ".plate canvas") and "Weights" in page.inner_text("#explained")
        page.select_option("#view", "mask")
        page.select_option("#layer", label="2, effective")
        expect(tiles).to_have_count(7)
        expect(page.locator("#chosen")).to_contain_text("of layer 2")
        assert "inputs" in page.inner_text(".facts") and page.locator("[data-name=cavity]:visible").count() == 0
        page.click("#sorting summary")
        page.select_option("#sort", "node")
        page.select_option("#order", "1")
        page.fill("#least", "2")
        page.fill("#most", "5")
        expect(page.locator("#count")).to_have_text("4 of the 7 nodes")
        assert [tile.get_attribute("data-node") for tile in tiles.all()] == ["2", "3", "4", "5"]
        page.fill("#least", "9")
        expect(tiles).to_have_count(0)


def test_two_runs_share_slider_and_node(browser, reports):
    with shown_report(browser, reports["two"], "phone", "dark") as (page, wait):
        assert page.locator(".plate").count() == page.locator("[data-name=S_sc]").count() == 2
        assert page.locator("[data-name=S_dc]").count() == 1  # grey images have no pairs of different colours
        page.locator(".plate").nth(1).locator("button").nth(5).click()
        node = page.locator(".plate").nth(1).locator("button").nth(5).get_attribute("data-node")
        wait(2, 0, node)
        assert page.locator(f".plate button[data-node='{node}'][aria-pressed=true]").count() == 2
        page.focus("#round")
        page.keyboard.press("Home")
        wait(0, 0, node)
        assert [facts.startswith("round 0") for facts in page.locator(".facts").all_inner_texts()] == [True, True]
        page.emulate_media(color_scheme="light")
        playwright.expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")


# --- the documentation ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """(address, pages) of the site, built and served; pages of the Python reference have a / in their names."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=300)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("index.html"))
    yield f"http://127.0.0.1:{server.server_port}", pages
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_the_documentation_open(browser, site, size, scheme):
    """All of them on a dark phone, where there is least room; else those that are written by hand."""
    address, pages = site
    assert len(pages) > 50
    found = {}
    for name in pages if (size, scheme) == ("phone", "dark") else [page for page in pages if page.count("/") == 0]:
        with opened(browser, f"{address}/{name}/", size, scheme) as (page, problems):
            if seen(page) != WELL or problems:
                found[name] = seen(page), problems
    assert found == {}


def test_the_documentation_can_be_searched(browser, site):
    address, _ = site
    with opened(browser, f"{address}/") as (page, problems):
        page.click(".md-search__input")
        page.type(".md-search__input", "checkpoint_seconds")
        page.wait_for_selector(".md-search-result__item a[href*='input']", timeout=20_000)
        assert problems == []


# --- TensorBoard ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tensorboard(tmp_path_factory):
    """The address of a TensorBoard that shows two runs."""
    folder = tmp_path_factory.mktemp("runs")
    for rate in ("0.1", "0.2"):
        run(folder / rate, f"Network.learning_rate={rate}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        for _ in range(120):
            with contextlib.suppress(OSError):
                if b"round_000" in urllib.request.urlopen(f"{address}/data/runs", timeout=5).read():
                    break
            time.sleep(0.5)
        else:
            raise TimeoutError("TensorBoard shows no runs after a minute")
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    ("tab", "text"),
    [
        ("scalars", "connected nodes/layer 1"),
        ("images", "masks of the most connected nodes/layer 1"),
        ("text", "learning_rate = 0.2"),
        ("hparams", "Network.learning_rate"),
    ],
)
def test_tensorboard_shows_the_runs(browser, tensorboard, tab, text):
    with opened(browser, f"{tensorboard}/#{tab}") as (page, _):
        page.get_by_text(text).first.wait_for(timeout=60_000)
