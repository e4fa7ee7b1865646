"""Groups of jobs: counted whatever becomes of each, and told once all have ended."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from asrq_jobs import AsyncClient, Client, keys
from asrq_jobs.errors import (
    AudioUnreadableError,
    InvalidRequestError,
    JobConflictError,
    JobNotFoundError,
    WaitTimeoutError,
)
from asrq_jobs.groups import GroupEvent, GroupState
from asrq_jobs.request import PathAudio
from asrq_jobs.rq import JobHash
from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.queue import calls, quarantine
from asrq_worker.reaper.reaper import Reaper

AUDIO = PathAudio(path="/audio/a.wav")
LANE = "interactive"
SECRET = "the operator's"  # noqa: S105  # of this test


@pytest.fixture
def client(valkey_url: str) -> Iterator[Client]:
    with Client(Settings(redis_url=valkey_url, webhook_secret=SECRET)) as connected:
        yield connected


@pytest.fixture
def worker(client: Client) -> ScriptedWorker:
    return ScriptedWorker(client.redis)


@pytest.fixture
def reaper(client: Client) -> Reaper:
    return Reaper(client.redis, client.settings)


def submit(client: Client, *ids: str, size: int = 2, group: str = "night", webhook: str | None = None) -> None:
    for job_id in ids:
        client.submit(AUDIO, id=job_id, lane=LANE, group={"id": group, "size": size, "webhook": webhook})


def counts(client: Client) -> tuple[int, int, int, int]:
    """Of the group: open, completed, failed and canceled jobs; they agree with what became of each."""
    known = client.group("night").state()
    each = list(client.group("night").jobs().values())
    found = (known.open, known.completed, known.failed, known.canceled)
    assert found == tuple(map(each.count, ("open", "completed", "failed", "canceled")))
    return found


def told(client: Client) -> list[dict[str, Any]]:
    """What webhooks are to be told of groups."""
    waiting = cast("list[bytes]", client.redis.zrange(keys.WEBHOOKS, 0, -1))
    return [json.loads(delivery)["notice"] for delivery in waiting]


def fail(worker: ScriptedWorker) -> None:
    worker.fail(worker.take(), AudioUnreadableError("Not audio."))


def test_a_group_is_counted_and_told_once_all_its_jobs_have_ended(
    client: Client, worker: ScriptedWorker, reaper: Reaper
) -> None:
    submit(client, "a", "b", "c", size=3, webhook="https://receiver/")
    submit(client, "a", size=3, webhook="https://receiver/")  # an answer was lost
    assert counts(client) == (3, 0, 0, 0)
    worker.complete(worker.take(), "hello")
    fail(worker)
    assert counts(client) == (1, 1, 1, 0)
    assert reaper.run_once().told == ()
    seconds, micros = client.redis.time()
    assert client.cancel("c") == "canceled"
    ended = client.group("night").wait(timeout_s=10)
    assert ended.at >= seconds + micros / 1e6
    assert (ended.ended, counts(client)) == (True, (0, 1, 1, 1))
    assert client.redis.ttl(keys.group("night")) == -1, "it is kept until its end is on the way"
    assert reaper.run_once().told == ("night",)
    assert reaper.run_once().told == ()
    [notice] = told(client)
    assert notice == json.loads(ended.to_json())
    kept = [client.redis.ttl(key) for key in (keys.group("night"), keys.group_events("night"))]
    assert kept == [pytest.approx(client.settings.result_ttl_s, abs=60)] * 2, "as long as the job that is kept longest"


def test_it_does_not_end_before_all_of_it_was_submitted(client: Client, worker: ScriptedWorker, reaper: Reaper) -> None:
    submit(client, "a", webhook="https://receiver/")
    worker.complete(worker.take(), "hello")
    assert not client.group("night").state().ended
    assert 0 < client.redis.ttl(keys.group("night")) <= 86_400, "nobody need come back to it"
    submit(client, "b", webhook="https://receiver/")
    assert client.redis.ttl(keys.group("night")) == -1
    worker.complete(worker.take(), "hello")
    assert client.group("night").state().ended
    assert reaper.run_once().told == ("night",)


def test_a_retry_opens_it_again_and_its_next_end_is_told_as_well(
    client: Client, worker: ScriptedWorker, reaper: Reaper
) -> None:
    submit(client, "a", size=1, webhook="https://receiver/")
    fail(worker)
    client.retry("a")
    assert counts(client) == (1, 0, 0, 0)
    assert reaper.run_once().told == (), "it was open again before anybody was told"
    fail(worker)
    assert reaper.run_once().told == ("night",)
    client.retry("a")
    assert client.redis.ttl(keys.group("night")) == -1
    worker.complete(worker.take(), "hello")
    assert reaper.run_once().told == ("night",)
    assert [(notice["completed"], notice["failed"]) for notice in told(client)] == [(0, 1), (1, 0)]


def test_what_is_erased_before_its_end_counts_as_canceled_and_else_as_it_ended(
    client: Client, worker: ScriptedWorker
) -> None:
    submit(client, "a", "b", "c", size=4)
    worker.complete(worker.take(), "hello")
    running = worker.take()
    for job_id in ("a", "b", "c"):
        client.erase(job_id)
    assert counts(client) == (0, 1, 0, 2)
    with pytest.raises(Exception, match="another worker's"):
        worker.complete(running, "late")
    submit(client, "b", size=4)
    assert counts(client) == (1, 1, 0, 1)
    submit(client, "d", size=4)
    client.cancel("b")
    client.cancel("d")
    assert client.group("night").state().ended


@pytest.mark.parametrize("webhook", [None, "https://receiver/"])
def test_what_is_erased_may_be_the_last(client: Client, reaper: Reaper, webhook: str | None) -> None:
    submit(client, "a", size=1, webhook=webhook)
    seconds, micros = client.redis.time()
    client.erase("a")
    ended = client.group("night").state()
    assert ended.ended
    assert ended.at >= seconds + micros / 1e6, "its end is told by id and time: no two are alike"
    assert reaper.run_once().told == (("night",) if webhook else ())
    assert client.redis.ttl(keys.group("night")) > 0


def test_a_purge_changes_nothing(client: Client, worker: ScriptedWorker) -> None:
    submit(client, "a")
    fail(worker)
    client.purge("a")
    assert counts(client) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "amiss",
    [
        lambda job: job.cancel(),
        lambda job: job.delete(),
        lambda job: job.connection.hdel(keys.job(job.id), "group"),
    ],
    ids=["canceled", "removed", "used for another job"],
)
def test_the_reaper_counts_what_others_have_ended(
    client: Client, reaper: Reaper, amiss: Callable[[Job], object]
) -> None:
    submit(client, "a", "b")
    amiss(Job.fetch("a", connection=client.redis, serializer=JSONSerializer))
    assert counts(client) == (2, 0, 0, 0)
    assert reaper.run_once(whole=True).counted == ("a",)
    assert counts(client) == (1, 0, 0, 1)
    assert reaper.run_once(whole=True).counted == ()


def test_what_others_call_canceled_and_a_worker_holds_counts_as_it_ends(
    client: Client, worker: ScriptedWorker, reaper: Reaper
) -> None:
    submit(client, "a", "b")
    _other, execution = worker.take(), worker.take()
    Job.fetch("b", connection=client.redis, serializer=JSONSerializer).cancel()
    assert reaper.run_once(whole=True).counted == ()
    worker.complete(execution, "hello")
    assert counts(client) == (1, 1, 0, 0)


def test_what_is_open_or_counted_is_not_counted(client: Client) -> None:
    submit(client, "a")
    assert not calls.count(client.redis, "night", "a", ttl_s=60)
    client.cancel("a")
    assert not calls.count(client.redis, "night", "a", ttl_s=60)
    assert counts(client) == (0, 0, 0, 1)


def test_what_others_have_canceled_or_removed_and_is_there_again_counts_once(client: Client) -> None:
    submit(client, "a", "b")
    Job.fetch("a", connection=client.redis, serializer=JSONSerializer).cancel()
    client.retry("a")
    Job.fetch("b", connection=client.redis, serializer=JSONSerializer).delete()
    submit(client, "b")
    assert counts(client) == (2, 0, 0, 0)


def test_a_group_that_is_gone_is_not_made_anew(client: Client) -> None:
    submit(client, "a", "b")
    client.redis.delete(keys.group("night"))
    client.cancel("a")
    client.retry("a")
    client.erase("b")
    assert client.redis.exists(keys.group("night"), keys.group_events("night")) == 0


def test_a_large_group_is_looked_at_part_by_part(client: Client, reaper: Reaper) -> None:
    members = {f"job{number}": "open" for number in range(2000)}
    client.redis.hset(keys.group("night"), mapping={":size": 3000, ":open": 2000, **members, "b": "completed"})
    client.redis.hset(keys.group("night"), mapping={":completed": 1, ":failed": 0, ":canceled": 0, ":until": 0})
    client.redis.hset(keys.group("night"), ":webhook", "")
    assert 0 < len(reaper.run_once().counted) < 2000
    while reaper.run_once().counted:
        pass
    assert counts(client) == (0, 1, 0, 2000)


def test_a_job_that_is_refused_counts_as_failed(client: Client) -> None:
    submit(client, "a", size=1)
    raw = cast("dict[bytes, bytes]", client.redis.hgetall(keys.job("a")))
    quarantine.refuse(client.redis, "a", LANE, raw, InvalidRequestError("No."), client.settings)
    assert counts(client) == (0, 0, 1, 0)
    client.retry("a")
    assert counts(client) == (1, 0, 0, 0)
    assert JobHash.read(raw).status == "queued"


def test_a_job_that_rqs_own_tools_put_back_is_open_from_its_start(client: Client, worker: ScriptedWorker) -> None:
    submit(client, "a", size=1)
    fail(worker)
    Job.fetch("a", connection=client.redis, serializer=JSONSerializer).requeue()
    running = worker.take()
    assert counts(client) == (1, 0, 0, 0)
    worker.complete(running, "hello")
    assert counts(client) == (0, 1, 0, 0)


@pytest.mark.parametrize(
    ("job_id", "group", "said"),
    [
        ("b", {"id": "night", "size": 3}, "another size or webhook"),
        ("b", {"id": "night", "size": 1, "webhook": "https://other/"}, "another size or webhook"),
        ("b", {"id": "night", "size": 1}, "has all of its 1 jobs"),
    ],
)
def test_a_job_that_does_not_belong_there_is_refused(
    client: Client, job_id: str, group: dict[str, Any], said: str
) -> None:
    submit(client, "a", size=1)
    with pytest.raises(JobConflictError, match=said):
        client.submit(AUDIO, id=job_id, lane=LANE, group=group)
    with pytest.raises(JobNotFoundError):
        client.state(job_id)
    assert counts(client) == (1, 0, 0, 0)


def test_a_group_that_is_damaged_costs_no_job_its_end(client: Client, worker: ScriptedWorker, reaper: Reaper) -> None:
    submit(client, "a", "b", "c", "d", size=4)
    execution = worker.take()
    client.redis.set(keys.group("night"), "damaged")
    worker.complete(execution, "hello")
    fail(worker)
    client.retry("b")
    client.cancel("c")
    client.erase("d")
    client.redis.sadd(keys.GROUPS, "night", "gone")
    assert reaper.run_once(whole=True).told == ()
    assert [client.state(job_id).status for job_id in ("a", "b", "c")] == ["completed", "queued", "canceled"]
    assert client.redis.exists(keys.GROUPS) == 0


@pytest.mark.parametrize(("size", "webhook"), [(1, "https://receiver/"), (2, "https://receiver/"), (1, None)])
def test_a_group_that_is_on_no_list_is_told_all_the_same(
    client: Client, reaper: Reaper, size: int, webhook: str | None
) -> None:
    submit(client, "a", size=size, webhook=webhook)
    client.redis.set(keys.GROUPS, "damaged")
    client.cancel("a")
    client.redis.persist(keys.group("night"))
    client.redis.delete(keys.GROUPS)
    assert reaper.run_once(whole=True).told == (("night",) if size == 1 and webhook else ())
    assert client.redis.ttl(keys.group("night")) > 0
    assert reaper.run_once(whole=True).told == ()


def test_nobody_is_told_where_webhooks_are_off(client: Client) -> None:
    submit(client, "a", size=1, webhook="https://receiver/")
    client.cancel("a")
    assert Reaper(client.redis, Settings()).run_once().told == ()
    assert told(client) == []
    assert client.redis.ttl(keys.group("night")) > 0


def _events(client: Client, timeout_s: float) -> list[GroupEvent]:
    return list(client.group("night").events(timeout_s=timeout_s))


def _awaited_events(client: Client, timeout_s: float) -> list[GroupEvent]:
    async def follow() -> list[GroupEvent]:
        other = AsyncClient(client.settings)
        try:
            return [event async for event in other.group("night").events(timeout_s=timeout_s)]
        finally:
            await other.close()

    return asyncio.run(follow())


@pytest.mark.parametrize("events", [_events, _awaited_events], ids=["sync", "asyncio"])
def test_its_events_are_followed_to_its_end(
    client: Client, worker: ScriptedWorker, events: Callable[[Client, float], list[GroupEvent]]
) -> None:
    with pytest.raises(JobNotFoundError, match="No group night"):
        events(client, 1.0)
    submit(client, "a", "b")
    with pytest.raises(WaitTimeoutError, match="group night did not end"):
        events(client, 0.01)
    found: list[GroupEvent] = []
    following = threading.Thread(target=lambda: found.extend(events(client, 30.0)))
    following.start()
    worker.complete(worker.take(), "hello")
    fail(worker)
    following.join()
    assert [(each.type, each.job, each.status, each.open, each.over) for each in found] == [
        ("progress", "a", "completed", 1, 1),
        ("ended", "b", "failed", 0, 2),
    ]


def test_the_awaiting_client_knows_as_much(client: Client, worker: ScriptedWorker) -> None:
    async def ask() -> tuple[GroupState, GroupState, dict[str, str]]:
        other = AsyncClient(client.settings)
        try:
            group = other.group("night")
            return await group.wait(timeout_s=10), await group.state(), dict(await group.jobs())
        finally:
            await other.close()

    submit(client, "a", size=1)
    worker.complete(worker.take(), "hello")
    waited, known, each = asyncio.run(ask())
    assert waited == known == client.group("night").state()
    assert each == {"a": "completed"}
    with pytest.raises(JobNotFoundError):
        client.group("day").jobs()


def test_a_user_whose_rights_are_of_before_cancels_and_erases_all_the_same(valkey_url: str, redis: Redis) -> None:
    with Client(Settings(redis_url=valkey_url)) as all_may:
        submit(all_may, "a", "b")
    redis.acl_setuser("old", enabled=True, nopass=True, keys=["rq:*", "asrq:[^g]*"], commands=["+@all"], channels=["*"])
    url = valkey_url.replace("redis://", "redis://old@", 1)
    with Client(Settings(redis_url=url)) as old:
        assert old.cancel("a") == "canceled"
        old.erase("b")
