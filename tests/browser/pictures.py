"""Makes the pictures of docs/how-to/use-the-dashboard.md: `PYTHONPATH=tests python -m browser.pictures docs/img`.

With the model `tiny.en` (extra `demo`), so that a result is one that a reader will see, too.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser.chromium import Watched, chromium, watched
from browser.scene import scene

from asrq_worker.embedded.valkey import EmbeddedValkey

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


if __name__ == "__main__":
    main()
