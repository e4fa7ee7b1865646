"""Following many jobs at once."""

from __future__ import annotations

import time

import pytest
from support.waiting import soon

from asrq_jobs import Client, keys
from asrq_jobs.cli.follow import follow
from asrq_jobs.errors import JobNotFoundError, WaitTimeoutError
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.states import JobState


def submit(client: Client, name: str) -> str:
    return client.submit(client.upload(name.encode(), name=name)).id


def say(client: Client, job_id: str, event: Event) -> None:
    client.redis.xadd(keys.events(job_id), {"event": event.to_json()})


def finish(client: Client, job_id: str) -> None:
    client.redis.set(keys.result(job_id), Result(id=job_id, status="completed", text="done").to_json())
    say(client, job_id, Event(type="completed", at=time.time()))


def test_each_job_gives_its_events_and_last_its_result(client: Client) -> None:
    ids = [submit(client, name) for name in ("a", "b", "c")]
    finish(client, ids[2])
    seen: dict[str, list[object]] = {job_id: [] for job_id in ids}
    for job_id, news in follow(client, [*ids, ids[0]], timeout_s=60):
        seen[job_id].append(news)
        if isinstance(news, Event) and news.type == "queued":
            say(client, job_id, Event(type="started", at=time.time(), attempt=1))
            finish(client, job_id)
    assert [type(news) for news in seen[ids[2]]] == [Result]  # it had ended before
    for job_id in ids[:2]:
        assert isinstance(seen[job_id][0], JobState)
        assert [news.type for news in seen[job_id] if isinstance(news, Event)] == ["queued", "started", "completed"]
        assert isinstance(seen[job_id][-1], Result)


def test_a_terminal_event_that_a_retry_made_old_does_not_end_the_wait(client: Client) -> None:
    job_id = submit(client, "a")
    say(client, job_id, Event(type="failed", at=time.time()))
    say(client, job_id, Event(type="queued", at=time.time(), lane="batch"))
    with soon(lambda: finish(client, job_id)):
        last = [news for _, news in follow(client, [job_id], timeout_s=20)][-1]
    assert isinstance(last, Result)


def test_an_unknown_job_is_an_error_of_its_own(client: Client) -> None:
    known = submit(client, "a")
    finish(client, known)
    news = dict(follow(client, ["nowhere", known], timeout_s=60))
    assert isinstance(news["nowhere"], JobNotFoundError)
    assert isinstance(news[known], Result)


def test_a_job_that_vanishes_ends_the_wait(client: Client) -> None:
    job_id = submit(client, "a")
    news = follow(client, [job_id], timeout_s=60)
    assert isinstance(next(news)[1], JobState)
    client.redis.delete(keys.job(job_id), keys.events(job_id))
    assert isinstance(list(news)[-1][1], JobNotFoundError)


def test_positions_are_renewed_while_all_is_quiet(client: Client) -> None:
    first, second = submit(client, "a"), submit(client, "b")
    positions = []
    for _, news in follow(client, [second], timeout_s=60):
        if isinstance(news, JobState):
            positions.append(news.position)
            if len(positions) == 1:
                client.cancel(first)
            else:
                finish(client, second)
    assert positions == [2, 1]


def test_waiting_has_an_end(client: Client) -> None:
    job_id = submit(client, "a")
    with pytest.raises(WaitTimeoutError, match=r"not ended within 0\.2 s") as caught:
        list(follow(client, [job_id], timeout_s=0.2))
    assert f"asrq wait {job_id}" in (caught.value.hint or "")


def test_a_job_whose_result_has_expired_is_not_waited_for(client: Client) -> None:
    job_id = submit(client, "a")
    client.redis.hset(keys.job(job_id), "status", "finished")
    ((_, news),) = follow(client, [job_id], timeout_s=60)
    assert isinstance(news, JobNotFoundError)
    assert "expired" in news.message
