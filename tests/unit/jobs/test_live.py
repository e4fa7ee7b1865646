"""Which frames a client sends, whatever it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asrq_jobs.errors import (
    AsrqError,
    AudioTooLongError,
    BlobMissingError,
    InvalidRequestError,
    JobStateError,
    QueueUnreachableError,
    TooFastError,
)
from asrq_jobs.live import Frames
from asrq_jobs.steps import Calls, Pause, Script

MISSING = InvalidRequestError("Frame 2 is missing.")
AWAY = QueueUnreachableError("Redis does not answer.")


def kept(last: int) -> str:
    return json.dumps({"last": last})


def refused(error: AsrqError, last: int = 0) -> str:
    return json.dumps({"last": last, "error": error.info().model_dump(mode="json")})


def perform(calls: Calls[None], *answers: str | AsrqError) -> list[tuple[Any, ...]]:
    """Give these answers; return number, kind and frame of each script, and what is waited in between."""
    sent: list[tuple[Any, ...]] = []
    left = list(answers)
    try:
        step = next(calls)
        while True:
            if isinstance(step, Pause):
                sent.append(("pause",))
                step = calls.send(None)
                continue
            assert isinstance(step, Script)
            sent.append(tuple(step.args[1:]))
            answer = left.pop(0)
            step = calls.throw(answer) if isinstance(answer, AsrqError) else calls.send(answer)
    except StopIteration:
        assert left == []
    return sent


def test_pieces_become_frames_of_whole_samples() -> None:
    frames = Frames("a", width=4)
    frames.add(b"123")
    assert perform(frames.send(0)) == []
    frames.add(b"4567")
    assert perform(frames.send(0), kept(1)) == [(1, "audio", b"1234")]
    frames.add(b"8" + bytes(1 << 16))
    sizes = [len(frame) for _, _, frame in perform(frames.send(0), kept(2), kept(3))]
    assert sizes == [1 << 16, 4]
    frames.close()
    frames.close()
    assert perform(frames.send(0), kept(4)) == [(4, "end", b"")]
    with pytest.raises(JobStateError, match="has ended"):
        frames.add(b"late")


def test_what_was_not_answered_is_sent_again_under_its_number() -> None:
    frames = Frames("a", width=2)
    frames.add(b"1.")
    assert perform(frames.send(60), AWAY, kept(1)) == [(1, "audio", b"1."), ("pause",), (1, "audio", b"1.")]
    frames.add(b"2.")
    with pytest.raises(QueueUnreachableError):
        perform(frames.send(0), AWAY)
    frames.add(b"3.")
    assert perform(frames.send(0), kept(2), kept(3)) == [(2, "audio", b"2."), (3, "audio", b"3.")]


def test_too_fast_is_slower() -> None:
    frames = Frames("a", width=2)
    frames.add(b"1.")
    sent = perform(frames.send(0), refused(TooFastError("Too fast.")), kept(1))
    assert sent == [(1, "audio", b"1."), ("pause",), (1, "audio", b"1.")]


def test_a_recording_that_is_too_long_can_be_ended() -> None:
    frames = Frames("a", width=2)
    frames.add(b"1.")
    frames.add(b"2.")
    with pytest.raises(AudioTooLongError):
        perform(frames.send(0), refused(AudioTooLongError("Too long.")))
    frames.close()
    assert perform(frames.send(0), kept(1)) == [(1, "end", b"")]


def test_of_a_recording_that_is_too_long_all_that_fits_is_kept() -> None:
    too_long = refused(AudioTooLongError("Too long."))
    frames = Frames("a", width=2)
    frames.add(b"1.2.3.4.5.6.7.")  # the fourth sample is the last that fits
    frames.add(b"8.")
    with pytest.raises(AudioTooLongError):
        perform(frames.send(0), too_long, kept(1), too_long, too_long, kept(2), too_long)
    frames.close()
    assert perform(frames.send(0), kept(3)) == [(3, "end", b"")]


def test_who_begins_anew_goes_on_after_the_last_frame() -> None:
    frames = Frames("a", width=2)
    assert perform(frames.resume(0), kept(7)) == [(0, "audio", b"")]
    frames.add(b"8.")
    assert perform(frames.send(0), kept(8)) == [(8, "audio", b"8.")]


def test_two_that_feed_one_job_hear_of_it() -> None:
    frames = Frames("a", width=2)
    frames.add(b"1.")
    with pytest.raises(JobStateError, match="not ours"):
        perform(frames.send(0), kept(2))


def test_what_redis_has_lost_is_sent_again() -> None:
    frames = Frames("a", width=2)
    for sound in (b"1.", b"2.", b"3."):
        frames.add(sound)
    perform(frames.send(0), kept(1), kept(2), kept(3))
    frames.add(b"4.")
    sent = perform(frames.send(0), refused(MISSING, 1), kept(2), kept(3), kept(4))
    assert [(number, frame) for number, _, frame in sent] == [(4, b"4."), (2, b"2."), (3, b"3."), (4, b"4.")]
    frames.close()
    perform(frames.send(0), kept(5))
    assert perform(frames.send(0), kept(5)) == [(5, "end", b"")], "whether it is still there is asked"
    again = perform(frames.send(0), refused(MISSING, 3), kept(4), kept(5))
    assert [number for number, *_ in again] == [5, 4, 5]
    assert perform(frames.send(0), refused(JobStateError("It has ended."))) == [(5, "end", b"")]


def test_what_redis_has_lost_and_is_not_held_any_more_is_said() -> None:
    frames = Frames("a", width=2)
    frame = bytes(1 << 16)
    for number in range(1, 41):
        frames.add(frame)
        perform(frames.send(0), kept(number))
    frames.add(b"..")
    assert perform(frames.send(0), refused(MISSING, 8), *(kept(number) for number in range(9, 42)))
    frames.add(b"..")
    with pytest.raises(BlobMissingError, match="lost"):
        perform(frames.send(0), refused(MISSING, 1))


def test_who_begins_anew_holds_nothing() -> None:
    frames = Frames("a", width=2)
    perform(frames.resume(0), kept(7))
    frames.add(b"8.")
    with pytest.raises(BlobMissingError):
        perform(frames.send(0), refused(MISSING, 5))


def test_a_frame_that_is_none_is_no_loss() -> None:
    frames = Frames("a", width=2)
    frames.add(b"1.")
    with pytest.raises(InvalidRequestError):
        perform(frames.send(0), refused(InvalidRequestError("No frame.")))


def test_half_a_sample_is_left_over() -> None:
    frames = Frames("a", width=4)
    frames.add(b"12345")
    frames.close()
    assert frames.left_over == 1
