"""Sound is where a player would play it: late beginnings, gaps, frames that are no sound, other clocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from asrq_jobs.errors import AudioTooLongError
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import SAMPLE_RATE

from .conftest import Encode, Signal, add_pictures, decode_file

Decode = Callable[[Path], DecodedAudio]

TONE_S = 2.0
LOUD = 0.05


def tone(seconds: float = TONE_S, rate: int = SAMPLE_RATE) -> Signal:
    signal: Signal = (0.4 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 300 / rate)).astype(np.float32)
    return signal


def stretches(decoded: DecodedAudio) -> list[tuple[float, float]]:
    """Return where there is sound, in seconds, to a twentieth."""
    samples = np.abs(decoded.read(0, decoded.samples))
    step = SAMPLE_RATE // 20
    loud = [bool((samples[at : at + step] > LOUD).any()) for at in range(0, len(samples), step)]
    edges = np.flatnonzero(np.diff([False, *loud, False])).tolist()
    return [(start / 20, stop / 20) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def near(expected: list[tuple[float, float]]) -> list[Any]:
    return [(pytest.approx(start, abs=0.15), pytest.approx(stop, abs=0.15)) for start, stop in expected]


def muxed(
    path: Path, codec: str, shift: Callable[[float], float], *, rate: int = 48_000, seconds: float = 4.0,
    pictures: bool = False, container: str | None = None, **options: str,
) -> Path:  # fmt: skip
    """Encode a tone, and let each packet lie at what `shift` makes of its time in seconds."""
    with av.open(str(path), "w", format=container, options=options) as file:
        stream: Any = file.add_stream(codec, rate=rate, layout="mono")
        if pictures:
            add_pictures(file)
        frame = av.AudioFrame.from_ndarray(tone(seconds, rate)[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            shifted = round(shift(float(packet.pts * packet.time_base)) / packet.time_base)
            packet.pts = packet.dts = shifted
            file.mux(packet)
    return path


def late(time_s: float) -> float:
    return time_s + 4


def torn(time_s: float) -> float:
    return time_s + 20 if time_s >= 2 else time_s


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "libopus"), ("a.mp4", "aac"), ("a.mov", "pcm_s16le"), ("a.ts", "aac"), ("a.mpg", "mp2")],
)
def test_sound_that_begins_after_the_picture(decode: Decode, tmp_path: Path, name: str, codec: str) -> None:
    decoded = decode(muxed(tmp_path / name, codec, late, pictures=True))
    assert stretches(decoded) == near([(4, 8)])
    assert decoded.warnings == ()


@pytest.mark.parametrize(("name", "codec"), [("a.mka", "libopus"), ("a.m4a", "aac"), ("a.mov", "pcm_s16le")])
def test_sound_alone_that_begins_late(decode: Decode, tmp_path: Path, name: str, codec: str) -> None:
    assert stretches(decode(muxed(tmp_path / name, codec, late))) == near([(4, 8)])


@pytest.mark.parametrize(("name", "codec"), [("a.ogg", "libopus"), ("a.ts", "aac"), ("a.mka", "libopus")])
def test_a_stream_that_one_came_late_to_begins_at_zero(decode: Decode, tmp_path: Path, name: str, codec: str) -> None:
    assert stretches(decode(muxed(tmp_path / name, codec, lambda time_s: time_s + 7000))) == near([(0, 4)])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.webm", "libopus"),
        ("a.mka", "flac"),
        ("a.m4a", "aac"),
        ("a.mov", "alac"),
        ("a.ogg", "libopus"),
        ("a.ts", "aac"),
        ("a.flv", "aac"),
        ("a.mpg", "mp2"),
    ],
)
def test_a_gap_has_its_length(decode: Decode, tmp_path: Path, name: str, codec: str) -> None:
    rate = 44_100 if name.endswith("flv") else 48_000
    decoded = decode(muxed(tmp_path / name, codec, torn, rate=rate))
    assert stretches(decoded) == near([(0, 2), (22, 24)])
    assert decoded.seconds == pytest.approx(24, abs=0.15)
    assert decoded.warnings == ()


def test_a_gap_that_makes_it_too_long_is_refused(tmp_path: Path) -> None:
    path = muxed(tmp_path / "a.webm", "libopus", lambda time_s: time_s + 80_000 * (time_s >= 2), live="1")
    pool = DecoderPool(1, memory_mb=4096, stall_s=20, max_s=60)
    pool.start()
    try:
        with pytest.raises(AudioTooLongError, match="longer than 60 s"):
            decode_file(pool, path, tmp_path / "out.f32")
    finally:
        pool.close()
    assert (tmp_path / "out.f32").stat().st_size <= 60 * SAMPLE_RATE * 4


@pytest.mark.parametrize("container", ["amr", "3gp"])
def test_the_silence_of_telephones_has_its_length(decode: Decode, tmp_path: Path, container: str) -> None:
    """AMR with DTX: FFmpeg's decoder refuses the frames of silence."""
    quiet = np.zeros(6 * 8000, dtype=np.float32)
    spoken = np.concatenate([tone(2, 8000), quiet, tone(2, 8000), quiet])
    spoken += np.random.default_rng(1).normal(0, 1e-3, len(spoken)).astype(np.float32) * (spoken != 0)
    path = tmp_path / f"call.{container}"
    with av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream("libopencore_amrnb", rate=8000, layout="mono", options={"dtx": "1"})
        stream.bit_rate = 12_200
        frame = av.AudioFrame.from_ndarray((spoken * 32767).astype("<i2")[None], format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    decoded = decode(path)
    assert stretches(decoded) == near([(0, 2.1), (8, 10.1)])
    assert decoded.seconds == pytest.approx(16, abs=0.1)
    assert decoded.warnings == ()


def test_packets_without_bytes_are_silence_and_not_the_end(decode: Decode, tmp_path: Path) -> None:
    whole = muxed(tmp_path / "a.mka", "libopus", lambda time_s: time_s)
    path = tmp_path / "b.mka"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is None:
                continue
            blank = 1 <= packet.pts * packet.time_base < 3
            kept = av.Packet(b"" if blank else bytes(packet))
            kept.pts, kept.dts, kept.time_base, kept.stream = packet.pts, packet.dts, packet.time_base, stream
            target.mux(kept)
    assert stretches(decode(path)) == near([(0, 1), (3, 4)])


@pytest.mark.parametrize("count", [3, 6, 9, 24, 25, 32, 64, 200])
@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_f32le"])
def test_any_number_of_channels_is_their_mean(decode: Decode, tmp_path: Path, count: int, codec: str) -> None:
    path = tmp_path / "many.wav"
    values = {"pcm_u8": ("u1", 128, 127), "pcm_s16le": ("<i2", 0, 32767), "pcm_f32le": ("<f4", 0, 1)}
    kind, middle, scale = values[codec]
    channels = np.zeros((SAMPLE_RATE, count), dtype=np.float32)
    channels[:, 1::2] = 2 * tone(1)[:, None]  # channel 4 of 6 is where a film has its bass
    content = (channels * scale + middle).astype(kind).tobytes()
    width = np.dtype(kind).itemsize
    header = b"fmt " + np.array([16], "<u4").tobytes() + np.array([3 if kind == "<f4" else 1, count], "<u2").tobytes()
    header += np.array([SAMPLE_RATE, SAMPLE_RATE * count * width], "<u4").tobytes()
    header += np.array([count * width, 8 * width], "<u2").tobytes()
    body = b"WAVE" + header + b"data" + np.array([len(content)], "<u4").tobytes() + content
    path.write_bytes(b"RIFF" + np.array([len(body)], "<u4").tobytes() + body)
    decoded = decode(path)
    assert decoded.channels == count
    mean = 2 * tone(1) * (count // 2) / count
    assert np.abs(decoded.read(0, decoded.samples) - mean).max() < 0.02


def test_channels_that_have_their_places_are_mixed_by_them(decode: Decode, encode: Encode) -> None:
    channels = np.zeros((16, SAMPLE_RATE), dtype=np.float32)
    channels[5] = tone(1)
    decoded = decode(encode("many.wav", channels, codec="pcm_s16le", layout="hexadecagonal"))
    assert np.abs(decoded.read(0, decoded.samples) - tone(1) / 16).max() < 0.01
