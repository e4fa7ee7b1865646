"""MPEG transport streams (ISO/IEC 13818-1), also with time codes before (M2TS) or check bytes behind each packet."""

from __future__ import annotations

from asrq_worker.audio.containers.part import Content, Part

_SYNC = 0x47
_SHAPES = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, and where in it the sync byte is


def part(content: Content) -> Part | None:
    """Return the file without its padding, or None if it is no such stream. It is cut if it ends within a packet."""
    size = content.size
    for length, sync in _SHAPES:
        begins = range(sync, min(size, 4 * length), length)
        if len(begins) >= 4 and all(content.read(at, 1)[0] == _SYNC for at in begins):
            stop = min(size, content.zeros_at + -content.zeros_at % length)
            last = stop - stop % length + sync
            return Part(0, stop, cut=last < stop and content.read(last, 1)[0] == _SYNC, known=False)
    return None
