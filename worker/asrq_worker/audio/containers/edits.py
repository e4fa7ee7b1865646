"""How long MP4 and QuickTime files are by their edit lists (ISO/IEC 14496-12, 8.6.6).

FFmpeg lists the frames of every edit before it says how long the file is: a hundred thousand edits of twenty seconds
are a gigabyte of memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from asrq_worker.audio.containers.part import MOST_WITHOUT_SOUND, Content, Part

_PARENTS = frozenset(b"moov trak edts mdia minf stbl udta meta".split())
_FEW = 10  # edits: they cannot be much more than the track, and some writers count their length in another unit
_LONG_HEAD = 16  # bytes of a box whose size takes 64 bits


def length_s(content: Content, part: Part) -> float:
    """Return the length in seconds of the longest track that has many edits; 0 if there is none."""
    scale, longest = 0, 0
    for name, at, stop in _boxes(content, part.start, part.stop):
        wide = content.read(at, 1) == b"\1"
        if name == b"mvhd":
            scale = int.from_bytes(content.read(at + (20 if wide else 12), 4))
        elif name == b"elst":
            entry = struct.Struct(">Q12x" if wide else ">I8x")
            count = min(int.from_bytes(content.read(at + 4, 4)), (stop - at - 8) // entry.size)
            if count > _FEW:
                entries = entry.iter_unpack(content.read(at + 8, count * entry.size))
                longest = max(longest, sum(length for (length,) in entries))
    return longest / scale if scale else 0.0


def _boxes(content: Content, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes from `start` to `stop`, those in others too: a name, and where the body begins and ends."""
    ends, at = [stop], start
    for _ in range(MOST_WITHOUT_SOUND):
        while ends and at >= ends[-1]:
            at = ends.pop()
        if not ends:
            return
        head = content.read(at, _LONG_HEAD)
        size, name, body = int.from_bytes(head[:4]), head[4:8], at + 8
        if size == 1:
            size, body = int.from_bytes(head[8:]), at + _LONG_HEAD
        end = min(at + size, ends[-1]) if size else ends[-1]
        if len(head) < 8 or end < body:
            return
        yield name, body, end
        at = body if name in _PARENTS else end
        if name in _PARENTS:
            ends.append(end)
