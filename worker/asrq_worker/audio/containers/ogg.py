"""Ogg (RFC 3533), whose files may be chained: one after the other, each with its own streams."""

from __future__ import annotations

import zlib

from asrq_worker.audio.containers.openings import is_left_over, next_opening, opens
from asrq_worker.audio.containers.part import MOST_LOSSES, MOST_STEPS, Content, Part

_MARK = b"OggS\0"
_HEAD, _TABLE, _CHECKSUM = 27, 255, slice(22, 26)
_FIRST, _LAST = 2, 4
_GOES_ON = 255  # as the last length of a page: its packet ends on another one
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def begins(head: bytes) -> bool:
    """Return whether the first bytes are those of such a file."""
    return head.startswith(_MARK)


def part(content: Content, start: int) -> Part:
    """Return one link of a chain.

    It is cut if its last page is. That no page is marked as the last one means nothing: live streams are left at any
    page.
    """
    at, last, size, sound, whole, losses = start, start, content.size, False, True, 0
    for _ in range(MOST_STEPS):
        if at >= size or losses > MOST_LOSSES:
            break
        head = content.read(at, _HEAD + _TABLE)
        if content.is_padding(at):
            return Part(start, at, cut=not whole, damaged=losses > 0)
        if not head.startswith(_MARK) and opens(content, at):
            return Part(start, at, cut=not whole, damaged=losses > 0)
        if not head.startswith(_MARK):
            after = content.find(_MARK, at + 1)
            if (other := next_opening(content, last + 1, raw=False, before=after)) < after:
                return Part(start, other, cut=True, damaged=losses > 0)
            losses += after < size or is_left_over(content, at)
            whole = whole and not _MARK.startswith(head)
            at = after
            continue
        if len(head) < _HEAD:
            return Part(start, size, cut=True, damaged=losses > 0)
        flags, lengths = head[5], head[_HEAD : _HEAD + head[26]]
        if flags & _FIRST and sound:
            return Part(start, at, damaged=losses > 0)
        sound = sound or not flags & _FIRST
        length = _HEAD + head[26] + sum(lengths)
        page = content.read(at, length)
        whole = len(page) == length and (flags & _LAST > 0 or lengths[-1:] != bytes([_GOES_ON]))
        losses += len(page) == length and page[_CHECKSUM] != _checksum(page)
        last, at = at, at + length
    return Part(start, size, cut=not whole, damaged=losses > 0)


def _checksum(page: bytes) -> bytes:
    """Return the CRC of a page: that of zlib with the bits of all bytes the other way round, and without its mask."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    crc = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "little").translate(_REVERSED)[::-1]
