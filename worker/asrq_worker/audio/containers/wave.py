"""RIFF/WAVE, its 64-bit kin RF64 and BW64 (EBU Tech 3306), and its big-endian RIFX."""

from __future__ import annotations

from typing import BinaryIO, Literal

from asrq_worker.audio.containers.part import Part, is_padding, read_at

_FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_OPEN_ENDED = 0x7FFFF000  # programs that stream write this or more for "until the end"; others leave 0
_LARGE = 0xFFFFFFFF  # the size stands in the chunk ds64
_BLOCK = 1 << 20


def begins(head: bytes) -> bool:
    """Return whether the first 12 bytes are those of such a file."""
    return head[:4] in _FORMS and head[8:12] == b"WAVE"


def part(file: BinaryIO, start: int, size: int) -> Part:
    """Return the part. What follows the samples that the header counts belongs to it, unless it is another file."""
    form = read_at(file, start, 4)
    order: Literal["big", "little"] = "big" if form == b"RIFX" else "little"
    at, large = start + 12, 0
    while at + 8 <= size:
        header = read_at(file, at, 36)
        name, length = header[:4], int.from_bytes(header[4:8], order)
        if name == b"ds64":
            large = int.from_bytes(header[16:24], "little")
        if name == b"data":
            wide = form in (b"RF64", b"BW64") and length == _LARGE
            return _with_samples(file, start, at + 8, size, large if wide else length, open_ended=not wide)
        at += 8 + length + length % 2
    return Part(start, size, cut=True)


def _with_samples(file: BinaryIO, start: int, body: int, size: int, length: int, *, open_ended: bool) -> Part:
    """Return the part whose samples begin at `body` and are `length` bytes, as far as the header knows."""
    if open_ended and length >= _OPEN_ENDED:
        return Part(start, _next(file, body, size))
    end = body + length
    if end <= size:
        for after in (end + length % 2, end):  # some leave the padding out
            if (stop := _known(file, after, size)) is not None:
                return Part(start, stop)
    stop = _next(file, body, size)
    return Part(start, stop, cut=stop < end, uncounted=stop > end)


def _known(file: BinaryIO, at: int, size: int) -> int | None:
    """Return where what lies behind the samples ends: chunks, a tag, padding or nothing; None if it is more samples."""
    place = at
    while place + 12 <= size:
        header = read_at(file, place, 12)
        if begins(header):
            return place
        if not header[:4].isascii() or not header[:4].decode("ascii").isprintable():
            break
        length = int.from_bytes(header[4:8], "little")
        place += 8 + length + length % 2
    if size <= place <= size + 1 or read_at(file, at, 3) == b"ID3" or is_padding(file, at, size):
        return size
    return None


def _next(file: BinaryIO, at: int, size: int) -> int:
    """Return where the next file of this kind begins, or the end."""
    while at < size:
        block = read_at(file, at, _BLOCK + 12)
        found = block.find(b"WAVE", 8)
        while found >= 0:
            if block[found - 8 : found - 4] in _FORMS:
                return at + found - 8
            found = block.find(b"WAVE", found + 1)
        at += _BLOCK
    return size
