"""Makes the pictures of the dashboard and the gateway's page: `PYTHONPATH=tests python -m browser.pictures docs/img`.

With the model `tiny.en` (extra `demo`), so that a result is one that a reader will see, too.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser.chromium import Watched, chromium, watched
from browser.scene import scene
from playwright.sync_api import Browser
from support.processes import worker

import asrq_worker
from asrq_jobs.settings import Settings
from asrq_worker.embedded.valkey import EmbeddedValkey
from asrq_worker.http.service import serving

_RECORDING = Path(asrq_worker.__file__).parent / "data" / "demo.ogg"
LARGEST = 150_000
"""Bytes of a picture."""
_PAGES = {
    "dashboard-queues": "/",
    "dashboard-failed": "/0/view/jobs/asrq-batch/failed/8/asc/1",
    "dashboard-job": "/0/view/job/finished",
    "dashboard-workers": "/0/view/workers",
}


def take(view: Watched, folder: Path) -> list[Path]:
    """Photograph the pages, each as high as what is on it."""
    taken = []
    for name, path in _PAGES.items():
        page = view.open(path)
        page.get_by_text("asrq").last.wait_for()
        height = page.evaluate("document.querySelector('.footer-text').getBoundingClientRect().bottom + 12")
        width = page.viewport_size["width"]  # type: ignore[index]  # set in chromium.py
        taken.append(folder / f"{name}.png")
        page.screenshot(
            path=taken[-1], clip={"x": 0, "y": 0, "width": width, "height": int(height)}, full_page=True, caret="hide"
        )
    return taken


def take_page(browser: Browser, home: str, folder: Path) -> list[Path]:
    """Photograph the page of the gateway at `home`, with a recording that was transcribed, in both colours."""
    taken = []
    for name, scheme, (width, height) in (("page-light", "light", (900, 710)), ("page-dark", "dark", (400, 760))):
        size = {"width": width, "height": height}
        with watched(browser, home, color_scheme=scheme, viewport=size, device_scale_factor=1) as view:
            page = view.open("/")
            page.get_by_text("nothing to do").wait_for()
            page.locator("#files").set_input_files(_RECORDING)
            page.locator("[data-phase=completed]").wait_for(timeout=60_000)
            words = page.locator(".text [data-start]")
            words.nth(min(5, words.count() - 1)).click()
            page.locator("audio").evaluate("sound => sound.pause()")
            page.get_by_text("nothing to do").wait_for()
            page.mouse.move(0, 0)
            taken.append(folder / f"{name}.png")
            page.screenshot(path=taken[-1], caret="hide")
    return taken


def main() -> None:
    """Write them into the folder that the command line names."""
    folder = Path(sys.argv[1])
    with (
        tempfile.TemporaryDirectory() as temporary,
        EmbeddedValkey(data=None, port=0) as url,
        scene(url, Path(temporary), backend="whisper", model="tiny.en") as shown,
        chromium() as browser,
        watched(browser, shown.home) as view,
    ):
        for path in take(view, folder):
            print(path, path.stat().st_size)
    with (
        EmbeddedValkey(data=None, port=0) as url,
        worker(url, backend="whisper", model="tiny.en"),
        serving(Settings(redis_url=url), "127.0.0.1", 0) as port,
        chromium() as browser,
    ):
        for path in take_page(browser, f"http://127.0.0.1:{port}", folder):
            print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
