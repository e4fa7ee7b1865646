"""Files with two channels that are heard apart, through a real decoder process."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from asrq_jobs.atoms import joined
from asrq_jobs.errors import TooManyChannelsError
from asrq_jobs.events import Event
from asrq_jobs.settings import Settings
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.programs import one_shot

from .conftest import Encode, Signal, nothing


def decode(pool: DecoderPool, path: Path) -> DecodedAudio:
    one, other = path.with_suffix(".1.f32"), path.with_suffix(".2.f32")
    with path.open("rb") as file:
        return pool.decode(file, one, on_progress=nothing, check=nothing, second=other)


def test_each_channel_has_its_own_speech(pool: DecoderPool, encode: Encode, voice: Signal) -> None:
    pause = np.zeros(2 * len(voice), dtype=np.float32)
    call = np.stack([np.concatenate([voice, pause]), np.concatenate([pause, voice])])
    decoded = decode(pool, encode("call.flac", call, codec="flac", layout="stereo"))
    assert (decoded.channels, decoded.warnings) == (2, ())
    assert [side.channel for side in decoded.sides] == [1, 2]
    assert [side.samples for side in decoded.sides] == [call.shape[1]] * 2
    (one, other) = decoded.sides
    assert one.spans[-1][1] <= len(voice) + SAMPLE_RATE
    assert other.spans[0][0] >= 2 * len(voice) - SAMPLE_RATE
    for side, signal in zip(decoded.sides, call, strict=True):
        np.testing.assert_allclose(side.read(0, side.samples), signal, atol=1e-4)
    decoded.discard()
    assert not any(file.exists() for file in decoded.files)
    assert len(decoded.files) == 2


def test_a_job_says_what_was_said_on_which_channel(encode: Encode, voice: Signal, tmp_path: Path) -> None:
    call = encode("call.flac", np.stack([voice, np.roll(voice, SAMPLE_RATE)]), codec="flac", layout="stereo")
    spool = tmp_path / "spool"
    spool.mkdir()
    left: list[list[Path]] = []

    def on_event(_job: str, event: Event) -> None:
        if event.type == "chunk":
            left.append(list(spool.rglob("*.f32")))

    settings = Settings(backend="fake", model="m", spool_dir=spool, decoders=1)
    with closing(one_shot.transcribe(settings, [call], on_event=on_event, channels="separate", language="en")) as found:
        result = next(found)
        assert (len(left[0]), list(spool.rglob("*.f32"))) == (2, [])
    assert result.segments is not None
    assert result.duration == pytest.approx(len(voice) / SAMPLE_RATE, abs=0.01)
    assert result.duration_after_vad == pytest.approx(2 * len(voice) / SAMPLE_RATE, abs=2)
    assert {segment.channel for segment in result.segments} == {1, 2}
    assert result.text == joined(segment.text for segment in result.segments)


def test_a_channel_on_which_nobody_speaks_costs_nothing(pool: DecoderPool, encode: Encode, voice: Signal) -> None:
    call = np.stack([voice * 0, voice])
    decoded = decode(pool, encode("call.mka", call, codec="libopus", layout="stereo"))
    assert [(side.channel, bool(side.spans)) for side in decoded.sides] == [(1, False), (2, True)]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.flac", "flac", {}), ("a.mp3", "libmp3lame", {}), ("a.m4a", "aac", {}), ("a.ogg", "libopus", {})],
)
def test_twice_the_same_channel_is_heard_once(
    pool: DecoderPool, encode: Encode, voice: Signal, name: str, codec: str, options: dict[str, str]
) -> None:
    rate = 48_000 if codec == "libopus" else 16_000
    signal = np.repeat(voice, rate // 16_000)
    decoded = decode(pool, encode(name, np.stack([signal, signal]), codec=codec, rate=rate, layout="stereo", **options))
    [side] = decoded.sides
    assert (side.channel, bool(side.spans), decoded.warnings) == (None, True, ("channels_alike",))


def test_mono_has_no_channels_to_tell_apart(pool: DecoderPool, encode: Encode, voice: Signal) -> None:
    decoded = decode(pool, encode("a.flac", voice[None], codec="flac"))
    [side] = decoded.sides
    assert (side.channel, bool(side.spans), decoded.warnings) == (None, True, ())


def test_more_than_two_channels_are_refused(pool: DecoderPool, encode: Encode, voice: Signal) -> None:
    path = encode("film.flac", np.stack([voice] * 6), codec="flac", layout="5.1")
    with pytest.raises(TooManyChannelsError, match="6 channels; at most 2"):
        decode(pool, path)
