"""Debian's Chromium, driven through Playwright: a page, and what it did that a person would not see."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright
from support.needs import missing
from support.speaking import file_of, spoken

SIZE = (1280, 720)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",  # a microphone, in which somebody speaks
)  # fmt: skip


@dataclass
class Watched:
    """A page under watch. `problems`: errors on its console, and requests to anywhere but its own address."""

    page: Page
    home: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", self._error)
        self.page.on("request", self._request)

    def open(self, path: str) -> Page:
        """Go to a page, and wait until its table is filled if it is one of the dashboard's."""
        self.page.goto(self.home + path)
        self.page.locator("[data-role=loading-placeholder]").first.wait_for(state="hidden")
        return self.page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _error(self, error: Error) -> None:
        self.problems.append(error.message)

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and address.netloc != urlsplit(self.home).netloc:
            self.problems.append(f"it asked for {request.url}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser without a window until the block ends."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium")
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        speech = Path(folder) / "speech.wav"
        speech.write_bytes(file_of(spoken("hello-en")))
        flags = [*_FLAGS, f"--use-file-for-fake-audio-capture={speech}"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, home: str, **settings: Any) -> Iterator[Watched]:
    """Open an empty page, always of the same size, for a site at `home`; `settings`: of a browser's context."""
    width, height = SIZE
    fixed = {"viewport": {"width": width, "height": height}, "locale": "en-GB", "timezone_id": "UTC"}
    context = browser.new_context(**{**fixed, **settings})
    context.set_default_timeout(15_000)
    try:
        yield Watched(context.new_page(), home)
    finally:
        context.close()
