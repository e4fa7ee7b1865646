"""A container within a file, and the bytes by which it is found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

A_TAG = 4096
"""Bytes behind a container that need no word: what programs write there about it."""

MOST_STEPS = 2_000_000
"""Chunks, frames or pages that are followed, some seconds' work: more than a day of audio, unless they are made to."""

MOST_WITHOUT_SOUND = 100_000
"""Chunks without sound: no program writes as many, and FFmpeg takes its time with each."""

MOST_LOSSES = 1000
"""Times that the thread is lost and found again."""

_WINDOW = 1 << 16
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Part:
    """A container: bytes from `start` to `stop`. `cut`: by its own structure there was more to come. `damaged`: some of
    it is nothing that belongs there. `counts`: where its header counts the sound wrongly, and what it should say there.
    `crowded`: it has more than `MOST_WITHOUT_SOUND` chunks without sound. `known`: there is a reader for its
    structure."""

    start: int
    stop: int
    cut: bool = False
    damaged: bool = False
    counts: tuple[tuple[int, bytes], ...] = ()
    crowded: bool = False
    known: bool = True


def read_at(file: BinaryIO, at: int, count: int) -> bytes:
    """Return up to `count` bytes, fewer at the end of the file."""
    file.seek(at)
    return file.read(count)


class Content:
    """The first `size` bytes of a file, of which many short pieces are read, one soon after the other."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._start = 0
        self._window = b""

    def read(self, at: int, count: int) -> bytes:
        """Return `count` bytes, fewer at the end."""
        count = max(0, min(count, self.size - at))
        first = at - self._start
        if first < 0 or first + count > len(self._window):
            self._start, first = at, 0
            self._window = read_at(self._file, at, max(count, _WINDOW))
        return self._window[first : first + count]

    def copy(self, at: int, count: int) -> bytes:
        """Return `count` bytes, fewer at the end, of which there are many, or that are read once."""
        return read_at(self._file, at, max(0, min(count, self.size - at)))

    @cached_property
    def zeros_at(self) -> int:
        """Where the zeros begin that go on to the end, `size` if there are none. What is before may own the first."""
        stop = self.size
        while stop > 0:
            start = max(0, stop - _WINDOW)
            if kept := read_at(self._file, start, stop - start).rstrip(b"\0"):
                return start + len(kept)
            stop = start
        return 0

    def is_padding(self, at: int) -> bool:
        """Return whether all bytes from `at` on are zero."""
        return at >= self.zeros_at

    def is_more_than_a_tag(self, at: int) -> bool:
        """Return whether what follows, but for padding, cannot be passed over in silence."""
        return self.zeros_at - at > A_TAG

    def find(self, mark: bytes, at: int) -> int:
        """Return where `mark` comes next, or the end."""
        while at < self.size:
            found = read_at(self._file, at, min(_BLOCK + len(mark), self.size - at)).find(mark)
            if found >= 0:
                return at + found
            at += _BLOCK
        return self.size
