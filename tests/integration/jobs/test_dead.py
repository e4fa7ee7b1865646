"""Dead letters: listed, read, retried with their history, and thrown away."""

from __future__ import annotations

import time

import pytest
from redis import Redis
from support.host import failing, serving

from asrq_jobs import Client, keys
from asrq_jobs.errors import AudioUnreadableError, InferenceError, JobNotFoundError, JobStateError
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso

AUDIO = PathAudio(path="/audio/talk.mp3")


@pytest.fixture
def letters(client: Client, redis: Redis, valkey_url: str) -> Client:
    """Three jobs that failed, in this order and in both lanes, and one that waits."""
    settings = Settings(redis_url=valkey_url, retry_delay_s=0.05)
    for lane, job_id, error in (
        ("batch", "unreadable", AudioUnreadableError("Not audio.")),
        ("batch", "broken", InferenceError("The model failed.")),
        ("interactive", "clip", InferenceError("The model failed.")),
    ):
        client.submit(AUDIO, id=job_id, lane=lane, retries=0)
        with serving(redis, settings, failing(error), lane=lane):
            client.wait(job_id, timeout_s=120)
    client.submit(AUDIO, id="waits")
    return client


def test_they_are_listed_newest_first_with_what_one_has_to_know(letters: Client) -> None:
    found = letters.dead_letters()
    assert [letter.id for letter in found] == ["clip", "broken", "unreadable"]
    letter = found[-1]
    assert letter.error is not None
    assert (letter.lane, letter.error.code, letter.description) == (
        "batch", "audio_unreadable", "transcribe talk.mp3 (auto)"
    )  # fmt: skip
    assert (letter.failed_at or "").startswith("20")
    assert [attempt.error.code for attempt in letter.attempts if attempt.error] == ["audio_unreadable"]
    assert letters.dead_letter("unreadable") == letter


def test_they_can_be_chosen(letters: Client, redis: Redis) -> None:
    redis.hset(keys.job("broken"), "ended_at", iso(time.time() - 1000))
    redis.hset(keys.job("clip"), "ended_at", "")
    assert [letter.id for letter in letters.dead_letters(lane="batch")] == ["broken", "unreadable"]
    assert [letter.id for letter in letters.dead_letters(code="inference_failed")] == ["clip", "broken"]
    assert [letter.id for letter in letters.dead_letters(older_than_s=900)] == ["broken"]
    assert [letter.id for letter in letters.dead_letters(most=1)] == ["clip", "broken"]
    redis.delete(keys.result("unreadable"))
    assert [letter.id for letter in letters.dead_letters(most=None)] == ["clip", "broken", "unreadable"]
    assert letters.dead_letter("unreadable").error is None
    assert letters.dead_letters(lane="batch", code="audio_unreadable") == []
    redis.delete(keys.job("broken"))
    assert [letter.id for letter in letters.dead_letters(lane="batch")] == ["unreadable"]


def test_what_is_none_is_said(letters: Client) -> None:
    for act in (letters.dead_letter, letters.purge):
        with pytest.raises(JobNotFoundError):
            act("nowhere")
        with pytest.raises(JobStateError, match="queued"):
            act("waits")
    assert letters.state("waits").position == 1


def test_a_retried_one_keeps_its_history_and_is_none_any_more(letters: Client, redis: Redis, valkey_url: str) -> None:
    letters.retry("broken")
    assert [letter.id for letter in letters.dead_letters(lane="batch")] == ["unreadable"]
    letters.cancel("waits")
    with serving(redis, Settings(redis_url=valkey_url), failing(InferenceError("Again."))):
        letters.wait("broken", timeout_s=120)
    assert [attempt.number for attempt in letters.dead_letter("broken").attempts] == [1, 2]


def test_a_purged_one_leaves_nothing_but_its_upload(letters: Client, redis: Redis) -> None:
    blob = letters.upload(b"audio")
    redis.hset(keys.chunks("broken"), "0-1", "{}")
    letters.purge("broken")
    assert [name for name in redis.scan_iter() if b"broken" in name] == []
    assert redis.zscore(keys.registry("failed", "batch"), "broken") is None
    assert redis.exists(keys.blob(blob.sha256))
    with pytest.raises(JobNotFoundError):
        letters.purge("broken")


def test_one_whose_hash_has_gone_leaves_the_registry(letters: Client, redis: Redis) -> None:
    redis.delete(keys.job("broken"))
    letters.purge("broken")
    assert redis.zscore(keys.registry("failed", "batch"), "broken") is None
