"""What a signal handler may set, wherever in the main thread the signal strikes."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue


class Flag:
    """As `threading.Event`, for one thread that waits.

    An Event has a lock that its waiter holds now and then: a handler that strikes just then and sets it waits for the
    very thread that it has interrupted. `SimpleQueue.put` is made to be called there.
    """

    def __init__(self) -> None:
        self._set = False
        self._news: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Set it for good."""
        self._set = True
        self._news.put(None)

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, or for so many seconds; whether it is."""
        if not self._set:
            with suppress(Empty):
                self._news.get(timeout=timeout_s)
        return self._set
