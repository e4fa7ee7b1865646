"""RIFF/WAVE, its 64-bit kin RF64 and BW64 (EBU Tech 3306), and its big-endian RIFX."""

from __future__ import annotations

from typing import Literal

from asrq_worker.audio.containers.openings import next_opening, opens
from asrq_worker.audio.containers.part import MOST_WITHOUT_SOUND, Content, Part

_FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_OPEN_ENDED = 0x7FFFF000  # programs that stream write this or more for "until the end"; others leave 0
_SLACK = 64  # bytes: some count the header too
_LARGE = 0xFFFFFFFF  # the size is in the chunk ds64


def begins(head: bytes) -> bool:
    """Return whether the first 12 bytes are those of such a file."""
    return head[:4] in _FORMS and head[8:12] == b"WAVE"


def part(content: Content, start: int) -> Part:
    """Return the part. What follows the samples that the header counts belongs to it, unless it is another file."""
    form = content.read(start, 4)
    order: Literal["big", "little"] = "big" if form == b"RIFX" else "little"
    at, large = start + 12, 0
    for _ in range(MOST_WITHOUT_SOUND):
        header = content.read(at, 24)
        if len(header) < 8:
            return Part(start, content.size, cut=True)
        name, length = header[:4], int.from_bytes(header[4:8], order)
        if name == b"ds64":
            large = int.from_bytes(header[16:24], "little")
        if name == b"data":
            wide = form in (b"RF64", b"BW64") and length == _LARGE
            return _with_samples(content, start, at + 8, large if wide else length, open_ended=not wide)
        at += 8 + length + length % 2
    return Part(start, content.size, crowded=True)


def _with_samples(content: Content, start: int, body: int, length: int, *, open_ended: bool) -> Part:
    """Return the part whose samples begin at `body` and are `length` bytes, as far as the header knows."""
    if open_ended and length >= _OPEN_ENDED:
        return Part(start, next_opening(content, body, raw=False))
    end = body + length
    if end <= content.size:
        for after in (end + length % 2, end):  # some leave the padding out
            if (found := _closed(content, start, after)) is not None:
                return found
    stop = next_opening(content, body, raw=False)
    return Part(start, stop, cut=stop < end - _SLACK, uncounted=stop > end)


def _closed(content: Content, start: int, at: int) -> Part | None:
    """Return the part whose samples end at `at`, if what follows is chunks, a tag, padding or nothing."""
    place, size = at, content.size
    for _ in range(MOST_WITHOUT_SOUND):
        header = content.read(place, 12)
        if opens(content, place):
            return Part(start, place)
        if len(header) < 12 or not header[:4].isascii() or not header[:4].decode("ascii").isprintable():
            break
        length = int.from_bytes(header[4:8], "little")
        place += 8 + length + length % 2
    else:
        return Part(start, size, crowded=True)
    if size <= place <= size + 1 or content.read(at, 3) == b"ID3" or content.is_padding(at):
        return Part(start, size)
    return None
