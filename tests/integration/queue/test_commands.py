"""Commands to a host, ours and RQ's, over a real Valkey: each reaches what it is about, and nothing makes it deaf."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, cast
from unittest.mock import Mock

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rq.command import PUBSUB_CHANNEL_TEMPLATE, send_shutdown_command

from asrq_jobs import Client, keys
from asrq_jobs.errors import CanceledError, LeaseLostError, SettingsError
from asrq_jobs.settings import Settings
from asrq_worker.job.control import JobControl
from asrq_worker.queue import commands
from asrq_worker.queue.commands import CommandListener
from asrq_worker.queue.execution import Execution
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.slot import Slot

SLOT = "host.fake.batch.1"


class Host:
    """A listener with what it may command; `heard` is set whenever something other than the keeper was."""

    def __init__(self, redis: Redis) -> None:
        self.heard = threading.Semaphore(0)
        self.redis = redis
        self.keeper = LeaseKeeper(redis, lease_s=60)
        self.policy, self.fleet, self.shutdown, self.forget = Mock(), Mock(), Mock(), Mock()
        for told in (self.policy.look, self.fleet.enlist, self.fleet.unload, self.shutdown):
            told.side_effect = lambda *_: self.heard.release()
        slot = cast("Slot", Mock())
        slot.name = SLOT  # type: ignore[misc]  # a property of the real one
        self.listener = CommandListener(redis, self.keeper, self.policy, self.fleet, [slot], self.shutdown, self.forget)

    def hold(self, job_id: str) -> JobControl:
        """Let the host run a job."""
        execution, control = Execution(job_id, "e", "batch", SLOT), JobControl()
        self.redis.zadd(keys.LEASES, {execution.lease: time.time() + 60})
        self.keeper.hold(execution, control)
        return control


@pytest.fixture
def host(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(commands, "_LOOK_S", 0.05)
    host = Host(redis)
    host.listener.loop.start()
    while redis.pubsub_numsub(keys.CONTROL, PUBSUB_CHANNEL_TEMPLATE % SLOT) != [
        (keys.CONTROL.encode(), 1),
        ((PUBSUB_CHANNEL_TEMPLATE % SLOT).encode(), 1),
    ]:
        pass
    yield host
    host.listener.loop.close()


def is_canceled(control: JobControl) -> bool:
    assert control.wake.wait(60)
    with pytest.raises(CanceledError):
        control.check()
    return True


def say(redis: Redis, **command: Any) -> None:
    redis.publish(keys.CONTROL, json.dumps(command))


def test_each_reaches_what_it_is_about(client: Client, redis: Redis, host: Host) -> None:
    other = host.hold("other")
    job = host.hold("job")
    redis.hset(keys.job("job"), mapping={"status": "started", "origin": "asrq-batch"})
    assert client.cancel("job") == "requested"
    assert is_canceled(job)
    assert not other.wake.is_set()
    say(redis, command="policy")
    client.command("load", "whisper")
    client.command("unload", "qwen")
    send_shutdown_command(redis, SLOT)
    for _ in range(4):
        assert host.heard.acquire(timeout=60)
    host.policy.look.assert_called_once_with()
    host.fleet.enlist.assert_called_once_with("whisper")
    host.fleet.unload.assert_called_once_with("qwen")
    host.shutdown.assert_called_once_with()


def test_a_message_is_a_hint_and_the_own_database_decides(redis: Redis, host: Host, valkey_url: str) -> None:
    """What another database of the same Redis is about is heard here as well."""
    job = host.hold("job")
    with Client(Settings(redis_url=f"{valkey_url.removesuffix('/0')}/1")) as elsewhere:
        elsewhere.redis.hset(keys.job("job"), mapping={"status": "started", "origin": "asrq-batch"})
        assert elsewhere.cancel("job") == "requested"
        assert elsewhere.command("load", "whisper") == elsewhere.command("unload", "qwen") == 0
    say(redis, command="load", id="forged", backend="whisper")
    redis.set(keys.command("forged"), json.dumps({"command": "stop", "backend": "whisper"}))
    say(redis, command="unload", id="forged", backend="whisper")
    say(redis, command="policy")  # in the same order: the rest has been looked at
    assert host.heard.acquire(timeout=60)
    assert not job.wake.is_set()
    host.fleet.enlist.assert_not_called()
    host.fleet.unload.assert_not_called()
    redis.set(keys.cancel("job"), "1")
    say(redis, command="cancel", id="job")
    assert is_canceled(job)


def test_what_was_erased_stops(client: Client, redis: Redis, host: Host) -> None:
    """It has lost its lease, and what goes on after the end of a job ends as well."""
    job = host.hold("job")
    redis.hset(keys.job("job"), mapping={"status": "started", "origin": "asrq-batch"})
    client.erase("job")
    assert job.wake.wait(60)
    with pytest.raises(LeaseLostError):
        job.check()
    say(redis, command="policy")  # in the same order: the rest has been looked at
    assert host.heard.acquire(timeout=60)
    host.forget.assert_called_once_with("job")


def test_rq_stops_a_job(redis: Redis, host: Host) -> None:
    job = host.hold("job")
    redis.publish(PUBSUB_CHANNEL_TEMPLATE % SLOT, json.dumps({"command": "stop-job", "job_id": "job"}))
    assert is_canceled(job)


def test_what_was_missed_is_in_the_marks(redis: Redis) -> None:
    host = Host(redis)
    job = host.hold("job")
    redis.set(keys.cancel("job"), "1")
    host.listener.loop.start()
    try:
        assert is_canceled(job)
    finally:
        host.listener.loop.close()


@pytest.mark.parametrize(
    "message",
    [
        b"\xff",
        b"{",
        b"[]",
        b"7",
        b"[" * 100_000,
        b"{}",
        b'{"command":[]}',
        b'{"command":"cancel"}',
        b'{"command":"load"}',
        b'{"command":"load","backend":"whisper"}',
        b'{"command":"load","id":{}}',
    ],
)
def test_what_is_none_is_passed_over(redis: Redis, host: Host, message: bytes) -> None:
    for channel in (keys.CONTROL, PUBSUB_CHANNEL_TEMPLATE % SLOT):
        redis.publish(channel, message)
    say(redis, command="shutdown")  # only RQ's, on the channel of a slot
    redis.publish(PUBSUB_CHANNEL_TEMPLATE % SLOT, '{"command":"kill-horse"}')
    assert redis.publish(keys.CONTROL, '{"command":"policy"}') == 1
    assert host.heard.acquire(timeout=60)
    host.shutdown.assert_not_called()


def test_a_backend_that_is_not_installed_is_refused_and_the_next_command_heard(
    client: Client, redis: Redis, host: Host
) -> None:
    host.fleet.enlist.side_effect = SettingsError("no such backend")
    client.command("load", "nonsense")
    say(redis, command="policy")
    assert host.heard.acquire(timeout=60)


@pytest.mark.parametrize("failure", [RedisConnectionError("away"), ZeroDivisionError()])
def test_neither_an_outage_nor_a_defect_makes_it_deaf(redis: Redis, host: Host, failure: Exception) -> None:
    host.policy.look.side_effect = [failure, *[None] * 1000]
    say(redis, command="policy")
    while host.policy.look.call_count < 2:
        say(redis, command="policy")
        time.sleep(0.05)  # while it is deaf nobody hears
