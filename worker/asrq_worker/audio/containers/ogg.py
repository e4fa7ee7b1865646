"""Ogg (RFC 3533), whose files may be chained: one after the other, each with its own streams."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from asrq_worker.audio.containers.part import A_TAG, Part, find, is_padding, read_at

_MARK = b"OggS\0"
_HEAD, _TABLE, _CHECKSUM = 27, 255, slice(22, 26)
_FIRST, _LAST = 2, 4
_GOES_ON = 255  # as the last length of a page: its packet ends on another one
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def begins(head: bytes) -> bool:
    """Return whether the first bytes are those of such a file."""
    return head.startswith(_MARK)


def part(file: BinaryIO, start: int, size: int) -> Part:
    """Return one link of a chain.

    It is cut if its last page is. That no page is marked as the last one means nothing: live streams are left at any
    page.
    """
    at, sound, whole, damaged = start, False, True, False
    while at < size:
        head = read_at(file, at, _HEAD + _TABLE)
        if not head.startswith(_MARK):
            after = find(file, _MARK, at + 1, size)
            damaged = damaged or after < size or (after - at > A_TAG and not is_padding(file, at, size))
            whole = whole and not _MARK.startswith(head)
            at = after
            continue
        if len(head) < _HEAD:
            return Part(start, size, cut=True, damaged=damaged)
        flags, lengths = head[5], head[_HEAD : _HEAD + head[26]]
        if flags & _FIRST and sound:
            return Part(start, at, damaged=damaged)
        sound = sound or not flags & _FIRST
        length = _HEAD + head[26] + sum(lengths)
        page = read_at(file, at, length)
        whole = len(page) == length and (flags & _LAST > 0 or lengths[-1:] != bytes([_GOES_ON]))
        damaged = damaged or (len(page) == length and page[_CHECKSUM] != _checksum(page))
        at += length
    return Part(start, size, cut=not whole, damaged=damaged)


def _checksum(page: bytes) -> bytes:
    """Return the CRC of a page: that of zlib with the bits of all bytes the other way round, and without its mask."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    crc = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "little").translate(_REVERSED)[::-1]
