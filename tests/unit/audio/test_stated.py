"""Which lengths are a file's own word."""

from __future__ import annotations

import io

import pytest

from asrq_worker.audio.containers.part import Content, Part
from asrq_worker.audio.stated import stated_s

NOTHING = Content(io.BytesIO(), 0)


@pytest.mark.parametrize(
    ("container", "length_s", "bits_a_second", "size", "stated"),
    [
        ("flac", 20_000.0, 0, 60_000, 20_000.0),
        ("ogg", 20_000.0, 6_000, 500_000, 20_000.0),
        ("mov,mp4,m4a,3gp,3g2,mj2", 20_000.0, 0, 500_000, 20_000.0),
        ("mp3", 20_000.0, 8_000, 60_000, None),
        ("aac", 20_000.0, 8_000, 60_000, None),
        ("wav", 2.0, 128_000, 32_044, 2.0),
        ("wav", 268_435.0, 128_000, 32_044, None),
        ("aiff", 2.0, 0, 32_044, None),
        ("flac", None, 0, 60_000, None),
        ("wav", None, 128_000, 32_044, None),
    ],
)
def test_what_is_a_guess_or_cannot_be_is_not(
    container: str, length_s: float | None, bits_a_second: int, size: int, stated: float | None
) -> None:
    part = Part(0, size)
    assert stated_s(NOTHING, part, container, length_s=length_s, start_s=0.0, bits_a_second=bits_a_second) == stated


def test_an_mp3_that_counts_its_frames_says_how_long_it_is() -> None:
    data = b"\xff\xfb\x90\0" + bytes(32) + b"Info\0\0\0\1" + (3828).to_bytes(4) + bytes(300)
    content = Content(io.BytesIO(data), len(data))
    stated = stated_s(content, Part(0, len(data)), "mp3", length_s=20_000.0, start_s=0.0, bits_a_second=64_000)
    assert stated == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(("start_s", "stated"), [(19_996.0, 4.0), (0.0, 20_000.0), (-0.007, 20_000.0)])
def test_a_recording_that_one_came_late_to_is_as_long_as_what_is_in_it(start_s: float, stated: float) -> None:
    found = stated_s(NOTHING, Part(0, 9), "ogg", length_s=20_000.0, start_s=start_s, bits_a_second=0)
    assert found == pytest.approx(stated)
