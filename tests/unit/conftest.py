"""Unit tests leave their process alone: one that starts a program or connects to anything fails."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

# As Python announces them before it does them: https://docs.python.org/3/library/audit_events.html.
_OUTSIDE = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "socket.connect"}


class Outside:
    """Hears of all that Python is about to do, and refuses what unit tests do not do."""

    def __init__(self) -> None:
        self.refused: list[str] | None = None
        """Of the test that runs."""
        self.earlier: set[int | None] = set()
        """Threads that it has not started."""

    def __call__(self, event: str, _arguments: object) -> None:
        if event in _OUTSIDE and self.refused is not None and threading.get_ident() not in self.earlier:
            self.refused.append(event)
            raise RuntimeError(f"A unit test does not do this ({event}): it belongs to tests/integration.")


_HOOK = Outside()
sys.addaudithook(_HOOK)  # for as long as the process lives


@pytest.fixture(autouse=True)
def outside() -> Iterator[list[str]]:
    """What the test was refused; it fails even if the code under test goes on without."""
    _HOOK.earlier = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    _HOOK.refused = refused = []
    yield refused
    _HOOK.refused = None
    assert not refused, f"A unit test does not do this: {refused}"
