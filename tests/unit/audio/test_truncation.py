"""Files that end too early, as their own bytes tell."""

from __future__ import annotations

import io
import struct

import pytest

from asrq_worker.audio.truncation import cut_off


def wav(promised: int, present: int, *, before: bytes = b"") -> io.BytesIO:
    head = b"RIFF" + bytes(4) + b"WAVE" + before
    return io.BytesIO(head + b"data" + struct.pack("<I", promised) + bytes(present))


@pytest.mark.parametrize(
    ("promised", "present", "cut"),
    [(1000, 1000, False), (1000, 999, True), (0, 0, False), (0xFFFFFFFF, 1000, False), (1000, 2000, False)],
)
def test_wav(promised: int, present: int, cut: bool) -> None:
    assert cut_off(wav(promised, present), "wav", stated_s=None, decoded_s=1) is cut


def test_wav_with_other_chunks_of_odd_length() -> None:
    other = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert cut_off(wav(1000, 10, before=other), "wav", stated_s=None, decoded_s=1)
    assert not cut_off(wav(1000, 1000, before=other), "wav", stated_s=None, decoded_s=1)


def test_wav_without_data() -> None:
    assert not cut_off(io.BytesIO(b"RIFF"), "wav", stated_s=None, decoded_s=0)


@pytest.mark.parametrize(("flags", "cut"), [(4, False), (5, False), (0, True), (1, True)])
def test_ogg_ends_with_a_flag(flags: int, cut: bool) -> None:
    pages = b"OggS\0\2" + bytes(40) + b"OggS\0" + bytes([flags]) + bytes(40)
    assert cut_off(io.BytesIO(pages), "ogg", stated_s=None, decoded_s=1) is cut


def test_ogg_cut_within_a_header() -> None:
    assert cut_off(io.BytesIO(b"OggS\0\4" + bytes(40) + b"OggS"), "ogg", stated_s=None, decoded_s=1)


@pytest.mark.parametrize("tag", [b"Xing", b"Info"])
@pytest.mark.parametrize("pictures", [b"", b"ID3\4\0\0\0\0\x27\x10" + bytes(0x27 * 128 + 0x10)])
def test_mp3_that_counts_its_frames(tag: bytes, pictures: bytes) -> None:
    file = io.BytesIO(pictures + b"\xff\xfb\x90\0" + bytes(32) + tag + bytes(200))
    assert cut_off(file, "mp3", stated_s=100, decoded_s=50)
    assert not cut_off(file, "mp3", stated_s=100, decoded_s=99.9)


def test_mp3_whose_length_is_a_guess() -> None:
    assert not cut_off(io.BytesIO(b"\xff\xfb\x90\0" + bytes(300)), "mp3", stated_s=100, decoded_s=50)


@pytest.mark.parametrize(
    ("container", "stated_s", "decoded_s", "cut"),
    [
        ("flac", 10.0, 9.7, False),
        ("flac", 10.0, 9.0, True),
        ("flac", 1000.0, 985.0, False),
        ("flac", None, 1.0, False),
        ("aac", 10.0, 5.0, False),
    ],
)
def test_length_in_the_header(container: str, stated_s: float | None, decoded_s: float, cut: bool) -> None:
    assert cut_off(io.BytesIO(), container, stated_s=stated_s, decoded_s=decoded_s) is cut
