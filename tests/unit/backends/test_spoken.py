"""What is taken for invented and what must stay, with segments that Whisper has really come out with."""

from __future__ import annotations

import numpy as np
import pytest

from asrq_worker.backends.base import SAMPLE_RATE, TimedSegment
from asrq_worker.backends.spoken import invented, letters, pause, seconds_of_sound, sound

CHUNK_S = 20.0


def segment(start: float, end: float, text: str, logprob: float = -0.3, no_speech: float = 0.05) -> TimedSegment:
    return TimedSegment(start, end, text, avg_logprob=logprob, no_speech_prob=no_speech)


def judged(*segments: TimedSegment, silent_from: float = CHUNK_S) -> list[TimedSegment]:
    samples = np.full(round(CHUNK_S * SAMPLE_RATE), 0.1, np.float32)
    samples[round(silent_from * SAMPLE_RATE) :] = 0.001
    return invented(segments, sound(samples), CHUNK_S)


SAID = segment(0.0, 19.7, " The first book printed with movable types, or thereabouts, had a letter of that kind.")


@pytest.mark.parametrize(
    "end",
    [
        segment(19.78, 20.0, " I'll see you in the next video.", -1.07, 0.34),
        segment(19.2, 20.0, " For more information, visit www.fema.gov and look for the link there.", -1.09, 0.47),
        segment(19.7, 20.0, " Спасибо за просмотр, и до новых встреч на нашем канале, друзья!", -0.4, 0.1),
        segment(19.7, 20.0, " you you you you you you you you you you you", -0.1, 0.1),
    ],
)
def test_what_nobody_can_have_said(end: TimedSegment) -> None:
    assert judged(SAID, end) == [end]


@pytest.mark.parametrize(
    "end",
    [
        segment(18.0, 20.0, " с первой культурой самая недорезненность и нете.", -1.23, 0.16),
        segment(19.7, 20.0, " Now.", -1.0, 0.39),
        segment(19.0, 20.0, " of printing.", -0.92, 0.14),
        segment(19.0, 20.0, " Сыскарки.", -1.08, 0.5),
        segment(19.0, 20.0, " Да, да, да, да, да, да, да, да!", -0.9, 0.6),
    ],
)
def test_what_was_said_however_badly_heard(end: TimedSegment) -> None:
    assert judged(SAID, end) == []


def test_one_sign_alone_says_little() -> None:
    assert judged(SAID, segment(19.0, 20.0, " It is as good as anything of that kind.")) == [], "hurried"
    improbable = segment(10.0, 20.0, " It is as good as anything.", -1.5, 0.9)
    assert judged(improbable) == [], (
        "neither the model nor its own doubts outweigh that there was time and sound for it"
    )


def test_a_silence_makes_a_text_impossible_that_had_the_time() -> None:
    end = segment(18.0, 20.0, " Thank you for watching this.", -1.0, 0.2)
    assert judged(SAID, end) == []
    assert judged(SAID, end, silent_from=18.0) == [end]
    unsuspected = segment(18.0, 20.0, " Thank you for watching this.")
    assert judged(SAID, unsuspected, silent_from=18.0) == [], "one sign alone"


def test_a_segment_may_be_misplaced_as_far_as_its_neighbours_leave_room() -> None:
    hurried = segment(10.0, 10.2, " It is as good as anything of that kind.", -1.0)
    assert judged(segment(0.0, 5.0, " One."), hurried, segment(10.2, 20.0, " Two.")) == []
    assert judged(segment(0.0, 10.0, " One."), hurried, segment(15.0, 20.0, " Two.")) == []
    assert judged(segment(0.0, 10.0, " One."), hurried, segment(10.2, 20.0, " Two.")) == [hurried]


def test_sound_is_what_is_near_the_loudest() -> None:
    samples = np.concatenate([np.full(SAMPLE_RATE, level, np.float32) for level in (0.001, 0.1, 0.03, 0.005)])
    sounds = sound(samples)
    assert [seconds_of_sound(sounds, second, second + 1) for second in range(4)] == [0.0, 1.0, 1.0, 0.0]
    assert seconds_of_sound(sounds, 0.5, 1.5) == 0.5
    assert len(sound(np.ones(100, np.float32))) == 0


@pytest.mark.parametrize(("at", "length"), [(0.5, 0.0), (1.0, 0.4), (1.39, 0.4), (1.5, 0.0), (2.2, 0.6)])
def test_a_pause_is_measured_from_sound_to_sound_or_the_end(at: float, length: float) -> None:
    parts = [(1.0, 0.1), (0.4, 0.0), (0.6, 0.1), (0.6, 0.0)]
    samples = np.concatenate([np.full(round(seconds * SAMPLE_RATE), level, np.float32) for seconds, level in parts])
    assert pause(sound(samples), at) == pytest.approx(length)


def test_digits_are_read_out() -> None:
    assert letters("In 1455, yes!") == 2 + 4 * 4 + 3
    assert letters("...") == 0
