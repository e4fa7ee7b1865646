"""Files of which fewer seconds came than they state."""

from __future__ import annotations

import io

import pytest

from asrq_worker.audio.containers.part import Content, Part
from asrq_worker.audio.truncation import falls_short

WHOLE = Part(0, 1)
TAG = b"ID3\4\0\0\0\0\x27\x10" + bytes(0x27 * 128 + 0x10)


def mp3(table: bytes) -> Content:
    data = TAG + b"\xff\xfb\x90\0" + bytes(32) + table + bytes(200)
    return Content(io.BytesIO(data), len(data))


COUNTS_100_S = [
    pytest.param(b"Xing\0\0\0\x0f" + (3828).to_bytes(4), id="Xing"),
    pytest.param(b"Info\0\0\0\1" + (3828).to_bytes(4), id="Info"),
    pytest.param(b"VBRI" + bytes(10) + (3828).to_bytes(4), id="VBRI"),
]


@pytest.mark.parametrize("table", COUNTS_100_S)
def test_an_mp3_that_counts_its_frames_is_measured_by_them_whatever_ffmpeg_guesses(table: bytes) -> None:
    for guess_s in (None, 10.0, 200.0):
        assert falls_short(mp3(table), WHOLE, "mp3", stated_s=guess_s, decoded_s=50) is True
        assert falls_short(mp3(table), WHOLE, "mp3", stated_s=guess_s, decoded_s=98.5) is None


@pytest.mark.parametrize("table", [b"", b"Info\0\0\0\2" + (3828).to_bytes(4)])
def test_mp3_whose_length_is_a_guess(table: bytes) -> None:
    assert falls_short(mp3(table), WHOLE, "mp3", stated_s=100, decoded_s=50) is None


@pytest.mark.parametrize(
    ("container", "stated_s", "decoded_s", "short"),
    [
        ("flac", 10.0, 10.0, False),
        ("flac", 10.0, 10.3, False),
        ("flac", 10.0, 9.9, None),
        ("tta", 10.0, 9.9, True),
        ("tta", 10_000.0, 9_999.0, True),
        ("flac", None, 1.0, None),
        ("aac", 10.0, 5.0, None),
    ],
)
def test_length_in_the_header(container: str, stated_s: float | None, decoded_s: float, short: bool | None) -> None:
    assert falls_short(Content(io.BytesIO(), 0), WHOLE, container, stated_s=stated_s, decoded_s=decoded_s) is short
