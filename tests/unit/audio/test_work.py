"""What is too much work, and what is not."""

from __future__ import annotations

import pytest

from asrq_jobs.errors import AudioUnreadableError
from asrq_worker.audio.work import Work

HOUR = 3600


@pytest.mark.parametrize(
    ("name", "hours", "channels", "rate", "bytes_a_second", "samples_a_packet"),
    [
        ("a film", 4, 8, 48_000, 80_000, 1536),
        ("high resolution", 4, 2, 192_000, 400_000, 4096),
        ("a mixer's every channel", 0.1, 64, 48_000, 64 * 48_000, 4096),
        ("a mixer's every channel, for long", 1, 32, 48_000, 32 * 48_000, 4096),
        ("bats", 0.5, 2, 500_000, 700_000, 4096),
        ("a telephone, packet by packet", 1, 1, 8_000, 1_000, 80),
        ("dictation in the shortest packets of Opus", 1, 1, 48_000, 4_000, 120),
        ("silence as FLAC", 4, 2, 48_000, 200, 4096),
        ("silence as Opus", 4, 2, 48_000, 50, 960),
    ],
)
def test_what_people_record_is_not_too_much(
    name: str, hours: float, channels: int, rate: int, bytes_a_second: int, samples_a_packet: int
) -> None:
    seconds = int(hours * HOUR)
    work = Work(bytes_a_second * seconds)
    packets = rate // samples_a_packet
    for _ in range(seconds):
        for _ in range(packets):
            work.packet()
        work.frame(rate, channels=channels, rate=rate)
    assert work.seconds == seconds, name


@pytest.mark.parametrize(("channels", "rate"), [(8, 655_350), (255, 48_000), (255, 4_000_000), (1, 4_000_000)])
def test_much_sound_in_few_bytes_is_stopped_within_seconds_of_work(channels: int, rate: int) -> None:
    work = Work(200_000)
    with pytest.raises(AudioUnreadableError, match="too much work") as raised:  # noqa: PT012  # the loop ends by it
        while True:
            work.packet()
            work.frame(4096, channels=channels, rate=rate)
    assert work.values < 320_000_000
    assert raised.value.hint


def test_packets_without_sound_are_work_too() -> None:
    work = Work(10_000_000)
    with pytest.raises(AudioUnreadableError, match="too much work"):  # noqa: PT012  # as above
        for _ in range(800_000):
            work.packet()


def test_a_file_of_nothing_but_headers_is_work_too() -> None:
    work = Work(10_000_000)
    with pytest.raises(AudioUnreadableError, match="too much work"):  # noqa: PT012  # as above
        for _ in range(10_000):
            work.part()
    assert work.too_much


def test_thousands_of_notes_that_were_appended_to_each_other_are_not() -> None:
    work = Work(10_000_000)
    for _ in range(10_000):
        work.part()
        work.frame(8_000, channels=1, rate=8_000)
    assert not work.too_much


def test_silence_in_packets_is_sound_of_some_length() -> None:
    """Four hours of a telephone line on which nobody speaks, at 50 packets a second."""
    work = Work(1_000_000)
    for _ in range(4 * HOUR * 50):
        work.packet()
        work.silence(0.02)
    assert work.seconds == pytest.approx(4 * HOUR)
    for length_s in (1e9, -1e9, 2.0):
        work.silence(length_s)
    assert work.seconds == pytest.approx(4 * HOUR + 2)


@pytest.mark.parametrize("rate", [-1, 0, 1, 999, 4_000_001, 4_000_000_000])
def test_a_rate_that_no_sound_has_is_refused_at_once(rate: int) -> None:
    work = Work(100)
    with pytest.raises(AudioUnreadableError, match="samples a second"):
        work.frame(1, channels=1, rate=rate)
    assert work.values == 0


@pytest.mark.parametrize("rate", [1000, 4000, 8000, 768_000, 2_822_400, 4_000_000])
def test_rates_of_recorders(rate: int) -> None:
    work = Work(100)
    work.frame(rate, channels=1, rate=rate)
    assert work.seconds == 1
