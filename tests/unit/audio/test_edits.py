"""How long MP4 files are by their edit lists."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_worker.audio.containers.edits import length_s
from asrq_worker.audio.containers.part import Content, Part

LONG = [600] * 20


def box(name: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return struct.pack(">I4s", 8 + len(body), name) + body


def long_box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, name, 16 + len(body)) + body


def header(scale: int, *, wide: bool = False) -> bytes:
    return box(b"mvhd", bytes([wide]) + bytes(19 if wide else 11) + struct.pack(">I", scale) + bytes(80))


def track(*lengths: int, wide: bool = False, counted: int | None = None) -> bytes:
    count = len(lengths) if counted is None else counted
    entries = (struct.pack(">QqI" if wide else ">IiI", length, 0, 1 << 16) for length in lengths)
    return box(b"trak", box(b"edts", box(b"elst", struct.pack(">B3xI", wide, count), *entries)))


def told(content: bytes) -> float:
    return length_s(Content(io.BytesIO(content), len(content)), Part(0, len(content)))


@pytest.mark.parametrize("wide", [False, True])
def test_the_longest_track_counts(wide: bool) -> None:
    movie = box(b"moov", header(600, wide=wide), track(*[60] * 10, 600, wide=wide), track(*[600] * 11, wide=wide))
    assert told(box(b"ftyp", bytes(8)) + box(b"mdat", bytes(99)) + movie) == 11.0
    assert told(long_box(b"mdat", bytes(99)) + movie) == 11.0


def test_a_few_edits_are_no_length() -> None:
    assert told(box(b"moov", header(600), track(*[0xFFFFFFFF] * 10))) == 0.0


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", bytes(40), box(b"moov"), box(b"moov", track(*LONG)), box(b"moov", header(0), track(*LONG))],
    ids=["empty", "another", "zeros", "nothing in it", "no scale", "scale of zero"],
)
def test_without_a_length_there_is_none(content: bytes) -> None:
    assert told(content) == 0.0


def test_what_is_not_there_does_not_count() -> None:
    assert told(box(b"moov", header(600), track(*LONG, counted=1 << 31))) == 20.0


@given(st.binary(max_size=200))
def test_whatever_is_there_it_comes_to_an_end(rest: bytes) -> None:
    assert told(box(b"ftyp") + rest) >= 0.0
    assert told(box(b"moov", header(600), rest, track(*LONG))) >= 0.0
