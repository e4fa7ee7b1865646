"""Files of which fewer seconds came than they state."""

from __future__ import annotations

import io

import pytest

from asrq_worker.audio.containers.part import Part
from asrq_worker.audio.truncation import falls_short

WHOLE = Part(0, 1)


@pytest.mark.parametrize("tag", [b"Xing", b"Info"])
@pytest.mark.parametrize("pictures", [b"", b"ID3\4\0\0\0\0\x27\x10" + bytes(0x27 * 128 + 0x10)])
def test_mp3_that_counts_its_frames(tag: bytes, pictures: bytes) -> None:
    file = io.BytesIO(pictures + b"\xff\xfb\x90\0" + bytes(32) + tag + bytes(200))
    assert falls_short(file, WHOLE, "mp3", stated_s=100, decoded_s=50) is True
    assert falls_short(file, WHOLE, "mp3", stated_s=100, decoded_s=98.5) is None


def test_mp3_whose_length_is_a_guess() -> None:
    file = io.BytesIO(b"\xff\xfb\x90\0" + bytes(300))
    assert falls_short(file, WHOLE, "mp3", stated_s=100, decoded_s=50) is None


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
    assert falls_short(io.BytesIO(), WHOLE, container, stated_s=stated_s, decoded_s=decoded_s) is short
