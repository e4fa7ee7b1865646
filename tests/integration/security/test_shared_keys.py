"""What becomes of a worker and its jobs when somebody writes over a key that all of them share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.security.damaging import damage, reaping
from redis import Redis
from support.ledger import contradictions
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import QueueUnusableError
from asrq_jobs.request import LANES, BlobAudio, Lane
from asrq_jobs.settings import Settings
from asrq_worker.programs.worker import WorkerProcess
from asrq_worker.queue import limits, shared_keys


@pytest.fixture(scope="module")
def service(_valkey: str) -> Iterator[WorkerProcess]:
    """One worker for all of it, in this process: it has to go on."""
    settings = Settings(
        redis_url=_valkey, backend="fake", fallback="none", lanes="interactive:1,batch:1", decoders=1, lease_s=3
    )
    running = WorkerProcess(settings, shutdown=lambda: None)
    running.start()
    yield running
    running.close()


@pytest.fixture
def blob(client: Client, data: Path) -> BlobAudio:
    return client.upload(data / "hello-en.flac")


def defects(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.message.endswith(".defect")]


@pytest.mark.parametrize("key", shared_keys.TYPES)
def test_one_key_of_the_wrong_type_costs_no_job(
    client: Client, service: WorkerProcess, blob: BlobAudio, tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    lane: Lane = "interactive" if "interactive" in key else "batch"
    other: Lane = "batch" if lane == "interactive" else "interactive"
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    client.submit(blob, id="runs", lane=lane, prompt=f"touch:{begun} until:{gate}")
    until(begun.exists)
    client.submit(blob, id="waits", lane=lane)
    damage(client.redis, key)
    if key in {keys.LIMITS, keys.RQ_QUEUES}:  # which every submission reads
        with pytest.raises(QueueUnusableError):
            client.submit(blob, id="other", lane=other)
    else:
        client.submit(blob, id="other", lane=other)
    service._keeper.keep()
    gate.touch()
    # Without a reaper, all goes on but what needs that very key.
    needed = {
        keys.LEASES: {"runs", "waits", "other"},
        keys.queue(lane): {"waits"},
        keys.intermediate(lane): {"waits"},
        keys.LIMITS: {"other"},
        keys.RQ_QUEUES: {"other"},
    }.get(key, set[str]())
    for job_id in {"runs", "waits", "other"} - needed:
        assert client.wait(job_id, timeout_s=50).status == "completed", job_id
    with reaping(client.redis, client.settings):
        until(lambda: client.redis.exists(keys.aside(key)))
        client.submit(blob, id="after", lane=lane)
        client.submit(blob, id="other", lane=other)
        for job_id in ("runs", "waits", "other", "after"):
            assert client.wait(job_id, timeout_s=50).status == "completed", job_id
            assert contradictions(client, job_id) == []
    assert client.redis.type(key) in {b"none", shared_keys.TYPES[key].encode()}
    assert client.redis.ttl(keys.aside(key)) > 0
    (told,) = [vars(record)["asrq_fields"] for record in caplog.records if record.message == "queue.damaged"]
    assert (told["key"], told["moved_to"]) == (key, keys.aside(key))
    assert defects(caplog) == []


RUBBISH: tuple[bytes, ...] = (
    b"", b"\xff", b":", b"/", b"a/b/c", b"batch//", b"batch/a\xff/b", b"{", b"7", b'{"at": 1' + b"0" * 400 + b"}",
    b"[" * 100_000, b'{"at": [], "state": {}}', b"rq:worker:", b"x" * 100_000,
)  # fmt: skip


def litter(redis: Redis, key: str, kind: str) -> None:
    if kind == "zset":
        scores = (float("-inf"), -1.0, 0.0, 1.0)
        redis.zadd(key, {member: scores[at % len(scores)] for at, member in enumerate(RUBBISH)})
    elif kind == "hash":
        redis.hset(key, mapping={member: member for member in RUBBISH})
    elif kind == "list":
        redis.rpush(key, *RUBBISH)
    elif kind == "set":
        redis.sadd(key, *RUBBISH)
    elif kind == "stream":
        for member in RUBBISH:
            redis.xadd(key, {member: member})
    else:
        redis.set(key, b"[" * 100_000)


def test_absurd_members_of_all_of_them_cost_no_job(
    client: Client, service: WorkerProcess, blob: BlobAudio, caplog: pytest.LogCaptureFixture
) -> None:
    for key, kind in shared_keys.TYPES.items():
        if key != keys.LEADER:
            litter(client.redis, key, kind)
    client.submit(blob, id="odd", lane="batch")
    client.redis.hset(keys.job("odd"), "meta", json.dumps({"blob": "\ud800"}))
    with reaping(client.redis, client.settings):
        for lane in LANES:
            client.submit(blob, id=f"good-{lane}", lane=lane)
            assert client.wait(f"good-{lane}", timeout_s=50).status == "completed"
        assert client.wait("odd", timeout_s=50).status == "completed"
        for key in (keys.LEASES, *(of(lane) for lane in LANES for of in (keys.queue, keys.intermediate))):
            until(lambda key=key: not client.redis.exists(key))
        until(lambda: client.redis.hkeys(keys.WORKERS) == [service.name.encode()])
    assert defects(caplog) == []


def test_limits_are_there_from_the_start_and_come_back(redis: Redis, service: WorkerProcess) -> None:
    damage(redis, keys.LIMITS)
    limits.publish(redis, service._settings)
    usual = redis.hgetall(keys.LIMITS)
    assert usual.keys() >= {b"depth:batch", b"depth:interactive", b"blob_ttl"}
    redis.hset(keys.LIMITS, "depth:batch", 7)
    redis.hdel(keys.LIMITS, "blob_ttl")
    redis.delete(keys.CANCELED)
    service._keeper.keep()
    assert redis.exists(keys.CANCELED)
    assert redis.hgetall(keys.LIMITS) == usual | {b"depth:batch": b"7"}, (
        "what others set stays, what is lost comes back"
    )


def test_the_registration_of_a_slot_of_the_wrong_type_keeps_it_from_nothing(
    client: Client, service: WorkerProcess, blob: BlobAudio
) -> None:
    for slot in service._slots:
        damage(client.redis, slot.key)
    jobs = [client.submit(blob, lane=lane) for lane in LANES for _ in range(2)]
    assert [client.wait(job.id, timeout_s=50).status for job in jobs] == ["completed"] * 4
