"""Fixtures: a real browser, and pages of small runs to open in it."""

from __future__ import annotations

import csv
import io
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from parallel import make_once, shared_by_test_processes
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from report.folders import Made, experiment

from subspace_match.report import page, read_run

# As long as Playwright waits for everything else; its 5 seconds are short on a busy machine.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium; without it, skip the test or fail it where it is required."""
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "no chromium: apt-get install --no-install-recommends chromium"
        if os.environ.get("SUBSPACE_MATCH_TESTS_NEED_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def shared(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> BrowserContext:
    """Return a context in which tests open pages of their own, and may use the clipboard.

    An empty page stays open in it. So all pages share a process, which has compiled the script
    already, and open in half the time.
    """
    context: BrowserContext = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    empty = tmp_path_factory.mktemp("browser") / "empty.html"
    empty.touch()
    context.new_page().goto(empty.as_uri())
    return context


class Opened:
    """A page in the browser, with its errors and its network requests.

    Args:
        context: where to open it.
        file: the page's file.
        size: of the window.
        color_scheme: "light" or "dark".
    """

    def __init__(
        self,
        context: BrowserContext,
        file: Path,
        size: tuple[int, int] = (1280, 900),
        color_scheme: Any = "light",
    ) -> None:
        self.file = file
        self.page: Page = context.new_page()
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=color_scheme)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))

    def go(self, **state: Any) -> Page:
        """Open the page with a state in its address."""
        address = f"{self.file.as_uri()}#{urlencode(state)}"
        if self.page.url == address:
            self.page.reload()
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
        return self.page

    def see_all(self) -> None:
        """Scroll down the page: figures are drawn when they become visible."""
        for chart in self.page.locator(".chart:visible").all():
            chart.scroll_into_view_if_needed()
            chart.locator("svg, canvas").wait_for()

    def table(self, details: str) -> list[dict[str, str]]:
        """Open a table of numbers, copy it and read the clipboard."""
        self.page.bring_to_front()
        self.page.evaluate("navigator.clipboard.writeText('')")
        shown = self.page.locator(details)
        if shown.get_attribute("open") is None:
            shown.locator("summary").click()
        shown.get_by_role("button", name="Copy").click()
        # Waits until the page has written.
        text = self.page.wait_for_function("() => navigator.clipboard.readText()").json_value()
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))


def audit(opened: Opened) -> None:
    """Check that the whole page is accessible, and that nothing is wider than the window."""
    page = opened.page
    for details in page.locator("details").all():
        details.locator("summary").click()
    opened.see_all()
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    # All rules run, but only what they find wrong is described, which takes most of the time.
    options = {"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options)
    assert found.response["violations"] == [], found.generate_report()
    size = page.viewport_size
    assert size is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Made, Path]]:
    """Return a function that makes a run and its page in one of the test processes, for all."""

    def made_once(name: str, **settings: Any) -> tuple[Made, Path]:
        root = shared_by_test_processes(tmp_path_factory) / f"run-{name}"

        def make(root: Path) -> None:
            made = experiment(root, **settings)
            (root / "made.pickle").write_bytes(pickle.dumps(made))
            (root / "report.html").write_text(page([read_run(made.folder)]), encoding="utf-8")

        make_once(root, make)
        return pickle.loads((root / "made.pickle").read_bytes()), root / "report.html"

    return made_once


@pytest.fixture(scope="session")
def made_with_page(once: Callable[..., tuple[Made, Path]]) -> tuple[Made, Path]:
    """Write the folder of a run with three pairs and two draws, and its page."""
    return once("made", seeds=(0, 1, 2))


@pytest.fixture(scope="session")
def made(made_with_page: tuple[Made, Path]) -> Made:
    """Return the run with three pairs and two draws. Do not change its folder."""
    return made_with_page[0]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes the page of some runs to a file."""

    def write(*runs: Made) -> Path:
        file = tmp_path_factory.mktemp("page") / "report.html"
        text = page([read_run(run.folder) for run in runs])
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture(scope="session")
def file(made_with_page: tuple[Made, Path]) -> Path:
    """Return the page of ``made``."""
    return made_with_page[1]


@pytest.fixture
def opening(browser: Browser, shared: BrowserContext) -> Iterator[Callable[..., Opened]]:
    """Return a function that opens a page; at the end, no page may have errors or requests.

    A page that saves files needs a context of its own (``saves=True``): Chromium holds back
    downloads of pages that share one. It also holds back the eleventh download of a page, until
    the reader allows it.
    """
    every: list[Opened] = []

    def opens(file: Path, *, saves: bool = False, **settings: Any) -> Opened:
        every.append(Opened(browser.new_context() if saves else shared, file, **settings))
        return every[-1]

    yield opens
    for opened in every:
        opened.page.close()
        if opened.page.context != shared:
            opened.page.context.close()
        assert opened.errors == []
        assert {url.partition("#")[0] for url in opened.requests} <= {opened.file.as_uri()}


@pytest.fixture
def opened(opening: Callable[..., Opened], file: Path) -> Opened:
    """Open the page of ``made``."""
    return opening(file)


@pytest.fixture
def saving(opening: Callable[..., Opened], file: Path) -> Opened:
    """Open the page of ``made``, to save files from it."""
    return opening(file, saves=True)
