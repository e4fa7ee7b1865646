"""Files with several audio tracks, through a real decoder process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from asrq_jobs.errors import NoAudioStreamError
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import SAMPLE_RATE

from .conftest import Signal, nothing


def film(path: Path, codec: str, tracks: Sequence[Signal], *, default: int) -> Path:
    """Write tracks of float32 samples at 16 kHz; number `default`, from 1, is marked so."""
    with av.open(str(path), "w") as file:
        streams: list[Any] = [file.add_stream(codec, rate=SAMPLE_RATE, layout="mono") for _ in tracks]
        for number, stream in enumerate(streams, 1):
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for stream, samples in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, 0
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                file.mux(packet)
    return path


@pytest.fixture
def noise(voice: Signal) -> Signal:
    """As long as the voice, and nobody speaks."""
    signal: Signal = np.random.default_rng(1).normal(0, 0.003, len(voice)).astype(np.float32)
    return signal


def decode(pool: DecoderPool, path: Path, track: int | None = None) -> DecodedAudio:
    with path.open("rb") as file:
        return pool.decode(file, path.with_suffix(".f32"), on_progress=nothing, check=nothing, track=track)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libopus"), ("a.mp4", "aac"), ("a.mov", "alac"), ("a.ts", "mp2")]
)
def test_a_silent_track_is_passed_over(
    pool: DecoderPool, tmp_path: Path, voice: Signal, noise: Signal, name: str, codec: str
) -> None:
    for quiet in (noise, noise * 0):
        decoded = decode(pool, film(tmp_path / name, codec, [quiet, voice], default=1))
        assert decoded.spans
        assert (decoded.track, decoded.tracks, decoded.warnings) == (2, 2, ())


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libopus"), ("a.mp4", "aac")])
def test_the_default_track_is_taken_and_the_others_are_named(
    pool: DecoderPool, tmp_path: Path, voice: Signal, name: str, codec: str
) -> None:
    path = film(tmp_path / name, codec, [voice, voice[: len(voice) // 2]], default=2)
    decoded = decode(pool, path)
    assert (decoded.track, decoded.tracks, decoded.warnings) == (2, 2, ("other_tracks",))
    assert decoded.seconds == pytest.approx(len(voice) / SAMPLE_RATE / 2, abs=0.2)
    asked = decode(pool, path, 1)
    assert (asked.track, asked.tracks, asked.warnings) == (1, 2, ())
    assert asked.seconds == pytest.approx(len(voice) / SAMPLE_RATE, abs=0.2)
    with pytest.raises(NoAudioStreamError, match="no track 3"):
        decode(pool, path, 3)


def test_if_nobody_speaks_it_is_the_default_track(pool: DecoderPool, tmp_path: Path, noise: Signal) -> None:
    decoded = decode(pool, film(tmp_path / "a.mkv", "flac", [noise[:8000], noise, noise[:4000]], default=2))
    assert (decoded.spans, decoded.track, decoded.warnings) == ((), 2, ())
    assert decoded.samples == len(noise)
    assert (tmp_path / "a.f32").stat().st_size == 4 * len(noise)
