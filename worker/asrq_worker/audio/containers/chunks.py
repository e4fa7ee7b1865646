"""Containers that are a row of chunks, each with its size in its head.

Sources: Microsoft's AVI RIFF and ASF specifications, Apple's CAF and QuickTime file formats,
Adobe's FLV 10.1, the Sun AU, VOC and RealMedia formats, ISO/IEC 14496-12, 3GPP TS 26.101 and 26.201 (frames of AMR).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from asrq_worker.audio.containers.openings import is_first_block, is_left_over, next_opening, opens
from asrq_worker.audio.containers.part import MOST_STEPS, MOST_WITHOUT_SOUND, Content, Part

HEAD = 32  # bytes: longer than the head of any chunk here
_UNKNOWN = (0, 0xFFFFFFFF, 0xFFFFFFFF_FFFFFFFF)  # as a size: the writer did not know it
_MP4 = frozenset(b"ftyp moov mdat moof styp sidx wide free skip pnot".split())
_MP4_INDEX = frozenset({b"moov"})
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_NO_PACKETS = 50
_VOC = b"Creative Voice File\x1a"
_PACK, _PROGRAM_END = 0xBA, 0xB9
_AMR, _AMR_WB = b"#!AMR\n", b"#!AMR-WB\n"
_AMR_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 7, 6, 6, 1, 1, 1, 1)
_AMR_WB_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)


class RiffChunk(NamedTuple):
    """What a place holds: its name, and its length in bytes, head included; None: it goes on to the end of the file."""

    name: bytes
    length: int | None


@dataclass(frozen=True)
class _Row:
    """A kind of container. `read` says what a head of `HEAD` bytes, or fewer at the end, begins; None: nothing known.

    A file begins with a chunk of `opening`, and the next one where that, or one of `again`, comes behind sound, which
    is in chunks of `body`, or in any. `index`: chunks without which none is found. `slack`: bytes at the end that may
    be left out; `closed`: what is no chunk does not belong there; `vague`: much that is none reads like one.
    """

    read: Callable[[bytes], RiffChunk | None]
    opening: frozenset[bytes]
    body: frozenset[bytes] | None = None
    again: frozenset[bytes] | None = None
    index: frozenset[bytes] = frozenset()
    slack: int = 1
    closed: bool = True
    vague: bool = False

    def begins(self, head: bytes) -> bool:
        """Return whether a file of this kind begins with `HEAD` bytes."""
        chunk = self.read(head)
        return chunk is not None and chunk.name in self.opening

    def part(self, content: Content, start: int) -> Part:
        """Return the part that begins at `start`; what is no chunk of it ends it."""
        at, last, body, silent = start, start, start, 0
        sound = needed = False
        size = next_opening(content, start + 1, raw=False) if self.vague else content.size
        for _ in range(MOST_STEPS):
            if at >= size:
                break
            if sound and (stop := self._stop(content, at)) is not None:
                return Part(start, stop)
            head = content.read(at, HEAD)
            chunk = self.read(head)
            if chunk is None:
                cut = not sound or (len(head) < HEAD and not content.is_padding(at))
                return self._ended(content, Part(start, at, cut=cut), body, at, left_over=at)
            in_body = self.body is None or chunk.name in self.body
            needed = in_body or chunk.name in self.index
            sound = sound or in_body
            body = at if in_body else body
            silent += not in_body
            if silent > MOST_WITHOUT_SOUND:
                return Part(start, size, crowded=True)
            if chunk.length is None:
                return Part(start, next_opening(content, at + HEAD, raw=False))
            last, at = at, at + max(1, chunk.length)
        if at <= size + self.slack:
            return Part(start, size, cut=not sound)
        left_over = size if needed else last
        return self._ended(content, Part(start, size, cut=not sound or needed), body, size, left_over=left_over)

    def _ended(self, content: Content, part: Part, body: int, stop: int, *, left_over: int) -> Part:
        """Return a part whose end is not its own: where another file begins in its last sound, it was cut off there."""
        other = next_opening(content, body + 1, raw=False, before=stop)
        if other < stop:
            return Part(part.start, other, cut=True)
        return replace(part, damaged=self.closed and is_left_over(content, left_over))

    def _stop(self, content: Content, at: int) -> int | None:
        """Return where the part ends if something else begins at `at`, behind sound; None if it goes on."""
        chunk = self.read(content.read(at, HEAD))
        if content.is_padding(at):  # zeros may read as chunks
            return min(content.size, at + self.slack) if chunk else at
        if chunk and chunk.name in self.opening:
            return at if chunk.name in (self.opening if self.again is None else self.again) else None
        return next((place for place in range(at, at - self.slack - 1, -1) if opens(content, place)), None)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _sized(name: bytes, size: int, head: int, *, align: int = 1) -> RiffChunk:
    return RiffChunk(name, None if size in _UNKNOWN else head + size + -(head + size) % align)


def _avi(head: bytes) -> RiffChunk | None:
    if head[:4] != b"RIFF" or head[8:12] not in (b"AVI ", b"AVIX"):
        return None
    return _sized(head[8:12], _little(head[4:8]), 8, align=2)


def _caf(head: bytes) -> RiffChunk | None:
    if head[:4] == b"caff":
        return RiffChunk(b"caff", 8)
    if len(head) < 12 or not head[:4].isalnum():
        return None
    return _sized(head[:4], _big(head[4:12]), 12) if head[:4] == b"data" else RiffChunk(head[:4], 12 + _big(head[4:12]))


def _asf(head: bytes) -> RiffChunk | None:
    size = _little(head[16:24])
    if len(head) < 24 or size < 24:
        return None
    until_end = head[:16] == _ASF_DATA and size <= _ASF_NO_PACKETS
    return RiffChunk(head[:16], None if until_end else size)


def _flv(head: bytes) -> RiffChunk | None:
    if head[:3] == b"FLV":
        return RiffChunk(b"FLV", _big(head[5:9]) + 4)
    return RiffChunk(b"tag", 11 + _big(head[1:4]) + 4) if len(head) >= 4 and head[0] & 0x1F in (8, 9, 18) else None


def _au(head: bytes) -> RiffChunk | None:
    return _sized(b".snd", _big(head[8:12]), _big(head[4:8])) if head[:4] == b".snd" else None


def _voc(head: bytes) -> RiffChunk | None:
    if head.startswith(_VOC):
        return RiffChunk(_VOC, _little(head[20:22]))
    if head[:1] == b"\0":
        return RiffChunk(b"end", 1)
    return RiffChunk(head[:1], 4 + _little(head[1:4])) if len(head) >= 4 and head[0] <= 9 else None


def _rm(head: bytes) -> RiffChunk | None:
    if head[:4] not in (b".RMF", b"PROP", b"MDPR", b"CONT", b"DATA", b"INDX", b"RMJE"):
        return None
    return _sized(head[:4], _big(head[4:8]), 0)


def _wavpack(head: bytes) -> RiffChunk | None:
    if head[:4] != b"wvpk":
        return None
    return RiffChunk(b"first" if is_first_block(head) else b"wvpk", 8 + _little(head[4:8]))


def _program(head: bytes) -> RiffChunk | None:
    if head[:3] != b"\0\0\1" or head[3:4] < bytes([_PROGRAM_END]):
        return None
    if head[3] == _PROGRAM_END:
        return RiffChunk(b"end", 4)
    if head[3] == _PACK:
        return RiffChunk(b"pack", 14 + _little(head[13:14]) % 8 if _little(head[4:5]) & 0xC0 else 12)
    return RiffChunk(b"packet", 6 + _big(head[4:6]))


def _mp4(head: bytes) -> RiffChunk | None:
    size, name = _big(head[:4]), head[4:8]
    if len(head) < 8 or not (name.isascii() and name.decode("ascii").isprintable()):
        return None
    if size == 1:
        size = _big(head[8:16])
    if size == 0:
        return RiffChunk(name, None)
    return RiffChunk(name, size) if size >= 8 else None


def _amr(magic: bytes, lengths: tuple[int, ...]) -> Callable[[bytes], RiffChunk | None]:
    frames = [RiffChunk(b"frame", length) for length in lengths]

    def read(head: bytes) -> RiffChunk | None:
        if head.startswith(magic):
            return RiffChunk(magic, len(magic))
        return frames[head[0] >> 3 & 15] if not head[0] & 0x83 else None

    return read


ROWS: tuple[_Row, ...] = (
    _Row(_wavpack, frozenset({b"first"})),
    _Row(_program, frozenset({b"pack"}), frozenset({b"packet"}), again=frozenset()),
    _Row(_avi, frozenset({b"AVI "})),
    _Row(_au, frozenset({b".snd"})),
    _Row(_caf, frozenset({b"caff"}), frozenset({b"data"})),
    _Row(_asf, frozenset({_ASF_HEADER}), frozenset({_ASF_DATA})),
    _Row(_flv, frozenset({b"FLV"}), frozenset({b"tag"}), slack=4),
    _Row(_voc, frozenset({_VOC}), frozenset({b"\1", b"\2", b"\x09"})),
    _Row(_rm, frozenset({b".RMF"}), frozenset({b"DATA"}), slack=18),
    _Row(
        _mp4, _MP4, frozenset({b"mdat", b"moof"}), again=frozenset({b"ftyp"}), index=frozenset({b"moov"}), closed=False
    ),
    _Row(_amr(_AMR, _AMR_BYTES), frozenset({_AMR}), frozenset({b"frame"}), slack=0, vague=True),
    _Row(_amr(_AMR_WB, _AMR_WB_BYTES), frozenset({_AMR_WB}), frozenset({b"frame"}), slack=0, vague=True),
)
