"""Containers whose frames do not say how long they are: FLAC (RFC 9639) and TTA. They end where another file begins."""

from __future__ import annotations

from asrq_worker.audio.containers.openings import is_flac, is_tta, next_opening
from asrq_worker.audio.containers.part import MOST_WITHOUT_SOUND, Content, Part

_LAST = 0x80
_LONGEST_HEAD = 16  # bytes of a frame
_MORE_BYTES = {6: 1, 7: 2}  # by the code of the block's size
_RATE_BYTES = {12: 1, 13: 2, 14: 2}
_POLYNOMIAL = 0x107


def begins(head: bytes) -> bool:
    """Return whether the first bytes are those of such a file."""
    return is_flac(head) or is_tta(head)


def part(content: Content, start: int) -> Part:
    """Return the part. What is before the sound may hold the head of another file: of what it was made from."""
    if is_tta(content.read(start, 32)):
        return Part(start, next_opening(content, start + 4), known=False)
    at = start + 4
    for _ in range(MOST_WITHOUT_SOUND):
        head = content.read(at, 4)
        at += 4 + int.from_bytes(head[1:])
        if len(head) < 4 or head[0] & _LAST:
            break
    else:
        return Part(start, content.size, crowded=True)
    stop = next_opening(content, at)
    while _is_frame(content.read(stop, _LONGEST_HEAD)):  # those of silence may pass for a row of ADTS
        stop = next_opening(content, stop + 1)
    return Part(start, stop, known=False)


def _is_frame(head: bytes) -> bool:
    """Return whether a frame of FLAC begins with `head`, 16 bytes: whether the checksum of its header is right."""
    if len(head) < _LONGEST_HEAD or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return False
    number = max(1, 8 - (head[4] ^ 0xFF).bit_length())  # as in UTF-8, but longer
    size = 4 + number + _MORE_BYTES.get(head[2] >> 4, 0) + _RATE_BYTES.get(head[2] & 15, 0)
    return size < len(head) and _crc8(head[:size]) == head[size]


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value << 1 ^ (_POLYNOMIAL if value & 0x80 else 0)
    return value
