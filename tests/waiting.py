"""How a test waits for what sends no signal."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_S = 0.01


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until the condition holds; one that never does fails the test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(_LOOK_S)
