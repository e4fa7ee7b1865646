"""What FFmpeg reads of a part of a file: frames, and packets that give none. Runs in the decoder process only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av

from asrq_worker.audio.comfort_noise import is_comfort_noise
from asrq_worker.audio.containers.frames import stated_bytes
from asrq_worker.audio.containers.part import Content, Part
from asrq_worker.audio.work import Work

_WITH_CHECKSUMS = frozenset({"ape", "flac", "tak", "tta", "wavpack"})
_TABLE = 2048  # bytes in which a table of contents of MP3 begins, tags before it included
_MOST_ERRORS = 100  # of the container, one after the other: the rest of the file is lost


class View:
    """The bytes of a part of a file, with the counts that its header should have. FFmpeg sees neither name nor path:
    only the bytes decide what it is taken for."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file = file
        self._start = part.start
        self._size = part.stop - part.start
        self._counts = part.counts
        self._at = 0

    def read(self, count: int) -> bytes:
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(count, self._size - self._at)))
        for place, right in self._counts:
            data = _replaced(data, place - self._start - self._at, right)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}.get(whence)
        if origin is None or origin + offset < 0:
            return -1  # what a damaged file asks for
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        return self._at


@dataclass(frozen=True)
class DecodedPacket:
    """A frame with its time stamp and length in seconds, or, without a frame, a packet that gave no sound."""

    frame: Any
    time_s: float | None = None
    length_s: float = 0.0
    damaged: bool = False


class Packets:
    """The packets of one stream. Once all are read, `short` says whether the last was cut off, as far as it says, and
    `left_over` that FFmpeg did not read on to the end of the part."""

    def __init__(self, container: Any, stream: Any, content: Content, part: Part, work: Work) -> None:
        self.short: bool | None = None
        self.left_over = False
        self._content = content
        self._part = part
        self._work = work
        self._container = container
        self._stream = stream
        self._codec = stream.codec_context.codec.canonical_name
        if self._codec in _WITH_CHECKSUMS:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}

    def __iter__(self) -> Iterator[DecodedPacket]:
        last: Any = None
        for packet in self._packets():
            if packet is None:
                yield DecodedPacket(None, damaged=self._behind(last))
                continue
            self._work.packet()
            last = packet if packet.size else last
            yield from self._decoded(packet)
        length = stated_bytes(self._codec, bytes(last)[:8]) if last else None
        self.short = None if length is None else last.size < length
        self.left_over = last is not None and not self._part.known and last.pos is not None and self._behind(last)

    def _behind(self, packet: Any) -> bool:
        """Return whether more than a tag and padding follows a packet, if it says where it is."""
        if packet is None or packet.pos is None:
            return True
        return self._content.is_more_than_a_tag(self._part.start + packet.pos + packet.size)

    def _packets(self) -> Iterator[Any]:
        """Yield packets, or None for each failure, until the end of what can be read."""
        failures = 0
        packets = self._container.demux(self._stream)
        while failures < _MOST_ERRORS:
            try:
                yield next(packets)
                failures = 0
            except StopIteration:
                return
            except MemoryError:
                raise
            except av.FFmpegError:
                failures += 1
                packets = self._container.demux(self._stream)  # a generator that raised is over; the file goes on
                yield None

    def _decoded(self, packet: Any) -> Iterator[DecodedPacket]:
        try:
            # For FFmpeg a packet without bytes is the end: only that of the demuxer, which has no time, may be.
            frames = packet.decode() if packet.size or packet.dts is None else []
        except MemoryError:
            raise
        except av.FFmpegError:
            frames = []
            length_s = _seconds(packet.duration, packet.time_base) or 0.0
            self._work.silence(length_s)
            yield DecodedPacket(
                None,
                _seconds(packet.pts, packet.time_base),
                length_s,
                damaged=not (is_comfort_noise(self._codec, packet.size) or self._is_table(packet)),
            )
        for frame in frames:
            self._work.frame(frame.samples, channels=frame.layout.nb_channels, rate=frame.sample_rate)
            yield DecodedPacket(frame, _seconds(frame.pts, frame.time_base), frame.samples / frame.sample_rate)

    def _is_table(self, packet: Any) -> bool:
        """Return whether a frame of MP3 is none, but tells of those that follow: a file was joined to another."""
        if self._codec != "mp3":
            return False
        head = bytes(packet)[:_TABLE]
        return head.startswith(b"ID3") or any(name in head for name in (b"Xing", b"Info", b"VBRI"))


def _replaced(data: bytes, at: int, right: bytes) -> bytes:
    """Return `data` with `right` in the place `at`, which may begin before it and end behind it."""
    if at >= len(data) or at + len(right) <= 0:
        return data
    return (data[: max(0, at)] + right[max(0, -at) :] + data[at + len(right) :])[: len(data)]


def _seconds(ticks: int | None, base: Any) -> float | None:
    if ticks is None or base is None:
        return None
    return float(ticks * base.numerator / base.denominator)  # without making a fraction of each
