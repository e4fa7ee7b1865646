"""A container within a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

A_TAG = 4096
"""Bytes behind a container that need no word: what programs write there about it."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Part:
    """A container: bytes from `start` to `stop`. `cut`: by its own structure there was more to come. `damaged`: some of
    it is nothing that belongs there. `uncounted`: there is more sound in it than its header counts. `known`: there is a
    reader for its structure."""

    start: int
    stop: int
    cut: bool = False
    damaged: bool = False
    uncounted: bool = False
    known: bool = True


def size_of(file: BinaryIO) -> int:
    """Return the length of a file in bytes."""
    return file.seek(0, os.SEEK_END)


def read_at(file: BinaryIO, at: int, count: int) -> bytes:
    """Return up to `count` bytes, fewer at the end of the file."""
    file.seek(at)
    return file.read(count)


def is_padding(file: BinaryIO, at: int, size: int) -> bool:
    """Return whether all bytes from `at` on are zero."""
    file.seek(at)
    while at < size and (block := file.read(_BLOCK)):
        if block.strip(b"\0"):
            return False
        at += len(block)
    return True


def find(file: BinaryIO, mark: bytes, at: int, size: int) -> int:
    """Return where `mark` comes next, or `size`."""
    while at < size:
        found = read_at(file, at, _BLOCK + len(mark)).find(mark)
        if found >= 0:
            return at + found
        at += _BLOCK
    return size
