"""Results that serve other jobs: on a real queue, with real executions, and through a whole worker."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from support.processes import Process, worker
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.events import Event
from asrq_jobs.request import BlobAudio, PathAudio
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Transcript
from asrq_worker.job.ending import Ending, EndVerdict
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.journal import RedisJournal

KEY = "0123456789abcdef"
SETTINGS = Settings(cache_ttl_s=60)


class Held:
    """An execution that a test holds."""

    def __init__(self, client: Client, job_id: str, lane: str = "batch") -> None:
        self._redis = client.redis
        if client.redis.exists(keys.job(job_id)):
            client.retry(job_id)
        else:
            client.submit(PathAudio(path="/a.wav"), id=job_id, lane=lane)
        client.redis.lmove(keys.queue(lane), keys.intermediate(lane))
        self.execution = Execution(job_id, uuid.uuid4().hex, lane, "w")
        self._attempt = self.execution.begin(client.redis, lease_s=60).attempts[-1]
        self.journal = RedisJournal(client.redis, self.execution, SETTINGS)

    def reuse(self) -> Result | str | None:
        return self.journal.reuse(KEY)

    def end(self, verdict: EndVerdict = "completed", **fields: Any) -> Result:
        job_id = self.execution.job_id
        status = "failed" if verdict == "retry" else verdict
        result = Result(id=job_id, status=status, **{"text": f"of {job_id}", "cache_key": KEY} | fields)  # type: ignore[arg-type]  # as pydantic checks
        assert self.execution.end(
            self._redis,
            Ending(
                verdict,
                Event(type="completed", at=1.0),
                self._attempt,
                None if verdict == "retry" else result,
                ttl_s=60,
            ),
            audio=PathAudio(path="/a.wav"),
            blob_ttl_s=60,
        )
        return result


def test_equal_jobs_wait_for_the_first_and_take_its_result(client: Client) -> None:
    first, second, third = (Held(client, job_id) for job_id in ("first", "second", "third"))
    assert first.reuse() is None
    assert [second.reuse(), third.reuse(), first.reuse()] == ["busy", "busy", None]
    result = first.end()
    assert second.reuse() == third.reuse() == result


@pytest.mark.parametrize("verdict", ["failed", "canceled", "retry"])
def test_where_the_first_does_not_complete_one_of_the_others_takes_over(client: Client, verdict: EndVerdict) -> None:
    first, second, third = (Held(client, job_id) for job_id in ("first", "second", "third"))
    assert first.reuse() is None
    first.journal.save("0-100-x", Transcript("heard", "en"))
    first.end(verdict)
    assert second.reuse() is None
    assert list(second.journal.load()) == ["0-100-x"], "what it had finished is not done again"
    assert third.reuse() == "busy"


def test_nobody_waits_for_a_worker_that_died(client: Client) -> None:
    first, second = (Held(client, job_id) for job_id in ("first", "second"))
    assert first.reuse() is None
    client.redis.zadd(keys.LEASES, {first.execution.lease: time.time() - 1})
    assert second.reuse() is None
    client.redis.zrem(keys.LEASES, second.execution.lease)
    assert first.reuse() is None


def test_dictation_does_not_wait_for_a_file_and_files_wait_for_dictation(client: Client) -> None:
    file, dictation, another = Held(client, "a"), Held(client, "b", "interactive"), Held(client, "c")
    assert file.reuse() is None
    assert dictation.reuse() is None
    assert another.reuse() == "busy"
    file.end()
    assert another.reuse() == "busy", "it waits for the dictation"
    result = dictation.end()
    assert another.reuse() == result


def test_a_result_is_gone_for_others_when_it_is_for_its_owner(client: Client) -> None:
    first, second = Held(client, "first"), Held(client, "second")
    assert first.reuse() is None
    first.end()
    client.redis.delete(keys.result("first"))
    assert second.reuse() is None


def test_a_job_of_another_content_under_the_same_id_serves_nobody(client: Client) -> None:
    """A client that may remove a job may submit another one under its id."""
    first, second = Held(client, "first"), Held(client, "second")
    assert first.reuse() is None
    first.end("canceled")
    Held(client, "first").end(cache_key="another")
    assert second.reuse() is None


def test_a_queue_of_the_wrong_type_or_away_costs_the_reuse_only(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    first = Held(client, "first")
    client.redis.rpush(keys.cache(KEY), "damaged")
    assert first.reuse() is None
    assert "journal.lossy" in caplog.text
    client.redis.delete(keys.cache(KEY))
    assert first.reuse() is None
    client.redis.set(keys.result("first"), "damaged")
    assert Held(client, "second").reuse() == "busy"
    client.redis.zrem(keys.LEASES, first.execution.lease)
    assert Held(client, "third").reuse() is None


def test_the_entry_expires(client: Client, redis: Redis) -> None:
    assert Held(client, "first").reuse() is None
    assert 0 < redis.ttl(keys.cache(KEY)) <= 60


@pytest.fixture
def caching(valkey_url: str) -> Iterator[Process]:
    with worker(valkey_url, lanes="interactive:2,batch:2", cache_ttl_s=60) as running:
        yield running


@pytest.fixture
def blob(client: Client, data: Path) -> BlobAudio:
    return client.upload(data / "hello-en.flac")


def test_a_worker_hears_the_same_once(client: Client, caching: Process, blob: BlobAudio, redis: Redis) -> None:
    first = client.wait(client.submit(blob, language="en").id, timeout_s=120)
    renamed = blob.model_copy(update={"name": "other.flac"})
    second = client.wait(client.submit(renamed, language="en", lane="interactive").id, timeout_s=120)
    assert (first.cached, second.cached) == (False, True)
    assert second.text == first.text
    assert second.cache_key == first.cache_key
    assert second.audio is not None
    assert second.audio.name == "other.flac"
    assert (second.timings.inference_s, second.timings.rtfx) == (None, None)
    assert second.timings.total_s is not None
    assert second.attempts[-1].number == 1
    assert second.id != first.id
    other = client.wait(client.submit(blob, language="en", word_timestamps=True).id, timeout_s=120)
    assert not other.cached
    assert not redis.exists(keys.LEASES)


def test_equal_jobs_at_once_are_heard_once(
    client: Client, caching: Process, blob: BlobAudio, tmp_path: Path, redis: Redis
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    jobs = [client.submit(blob, language="en", prompt=f"touch:{begun} until:{gate}").id for _ in range(2)]
    until(begun.exists)
    until(lambda: redis.zcard(keys.LEASES) == 2)
    gate.touch()
    results = [client.wait(job_id, timeout_s=120) for job_id in jobs]
    assert sorted(result.cached for result in results) == [False, True]
    assert results[0].text == results[1].text
