"""How long a frame says that it is, of codecs whose frames say so: a shorter one was cut off, and the next one, or
something else, follows at once.

Sources: ISO/IEC 11172-3 and 13818-3 (MPEG audio), ISO/IEC 13818-7 (ADTS), ATSC A/52 (AC-3, E-AC-3), ETSI TS 102 114
(DTS).
"""

from __future__ import annotations

from typing import NamedTuple

from asrq_worker.audio.containers.part import Content

# kbit/s by the header's index, from 1: MPEG 1 layers 1 to 3; MPEG 2 and 2.5 layer 1, layers 2 and 3.
_MPEG1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2 = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG2[3] = _MPEG2[2]
_MPEG_RATES = (44_100, 48_000, 32_000)
_AC3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48_000, 44_100, 32_000)
_CODECS = {0xFF: ("mp3", "aac"), 0x0B: ("ac3",), 0x7F: ("dts",)}  # by the first byte; mp3: of all layers
_IN_A_ROW = 3  # frames: so many do not come about by chance
_TABLE = 64  # bytes in which a table of contents of MP3 begins

HEAD = _TABLE
"""Bytes of a frame that say all that is asked here."""

_SECOND = (*range(0xE2, 0xE8), *range(0xF0, 0x100))  # behind 0xFF: no version and layer is another
FIRST = frozenset({b"\x0b\x77", b"\x7f\xfe", *(bytes((0xFF, second)) for second in _SECOND)})
"""The first two bytes of a frame."""


class Frame(NamedTuple):
    """A frame: what it has in common with all others of its stream, and its length in bytes."""

    stream: tuple[object, ...]
    length: int


def read(head: bytes) -> Frame | None:
    """Return the frame that begins with `head`, or None if none does."""
    for codec in _CODECS.get(head[0], ()) if head else ():
        if length := stated_bytes(codec, head[:8]):
            return Frame(_stream(codec, head), length)
    return None


def row(content: Content, at: int, count: int = _IN_A_ROW) -> Frame | None:
    """Return the first frame of a row of `count` that begins at `at`, fewer before the end, or None."""
    first = None
    for number in range(count):
        frame = read(content.read(at, 8))
        if frame is None or (first and frame.stream != first.stream):
            return first if number > 1 and at >= content.zeros_at else None
        first = first or frame
        at += frame.length
    return first


def is_table(head: bytes) -> bool:
    """Return whether a frame of MP3 is none, but tells of those that follow: it is the first of a file."""
    return _table_at(head) > 0


def counted_s(head: bytes) -> float | None:
    """Return how long a file of MP3 is by the table in its first frame, in seconds; None if that has no count."""
    at = _table_at(head)
    if not at or not _mpeg(head):
        return None
    vbri = head[at : at + 4] == b"VBRI"
    count = head[at + 14 : at + 18] if vbri else head[at + 8 : at + 12]
    if not vbri and not head[at + 7] & 1:
        return None
    samples, hertz = _samples_and_rate(head)
    return int.from_bytes(count) * samples / hertz


def _table_at(head: bytes) -> int:
    place = min((at for name in (b"Xing", b"Info", b"VBRI") if (at := head.find(name)) > 0), default=0)
    return 0 if any(head[6:place]) else place  # before it, a checksum may be, and side information of silence


def _stream(codec: str, head: bytes) -> tuple[object, ...]:
    match codec:
        case "mp3":
            return codec, head[1] & 0x1E, head[2] & 0x0C, head[3] >> 6 == 3
        case "aac":
            return codec, head[1] & 0x06, head[2] & 0xFD, head[3] & 0xC0
        case "ac3":
            return codec, head[4] >> 6
        case _:
            return (codec,)


def stated_bytes(codec: str, head: bytes) -> int | None:
    """Return the length of the frame that begins with `head` (8 bytes), or None if it does not say.

    `codec` is FFmpeg's canonical name.
    """
    if len(head) < 8:
        return None
    match codec:
        case "mp1" | "mp2" | "mp3":
            return _mpeg(head)
        case "aac":
            return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if _sync(head, 0xFFF0) else None
        case "ac3" | "eac3":
            return _ac3(head) if _sync(head, 0x0B77, mask=0xFFFF) else None
        case "dts":
            core = head[:4] == b"\x7f\xfe\x80\x01"
            return ((head[5] & 3) << 12 | head[6] << 4 | head[7] >> 4) + 1 if core else None
        case _:
            return None


def _sync(head: bytes, word: int, *, mask: int = 0xFFF6) -> bool:
    return int.from_bytes(head[:2], "big") & mask == word


def _mpeg(head: bytes) -> int | None:
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if not _sync(head, 0xFFE0, mask=0xFFE0) or version == 1 or layer == 4 or kbits in (0, 15) or rate == 3:
        return None
    per_s = 1000 * (_MPEG1 if version == 3 else _MPEG2)[layer][kbits - 1]
    samples, hertz = _samples_and_rate(head)
    if layer == 1:
        return (12 * per_s // hertz + padding) * 4
    return samples // 8 * per_s // hertz + padding


def _samples_and_rate(head: bytes) -> tuple[int, int]:
    """Return the samples of a frame of MPEG audio, of one channel, and their number in a second."""
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    samples = {1: 384, 2: 1152, 3: 1152 if version == 3 else 576}[layer]
    return samples, _MPEG_RATES[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]


def _ac3(head: bytes) -> int | None:
    if head[5] >> 3 > 10:  # E-AC-3
        return ((head[2] & 7) << 8 | head[3]) * 2 + 2
    rate, code = head[4] >> 6, head[4] & 0x3F
    if rate == 3 or code >= 2 * len(_AC3):
        return None
    words = _AC3[code >> 1] * 96_000 // _AC3_RATES[rate]
    return 2 * (words + (code & 1 if rate == 1 else 0))
