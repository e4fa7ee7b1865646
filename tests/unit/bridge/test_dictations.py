"""Sound that comes in frames, and is heard from its beginning by each attempt."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrq_jobs.errors import AsrqError, InvalidRequestError, JobNotFoundError, JobStateError, NoRoomError
from asrq_jobs.request import LiveAudio
from asrq_worker.audio.live import Arrived
from asrq_worker.bridge.dictations import FRAME, Dictations
from asrq_worker.storage.spool import Spool

AUDIO = LiveAudio(encoding="pcm_s16le", sample_rate=8000, channels=1)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path) as spool:
        yield spool


def begun(spool: Spool, audio: LiveAudio = AUDIO, *, most: int = 1 << 20, longest_s: float = 60) -> Dictations:
    dictations = Dictations(spool, most=most, longest_s=longest_s)
    dictations.begin("a", audio)
    return dictations


def test_a_frame_is_there_once_for_each_attempt(spool: Spool) -> None:
    dictations = begun(spool)
    first = dictations.feed("a")
    assert first.read(0) == Arrived()
    dictations.append("a", 1, b"one.")
    dictations.append("a", 1, b"ONE!")
    assert first.read(0) == Arrived(b"one.")
    dictations.append("a", 2, b"two.")
    dictations.append("a", 1, b"ONE!")
    dictations.end("a")
    dictations.end("a")
    assert first.read(0) == Arrived(b"two.", end="end")
    assert dictations.feed("a").read(0) == Arrived(b"one.two.", end="end")
    dictations.append("a", 2, b"two.")
    with pytest.raises(JobStateError, match="has ended"):
        dictations.append("a", 3, b"late")


@pytest.mark.parametrize(
    ("seq", "sound", "words"),
    [(2, b"one.", "Frame 1 is missing before frame 2"), (1, b"", "1 to 262144 bytes"), (1, b"odd", "multiple of 2"),
     (1, bytes(FRAME + 2), "1 to 262144 bytes")],
)  # fmt: skip
def test_what_is_no_frame(spool: Spool, seq: int, sound: bytes, words: str) -> None:
    dictations = begun(spool)
    with pytest.raises(InvalidRequestError, match=words) as refused:
        dictations.append("a", seq, sound)
    assert refused.value.hint
    dictations.append("a", 1, b"one.")


@pytest.mark.parametrize(
    ("audio", "most", "longest_s"),
    [(AUDIO, 16_000, 60), (AUDIO, 1 << 20, 1), (AUDIO.model_copy(update={"max_s": 1}), 1 << 20, 60)],
)
def test_a_recording_ends_somewhere(spool: Spool, audio: LiveAudio, most: int, longest_s: float) -> None:
    dictations = begun(spool, audio, most=most, longest_s=longest_s)
    dictations.append("a", 1, bytes(16_000))
    with pytest.raises(AsrqError, match="as long as it may be") as refused:
        dictations.append("a", 2, b"no")
    assert refused.value.code == "audio_too_long"
    dictations.end("a")
    assert dictations.feed("a").read(0) == Arrived(bytes(16_000), end="end")


def test_a_frame_that_cannot_be_kept_may_come_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    dictations = begun(spool)
    dictations.append("a", 1, b"one.")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(NoRoomError):
            dictations.append("a", 2, b"two.")
    dictations.append("a", 2, b"two.")
    assert dictations.feed("a").read(0) == Arrived(b"one.two.")


def test_who_waits_hears_of_a_frame_and_of_the_end(spool: Spool) -> None:
    dictations = begun(spool)
    feed = dictations.feed("a")
    for say, wanted in (
        (lambda: dictations.append("a", 1, b"one."), Arrived(b"one.")),
        (lambda: dictations.end("a"), Arrived(end="end")),
    ):
        threading.Timer(0.05, say).start()
        assert feed.read(60) == wanted


def test_a_recording_is_not_interrupted_by_who_has_not_heard_all(spool: Spool) -> None:
    dictations = begun(spool)
    feed = dictations.feed("a")
    dictations.append("a", 1, b"one.")
    feed.interrupt(60)
    assert feed.read(0) == Arrived(b"one.")
    feed.interrupt(60)
    assert feed.read(0) == Arrived(end="interrupted")
    with pytest.raises(JobStateError):
        dictations.append("a", 2, b"late")


def test_nothing_stays(spool: Spool) -> None:
    dictations = begun(spool)
    dictations.append("a", 1, b"one.")
    assert [path.suffix for path in spool.path.iterdir() if path.suffix != ".lock"] == [".pcm"]
    dictations.forget("a")
    dictations.forget("a")
    assert not [path for path in spool.path.iterdir() if path.suffix == ".pcm"]
    with pytest.raises(JobNotFoundError) as refused:
        dictations.append("a", 2, b"two.")
    assert refused.value.hint
    with pytest.raises(JobNotFoundError):
        dictations.end("a")
