"""How files begin that are no raw samples."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import numpy as np
import pytest

from asrq_jobs.cli import openings


def encoded(codec: str, container: str, rate: int, kbps: int, *, channels: int = 1) -> bytes:
    """Two seconds of noise, as a program writes it into a pipe."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options={"id3v2_version": "0", "write_xing": "0"}) as sink:
        layout = "mono" if channels == 1 else "stereo"
        stream = sink.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = kbps * 1000
        noise = np.random.default_rng(rate).normal(scale=0.1, size=(channels, 2 * rate)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        for part in resampler.resample(frame):
            sink.mux(stream.encode(part))
        sink.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("codec", "container", "rate", "kbps", "kind"),
    [
        ("mp3", "mp3", 44_100, 128, "MP3"),
        ("mp3", "mp3", 48_000, 320, "MP3"),
        ("mp3", "mp3", 16_000, 32, "MP3"),
        ("mp3", "mp3", 8_000, 16, "MP3"),
        ("mp2", "mp2", 48_000, 192, "MPEG audio"),
        ("mp2", "mp2", 22_050, 64, "MPEG audio"),
        ("aac", "adts", 44_100, 64, "AAC"),
    ],
)
def test_audio_that_has_no_container_is_known_by_its_frames(
    codec: str, container: str, rate: int, kbps: int, kind: str
) -> None:
    sound = encoded(codec, container, rate, kbps)
    assert openings.kind(sound) == kind
    told = [openings.kind(sound[:length]) for length in range(0, 6000, 100)]
    assert all(before in {None, after} for before, after in pairwise(told)), "what is known stays known"
    undecided = [openings.undecided(sound[:length]) for length in range(100, 6000, 100)]
    assert undecided == [found is None for found in told[1:]]


@pytest.mark.parametrize("kind", ["<i2", "<f4"])
def test_samples_are_none(kind: str) -> None:
    source = np.random.default_rng(1)
    for _ in range(2000):
        noise = source.normal(scale=0.3, size=4000)
        samples = np.clip(noise * 32767, -32768, 32767).astype(kind) if kind == "<i2" else noise.astype(kind)
        for opening in (samples.tobytes(), b"\xff\xfb\x90\x64" + samples.tobytes(), b"\xff" * 3000):
            assert openings.kind(opening) is None
            assert not openings.undecided(opening)
    assert openings.kind(b"") is None
    assert not openings.undecided(b"")
    assert openings.undecided(b"\xff")
    assert not openings.undecided(bytes(2))
