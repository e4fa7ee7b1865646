"""How far two transcripts are apart, and when a shadow takes a job over."""

from __future__ import annotations

import functools
import threading
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs.request import PathAudio, Request
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import Capabilities, Identity
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet
from asrq_worker.engine.messages import Loaded
from asrq_worker.job import transcription
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.job.shadow import Comparison, Shadow, _Nowhere, _word_error_rate
from asrq_worker.job.transcription import Transcription


@pytest.mark.parametrize(
    ("reference", "hypothesis", "rate"),
    [
        ("one two three four", "one two three four", 0.0),
        ("One, two. Three four!", "one two three four", 0.0),
        ("Ещё раз", "еще раз", 0.0),
        ("one two three four", "one too three four", 0.25),
        ("one two three four", "one three four", 0.25),
        ("one two", "one and two", 0.5),
        ("", "", 0.0),
        ("", "you", 1.0),
        ("one", "", 1.0),
    ],
)
def test_the_rate_counts_words(reference: str, hypothesis: str, rate: float) -> None:
    assert _word_error_rate(reference, hypothesis) == rate


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.lists(st.sampled_from("abcd"), max_size=8))
def test_it_is_the_least_number_of_edits(left: list[str], right: list[str]) -> None:
    @functools.cache
    def edits(i: int, j: int) -> int:
        if not (i and j):
            return i + j
        return min(edits(i - 1, j) + 1, edits(i, j - 1) + 1, edits(i - 1, j - 1) + (left[i - 1] != right[j - 1]))

    expected = edits(len(left), len(right)) / len(left) if left else float(bool(right))
    assert _word_error_rate(" ".join(left), " ".join(right)) == expected


def _follows(shadow: Shadow, path: Path = Path("a.f32")) -> bool:
    """Whether the shadow takes a job over."""
    request = Request.build(id="job", audio=PathAudio(path="/a.wav"))
    decoded = DecodedAudio(path, 0, (), "wav", "pcm", 16_000, 1, ())
    identity = Identity("fake", "1", "fake", None, "cpu", "none")
    served = Transcription(Loaded(identity, Capabilities(frozenset()), 0.0, 0.0), (), (), ())
    return shadow.follow(InferenceJob(request, JobControl(), _Nowhere()), decoded, served, "fake")


def test_a_shadow_that_was_closed_takes_no_job_over() -> None:
    recorded: list[Comparison] = []
    shadow = Shadow(Fleet(_no_engine), recorded.append, chunk_s=28.0, start_s=1.0)
    shadow.close()
    assert not _follows(shadow)
    assert recorded == []


def test_nor_does_one_for_which_the_system_has_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    shadow = Shadow(Fleet(_no_engine), lambda _comparison: None, chunk_s=28.0, start_s=1.0)
    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert [_follows(shadow), _follows(shadow)] == [False, False]  # and is not taken for busy
    shadow.close()


def test_a_shadow_leaves_a_job_that_was_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, recorded = threading.Event(), SimpleQueue[Comparison]()

    def never_ready(_member: object, control: JobControl, *, within_s: float) -> None:
        del within_s
        begun.set()
        control.wake.wait(60)
        control.check()

    monkeypatch.setattr(transcription, "ready", never_ready)
    fleet = Mock(at_work=lambda _backend: nullcontext())
    shadow = Shadow(fleet, recorded.put, chunk_s=28.0, start_s=1.0)
    audio = tmp_path / "a.f32"
    audio.write_bytes(b"audio")
    assert _follows(shadow, audio)
    assert begun.wait(60)
    shadow.forget("another")
    assert audio.exists()
    assert not _follows(shadow), "it goes on"
    shadow.forget("job")
    assert recorded.get(timeout=60).code == "lease_lost"
    shadow.close()
    assert not audio.exists()
    shadow.forget("job")


def _no_engine(name: str) -> Engine:
    raise AssertionError(name)
