"""Standard input, read ahead: the program that writes to it records, and cannot wait while Redis is away."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue

PIECE = 1 << 15
"""Bytes at most: what is there is taken at once."""
_AHEAD = 1 << 10  # pieces
_LOOK_S = 0.5  # a wait without an end cannot be interrupted on Windows


class ReadAhead:
    """Reads standard input from now on, to its end."""

    def __init__(self, first: bytes) -> None:
        """`first` has been read of it."""
        self._found: Queue[bytes | OSError] = Queue(_AHEAD)
        threading.Thread(target=self._read, args=(first,), daemon=True).start()

    def pieces(self) -> Iterator[bytes]:
        """Yield what comes, without waiting for more than there is, until its end; raises OSError."""
        while True:
            try:
                found = self._found.get(timeout=_LOOK_S)
            except Empty:
                continue
            if isinstance(found, OSError):
                raise found
            if not found:
                return
            yield found

    def rest(self) -> bytes:
        """Return what has been read and not been given."""
        found = []
        with suppress(Empty):
            while isinstance(sound := self._found.get_nowait(), bytes):
                found.append(sound)
        return b"".join(found)

    def _read(self, sound: bytes) -> None:
        try:
            while sound:
                self._found.put(sound)
                sound = os.read(sys.stdin.fileno(), PIECE)
            self._found.put(b"")
        except OSError as error:
            self._found.put(error)
