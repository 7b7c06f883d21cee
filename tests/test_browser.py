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
from tiny_runs import run

from postprocess import report

ROOT = Path(__file__).parent.parent
REFERENCE = Path(__file__).parent / "data" / "imp_fc_sgd_run"
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
def report_of_the_reference(tmp_path_factory) -> str:
    folder = shutil.copytree(REFERENCE, tmp_path_factory.mktemp("report") / "run")
    assert report.main([str(folder)]) == 0
    (page,) = folder.glob("*.html")
    return page.as_uri()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens(browser, report_of_the_reference, size, scheme):
    with opened(browser, report_of_the_reference, size, scheme) as (page, problems):
        assert seen(page) == WELL and problems == []
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(background.split("(")[1].split(",")[0])
        assert (red > 128) == (scheme == "light")


def test_the_slider_of_the_report_shows_each_round(browser, report_of_the_reference):
    with opened(browser, report_of_the_reference) as (page, problems):
        for number in range(6):
            page.fill("#round", str(number))
            shown = page.locator("#plates figure:visible")
            assert shown.count() == 1 and shown.get_attribute("data-round") == str(number)
            assert page.inner_text("#shown") == shown.locator("figcaption").text_content()
        assert problems == []


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
