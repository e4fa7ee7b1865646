"""MPEG transport streams (ISO/IEC 13818-1), also with time codes before (M2TS) or check bytes behind each packet."""

from __future__ import annotations

from asrq_worker.audio.containers.part import Content

_SYNC = 0x47
_SHAPES = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, and where in it the sync byte is


def is_cut(content: Content) -> bool:
    """Return whether a file is such a stream and ends within a packet."""
    size = content.size
    for length, sync in _SHAPES:
        begins = range(sync, min(size, 4 * length), length)
        if len(begins) >= 4 and all(content.read(at, 1)[0] == _SYNC for at in begins):
            last = size - size % length + sync
            return last < size and content.read(last, 1)[0] == _SYNC
    return False
