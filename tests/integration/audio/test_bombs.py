"""Small files that want to be hours of work: each is an error with a code after seconds of it, counted, not timed."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest

from asrq_jobs.errors import AsrqError, AudioTooLongError, AudioUnreadableError
from asrq_worker.audio import media
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.media import Media
from asrq_worker.audio.work import Work
from asrq_worker.backends.base import SAMPLE_RATE, Samples

from . import bombs
from .conftest import Encode, decode_file
from .test_time_line import muxed

HOUR = 3600
LONGEST_S = 4 * HOUR  # the default
SECONDS_OF_WORK = 350_000_000  # values: fewer than a decoder makes in ten seconds on one slow core


@dataclass
class Attempt:
    """Decodes in this process, and counts."""

    content: bytes
    work: Work = field(init=False)
    written: int = 0

    def __post_init__(self) -> None:
        self.work = Work(len(self.content))

    def run(self, longest_s: float = LONGEST_S) -> Media:
        return media.decode(
            io.BytesIO(self.content),
            choose=lambda _tracks: 1,
            work=self.work,
            longest_s=longest_s,
            write=self._write,
            on_progress=lambda _seconds: None,
        )

    def _write(self, samples: Samples) -> None:
        self.written += len(samples)


def movie(seconds: int = 20) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, seconds * SAMPLE_RATE), np.float32), "flt", "mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*audio.encode(frame), *audio.encode(None)]:
            container.mux(packet)
    return file.getvalue()


STATED: dict[str, Callable[[], bytes]] = {
    "flac": lambda: bombs.flac(5 * HOUR, rate=16_000, stated=True),
    "ogg": lambda: bombs.opus(5 * HOUR),
    "wav": lambda: bombs.wav(bytes(5 * HOUR * 8000), rate=8000),
}


@pytest.mark.parametrize("kind", sorted(STATED))
def test_what_says_that_it_is_too_long_is_not_decoded(kind: str) -> None:
    attempt = Attempt(STATED[kind]())
    with pytest.raises(AudioTooLongError, match="longer than 14400 s"):
        attempt.run()
    assert attempt.work.seconds == attempt.written == 0


@pytest.mark.parametrize("kind", ["flac", "ogg"])
def test_what_is_too_long_and_does_not_say_so_is_stopped_at_the_limit(kind: str) -> None:
    attempt = Attempt(bombs.flac(300, rate=16_000, stated=False) if kind == "flac" else bombs.opus(300, stated=False))
    with pytest.raises(AudioTooLongError):
        attempt.run(longest_s=60)
    assert 55 * SAMPLE_RATE < attempt.written <= 60 * SAMPLE_RATE
    assert attempt.work.seconds < 70


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF])
def test_a_length_that_cannot_be_is_no_word(stated: int) -> None:
    """Programs that stream WAV write one before they know it: at 8 kHz, days."""
    attempt = Attempt(bombs.wav(bytes(range(256)) * 100, rate=8000, stated=stated))
    assert attempt.run(longest_s=60).samples == 51_200


@pytest.mark.parametrize("over_s", [-1, 0, 0.4])
def test_what_is_about_as_long_as_allowed_is_judged_by_what_comes_out(over_s: float) -> None:
    attempt = Attempt(bombs.wav(bytes([128]) * int((60 + over_s) * 8000), rate=8000))
    if over_s > 0:
        with pytest.raises(AudioTooLongError):
            attempt.run(longest_s=60)
    else:
        assert attempt.run(longest_s=60).samples == (60 + over_s) * SAMPLE_RATE
    assert attempt.work.values > 0


def test_many_values_in_a_second_of_sound_are_too_much_work() -> None:
    attempt = Attempt(bombs.flac(3 * HOUR, rate=655_350, channels=8, stated=True))
    with pytest.raises(AudioUnreadableError, match="too much work"):
        attempt.run()
    assert attempt.work.values < SECONDS_OF_WORK
    assert attempt.work.seconds < 100


@pytest.mark.parametrize(
    ("rate", "channels"), [(1, 1), (999, 2), (4_000_001, 1), (2_000_000_000, 1), (4_000_000_000, 1), (0, 1)]
)
def test_a_rate_that_no_sound_has_is_refused(rate: int, channels: int) -> None:
    attempt = Attempt(bombs.wav(bytes(100_000), rate=rate, channels=channels))
    with pytest.raises((AudioUnreadableError, AudioTooLongError)):
        attempt.run()
    assert attempt.work.seconds == attempt.written == 0


@pytest.mark.parametrize("channels", [0, 513, 65_535])
def test_more_channels_than_there_are_microphones(channels: int) -> None:
    attempt = Attempt(bombs.wav(bytes(3_000_000), rate=48_000, channels=channels))
    with pytest.raises(AudioUnreadableError):
        attempt.run()
    assert attempt.work.values < SECONDS_OF_WORK


@pytest.mark.parametrize("samples", [0, 2])
def test_a_hundred_thousand_files_joined_to_each_other(samples: int) -> None:
    attempt = Attempt(bombs.wav(bytes([128]) * samples, rate=8000) * 100_000)
    with pytest.raises(AudioUnreadableError, match="too much work"):
        attempt.run()
    assert attempt.work.values < SECONDS_OF_WORK


@pytest.mark.parametrize("samples", [None, bytes(32_000)], ids=["no sound", "behind sound"])
def test_chunks_without_sound_without_end(samples: bytes | None) -> None:
    begin = b"RIFF\0\0\0\0WAVE" if samples is None else bombs.wav(samples, rate=8000)
    attempt = Attempt(begin + b"JUNK\0\0\0\0" * 1_000_000)
    with pytest.raises(AudioUnreadableError, match="more than 100000 chunks without sound"):
        attempt.run()
    assert attempt.written == 0


def test_comfort_noise_without_end() -> None:
    """Frames of AMR that say that nobody speaks: a byte for 20 ms, of which FFmpeg makes no sound."""
    attempt = Attempt(b"#!AMR\n" + b"\x7c" * 1_000_000)
    with pytest.raises(AudioTooLongError):
        attempt.run(longest_s=60)
    assert attempt.work.seconds < 70


@pytest.mark.parametrize(("entries", "length"), [(1_000_000, 1000), (100_000, 20_000), (1_000_000, 1)])
def test_an_edit_list_without_end(entries: int, length: int) -> None:
    """A million entries, all of the track a hundred thousand times, a packet for each millisecond."""
    attempt = Attempt(bombs.with_edits(movie(), entries, length=length))
    with pytest.raises(AudioTooLongError):
        attempt.run(longest_s=HOUR)
    assert attempt.work.values < SECONDS_OF_WORK


def test_an_edit_list_that_says_how_long_it_is_is_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = Attempt(bombs.with_edits(movie(), 100_000, length=20_000))
    monkeypatch.setattr(av, "open", None)
    with pytest.raises(AudioTooLongError):
        attempt.run()


@pytest.mark.parametrize("gap_s", [5 * HOUR, 1_000_000])
@pytest.mark.parametrize("stated", [True, False])
def test_a_gap_in_time_is_silence_that_counts_and_is_not_written(tmp_path: Path, gap_s: int, stated: bool) -> None:
    path = muxed(tmp_path / "a.webm", "libopus", lambda at: at + gap_s * (at >= 2), live=str(int(not stated)))
    attempt = Attempt(path.read_bytes())
    with pytest.raises(AudioTooLongError):
        attempt.run()
    assert attempt.written <= 3 * SAMPLE_RATE


def test_gaps_add_up(tmp_path: Path) -> None:
    path = muxed(tmp_path / "a.webm", "libopus", lambda at: at * 1800, live="1")
    attempt = Attempt(path.read_bytes())
    with pytest.raises(AudioTooLongError):
        attempt.run(longest_s=HOUR)
    assert attempt.written <= HOUR * SAMPLE_RATE


@pytest.mark.parametrize(
    ("kind", "code"),
    [("hours", "audio_too_long"), ("rate", "audio_unreadable")],
)
def test_a_decoder_says_so_and_lives_on(pool: DecoderPool, data: Path, tmp_path: Path, kind: str, code: str) -> None:
    content = {
        "hours": lambda: bombs.flac(5 * HOUR, rate=16_000, stated=True),
        "rate": lambda: bombs.wav(bytes(1000), rate=999),
    }[kind]()
    (tmp_path / "bomb").write_bytes(content)
    assert len(content) < 700_000
    before = pool.pids
    with pytest.raises(AsrqError) as raised:
        decode_file(pool, tmp_path / "bomb", tmp_path / "out.f32")
    assert (raised.value.code, raised.value.retryable) == (code, False)
    assert (tmp_path / "out.f32").stat().st_size < 10_000_000
    assert decode_file(pool, data / "hello-en.flac", tmp_path / "next.f32").spans
    assert pool.pids == before


def test_many_channels_that_people_record_are_heard(encode: Encode) -> None:
    path = encode("mixer.wav", np.zeros((64, 48_000), np.float32), codec="pcm_s16le", rate=48_000, layout="64 channels")
    assert Attempt(path.read_bytes()).run().samples == SAMPLE_RATE
