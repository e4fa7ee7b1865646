"""A browser for the tests of a module: while it runs, no test of another may run an event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.chromium import chromium
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with chromium() as running:
        yield running
