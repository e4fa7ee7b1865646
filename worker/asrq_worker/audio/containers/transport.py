"""MPEG transport streams (ISO/IEC 13818-1), also with time codes before (M2TS) or check bytes behind each packet."""

from __future__ import annotations

from asrq_worker.audio.containers.openings import SYNC, is_left_over, next_opening, opens, packets
from asrq_worker.audio.containers.part import Content, Part

_AT_ONCE = 4096  # packets


def part(content: Content, start: int) -> Part | None:
    """Return the stream without the padding of the file, or None if there is none. It is cut if it ends in a packet."""
    found = packets(content, start)
    if found is None:
        return None
    length, sync = found
    broken = _unbroken(content, start, length, sync)
    stop = broken if opens(content, broken) else next_opening(content, max(start + 1, broken - length), raw=False)
    damaged = stop == content.size > broken and is_left_over(content, broken)
    if stop == content.size:
        padding = max(start, content.zeros_at)
        stop = min(stop, padding + -(padding - start) % length)
    last = stop - (stop - start) % length + sync
    return Part(start, stop, cut=last < stop and content.read(last, 1) == SYNC, damaged=damaged, known=False)


def _unbroken(content: Content, start: int, length: int, sync: int) -> int:
    """Return where the first packet would be that is none."""
    at = start
    while marks := content.copy(at, length * _AT_ONCE)[sync::length]:
        others = len(marks.lstrip(SYNC))
        at += length * (len(marks) - others)
        if others:
            break
    return min(at, content.size)
