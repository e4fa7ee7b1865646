"""How a test waits for what sends no signal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_S = 0.01
_RARELY_S = 0.05  # many looks ask a server or list processes, which takes as long as what is waited for


def until(condition: Callable[[], object], seconds: float = 50) -> None:
    """Wait until the condition holds; one that never does fails the test."""
    deadline, pause = time.monotonic() + seconds, _LOOK_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(pause)
        pause = min(1.2 * pause, _RARELY_S)


@contextmanager
def soon(act: Callable[[], object], wait_s: float = 0.2) -> Iterator[None]:
    """Do something while the block waits for its consequence; it has been done when the block is left."""
    timer = threading.Timer(wait_s, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()
