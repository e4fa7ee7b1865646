"""Matroska and WebM (RFC 8794, RFC 9559)."""

from __future__ import annotations

from asrq_worker.audio.containers.openings import is_left_over, next_opening, opens
from asrq_worker.audio.containers.part import A_TAG, MOST_LOSSES, MOST_STEPS, Content, Part

_EBML, _SEGMENT, _CLUSTER, _VOID = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xEC
_INSIDE = frozenset({
    _CLUSTER, 0xA3, 0xA0, 0xE7, 0xAB, 0xA7, 0xAF, 0x5854,  # and the blocks in one
    0x1C53BB6B, 0x1254C367, 0x1549A966, 0x1654AE6B, 0x114D9B74, 0x1043A770, 0x1941A469, _VOID, 0xBF,
})  # fmt: skip
_HEAD = 12  # bytes of an id and a size at most


def begins(head: bytes) -> bool:
    """Return whether the first bytes are those of such a file."""
    return head[:4] == _EBML.to_bytes(4, "big")


def part(content: Content, start: int) -> Part:
    """Return the part. Live streams do not know the size of their segment, or of clusters: elements are followed."""
    at, last, size, losses = start, start, content.size, 0
    end: float | None = None  # of the segment
    for _ in range(MOST_STEPS):
        if at >= size or losses > MOST_LOSSES:
            break
        head = content.read(at, _HEAD)
        kind, length, taken = _element(head)
        if end is None:
            if kind == _SEGMENT:
                end = float("inf") if length is None else at + taken + length
                at += taken
                continue
            if kind not in (_EBML, _VOID):
                return Part(start, size, cut=True)
        elif (another := kind == _EBML or opens(content, at)) or at >= end:
            if not another and (other := next_opening(content, last + 1, raw=False, before=at)) < at:
                return Part(start, other, cut=True, damaged=losses > 0)
            left_over = not another and is_left_over(content, at)
            return Part(start, at, damaged=losses > 0 or left_over)
        elif kind not in _INSIDE:
            if content.is_padding(at) or len(head) < _HEAD:
                return Part(start, size, cut=size < end < float("inf") or any(head), damaged=losses > 0)
            after = min(content.find(mark.to_bytes(4, "big"), at) for mark in (_CLUSTER, _EBML))
            if (other := next_opening(content, last + 1, raw=False, before=after)) < after:
                return Part(start, other, cut=True, damaged=losses > 0)
            losses += after < size or size - at > A_TAG
            at = after
            continue
        last, at = at, at + taken + (length or 0)
    stop = next_opening(content, last + 1, raw=False) if at > size else size
    return Part(start, stop, cut=end is None or at > size or size < end < float("inf"), damaged=losses > 0)


def _element(head: bytes) -> tuple[int | None, int | None, int]:
    """Return an element's id (None if there is none), the length of its content (None if unknown) and of its head."""
    wide = _width(head)
    count = _width(head[wide:])
    if not wide or wide > 4 or not count or len(head) < wide + count:
        return None, None, 0
    length = int.from_bytes(head[wide : wide + count], "big") & (1 << 7 * count) - 1
    unknown = length == (1 << 7 * count) - 1
    return int.from_bytes(head[:wide], "big"), None if unknown else length, wide + count


def _width(data: bytes) -> int:
    """Return how many bytes a number of variable size takes, or 0 if none begins here."""
    return 9 - data[0].bit_length() if data and data[0] else 0
