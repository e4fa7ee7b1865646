"""One browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.chromium import chromium
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with chromium() as running:
        yield running
