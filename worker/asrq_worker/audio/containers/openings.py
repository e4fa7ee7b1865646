"""Where another file begins in the middle of one: they were joined byte by byte.

Stricter than what a container asks of its own first bytes: in a day of sound nothing may look like one by chance.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from asrq_worker.audio.containers import frames
from asrq_worker.audio.containers.part import A_TAG, Content
from asrq_worker.audio.containers.tags import after_id3

SYNC = b"\x47"
"""The first byte of a packet of a transport stream."""

_SHAPES = ((188, 0), (192, 4), (204, 0))  # bytes of such a packet, and where in it the sync byte is
_HEAD = 64  # bytes: enough for any test here
_FIRST_BLOCK, _BLOCK = 1 << 12, 1 << 20
_LONGEST = 8  # bytes that a mark takes, and those before it
_WITHIN = {(0x66, 0x74): 4, (0x01, 0xBA): 2}  # by the first two bytes of a mark: how many come before it

_INITIAL_BLOCK = 0x800  # of WavPack

_Test = Callable[[bytes], bool]


def opens(content: Content, at: int, *, raw: bool = True) -> bool:
    """Return whether another file begins at `at`. `raw`: one without a container too, if some frames follow."""
    head = content.read(at, _HEAD)
    if test := _TESTS.get(head[:4]):
        return test(head)
    if head[:3] == b"ID3":
        behind = after_id3(content, at)
        return behind > at and content.read(behind, 3) != b"ID3" and opens(content, behind)
    if head[4:8] == b"ftyp":
        return _is_movie(head)
    if not raw or not head:
        return False
    if head[:2] in frames.FIRST:
        return frames.row(content, at) is not None
    return _is_program(head) or (SYNC in (head[:1], head[4:5]) and packets(content, at) is not None)


def next_opening(content: Content, at: int, *, raw: bool = True, before: int | None = None) -> int:
    """Return where another file begins next, at `before` or the end at the latest."""
    stop = content.size if before is None else min(before, content.size)
    table = _ANY if raw else _STRONG
    count = _FIRST_BLOCK
    while at < stop:
        data = content.copy(at, count + _LONGEST)
        block = np.frombuffer(data, dtype=np.uint8)
        for place in np.flatnonzero(table[block[:-1] | block[1:].astype(np.uint16) << 8]).tolist():
            start = at + place - _WITHIN.get((block[place], block[place + 1]), 0)
            if start >= stop:
                break
            if start >= at and _may_open(data, place) and opens(content, start, raw=raw):
                return start
        at += count
        count = _BLOCK
    return stop


def _may_open(data: bytes, place: int) -> bool:
    """Return False where a look at what follows the first frame or packet tells that it is none: most are."""
    if data[place] == SYNC[0]:
        return data[place + _SHAPES[0][0] : place + _SHAPES[0][0] + 1] in (SYNC, b"")
    if data[place : place + 2] not in frames.FIRST:
        return True
    frame = frames.read(data[place : place + 8])
    if frame is None:
        return len(data) < place + 8
    behind = data[place + frame.length : place + frame.length + 2]
    return len(behind) < 2 or behind in frames.FIRST


def is_left_over(content: Content, at: int) -> bool:
    """Return whether what follows, up to another file, is more than what programs write about a file behind it."""
    return content.is_more_than_a_tag(at) and next_opening(content, at, before=at + A_TAG) == at + A_TAG


def packets(content: Content, start: int) -> tuple[int, int] | None:
    """Return how long the packets of the transport stream are that begins there, and where in one the sync byte is.

    None if there is none.
    """
    for length, sync in _SHAPES:
        begins = range(start + sync, min(content.size, start + 4 * length), length)
        if len(begins) >= 4 and all(content.read(at, 1) == SYNC for at in begins):
            return length, sync
    return None


def _printable(data: bytes) -> bool:
    return len(data) == 4 and data.isascii() and data.decode("ascii").isprintable()


def _riff(head: bytes) -> bool:
    return head[8:12] in (b"WAVE", b"AVI ") and _printable(head[12:16])


def _form(head: bytes) -> bool:
    return head[8:12] in (b"AIFF", b"AIFC") and _printable(head[12:16])


def _begins_with(mark: bytes) -> _Test:
    return lambda head: head.startswith(mark)


def is_flac(head: bytes) -> bool:
    """Return whether it is the head of a file of FLAC."""
    return head[:4] == b"fLaC" and head[4:5] in (b"\0", b"\x80") and head[5:8] == b"\0\0\x22"


def _ogg(head: bytes) -> bool:
    return head[4:6] == b"\0\2" and head[18:22] == bytes(4) and head[26:27] > b"\0"


def _ebml(head: bytes) -> bool:
    return any(head[at : at + 2] in (b"\x42\x86", b"\x42\x82") for at in (5, 6, 8, 12))


def _au(head: bytes) -> bool:
    begin, _, encoding, rate, channels = struct.unpack_from(">IIIII", head.ljust(_HEAD, b"\0"), 4)
    sized = begin in range(24, 1 << 20) and encoding in range(1, 32)
    return sized and rate in range(1, 1 << 20) and channels in range(1, 256)


def _amr(head: bytes) -> bool:
    return head.startswith((b"#!AMR\n", b"#!AMR-WB\n"))


def _flv(head: bytes) -> bool:
    return head[4:5] in (b"\1", b"\4", b"\5") and head[5:13] == b"\0\0\0\x09\0\0\0\0"


def is_tta(head: bytes) -> bool:
    """Return whether it is the head of a file of TTA."""
    kind, channels, bits = struct.unpack_from("<HHH", head.ljust(_HEAD, b"\0"), 4)
    return head[:4] == b"TTA1" and kind in (1, 2) and channels in range(1, 17) and bits in (8, 16, 24)


def is_first_block(head: bytes) -> bool:
    """Return whether the first 32 bytes of a block of WavPack are those of the first one of a file."""
    version, high, index, samples, flags = struct.unpack_from("<HB5xIII", head.ljust(_HEAD, b"\0"), 8)
    return version in range(0x402, 0x411) and not high and not index and samples != 0 and bool(flags & _INITIAL_BLOCK)


def _is_movie(head: bytes) -> bool:
    size = int.from_bytes(head[:4])
    return head[4:8] == b"ftyp" and 12 <= size < 4096 and size % 4 == 0 and _printable(head[8:12])


def _is_program(head: bytes) -> bool:
    return head[:4] == b"\0\0\1\xba" and len(head) > 4 and (head[4] & 0xC4 == 0x44 or head[4] & 0xF1 == 0x21)


_TESTS: dict[bytes, _Test] = {
    b"RIFF": _riff,
    b"RIFX": _riff,
    b"RF64": _riff,
    b"BW64": _riff,
    b"FORM": _form,
    b"fLaC": is_flac,
    b"OggS": _ogg,
    b"\x1a\x45\xdf\xa3": _ebml,
    b"\x30\x26\xb2\x75": _begins_with(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    b"riff": _begins_with(bytes.fromhex("726966662e91cf11a5d628db04c10000")),
    b"caff": _begins_with(b"caff\0\1\0\0desc"),
    b".snd": _au,
    b"#!AM": _amr,
    b"FLV\1": _flv,
    b"Crea": _begins_with(b"Creative Voice File\x1a"),
    b".RMF": _begins_with(b".RMF\0\0\0\x12\0"),
    b"wvpk": is_first_block,
    b"TTA1": is_tta,
}


def _pairs(marks: Iterable[bytes]) -> NDArray[np.bool_]:
    table = np.zeros(1 << 16, dtype=np.bool_)
    table[[mark[0] | mark[1] << 8 for mark in marks]] = True
    return table


_STRONG = _pairs([*_TESTS, b"ftyp", b"ID3"])
_ANY = _STRONG | _pairs([*frames.FIRST, b"\1\xba", SYNC + b"\x40"])
