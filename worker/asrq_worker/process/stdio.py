"""Standard input and output, kept for messages: JSON, one a line, which nothing else in the process can disturb."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

Message = dict[str, Any]


class Stdio:
    """Takes both streams over. Afterwards standard input is empty, and what a library prints goes to standard error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        if sys.stderr is None:  # a desktop program may have none to pass on
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        self.incoming: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._outgoing = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a device, not a file
            os.dup2(nothing.fileno(), 0)

    def send(self, message: Message) -> bool:
        """Write one message; False if nobody reads any more. Thread-safe; waits while the reader is slow."""
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock:
                self._outgoing.write(line)
                self._outgoing.flush()
        except OSError:
            return False
        return True


def lines(stream: BinaryIO, longest: int) -> Iterator[bytes | None]:
    """Yield each line until the stream ends, None for one of more than `longest` bytes, of which none is kept.

    A line that the end of the stream cuts off is left out. A stream that cannot be read, such as one that was closed
    when we were started, is at its end.
    """
    with suppress(OSError):
        while (line := stream.readline(longest + 1)).endswith(b"\n") or len(line) > longest:
            if line.endswith(b"\n"):
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = stream.readline(longest)
            yield None
