"""The system's Chromium under Playwright; without one, the tests are skipped and say so."""

import shutil
import time

import pytest

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium():
    """A browser; closed at the end."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Watched:
    """A page opened from a file, with all that it said, asked the network for, and raised."""

    def __init__(self, browser, path, **context):
        self.said, self.asked = [], []
        self.address = path.as_uri()
        self.context = browser.new_context(**context)
        self.context.route("**/*", self._answer)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-drawn]", timeout=120_000)

    def _answer(self, route):
        self.asked.append(route.request.url)
        if route.request.url == self.address:
            route.continue_()
        else:
            route.abort()

    def run(self, script, *arguments):
        return self.page.evaluate(script, *arguments)

    def until(self, condition, seconds=60):
        """Wait for an expression to be true; the page's policy forbids Playwright's own way, which is ``eval``."""
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"never true: {condition}"
            self.page.wait_for_timeout(50)


@pytest.fixture
def opened(chromium):
    """Opens files, and holds each of them to silence and to asking for nothing but itself."""
    watched = []

    def open_page(path, **context):
        watched.append(Watched(chromium, path, **context))
        return watched[-1]

    yield open_page
    for one in watched:
        one.context.close()
        assert one.said == []
        assert one.asked == [one.address]
