"""What starts while its queue cannot serve, or loses a child, waits and goes on; what is refused says so at once."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import free_port
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError
from support.ledger import contradictions
from support.processes import Process
from support.server import Server

from asrq_jobs import Client
from asrq_jobs.connection import connect, explain
from asrq_jobs.settings import Settings
from asrq_worker.queue.outage import Outage, ride_out

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")

WORKER = ("worker", "--backend", "fake", "--model", "m")
SERVICES = (WORKER, ("reaper",), ("dashboard", "--port", "0"))


@contextmanager
def _started(*command: str, url: str, **settings: object) -> Iterator[Process]:
    env = {"ASRQ_REDIS_URL": url, "ASRQ_DECODERS": "1", "ASRQ_REDIS_RETRY_S": "60"}
    started = Process(*command, env=env | {f"ASRQ_{name.upper()}": str(value) for name, value in settings.items()})
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait(60)


def test_a_worker_that_starts_while_its_queue_is_full_waits_for_room(binary: str, tmp_path: Path, data: Path) -> None:
    with (
        Server(binary, tmp_path / "server", maxmemory="1") as url,
        Client(Settings(redis_url=url)) as client,
        _started(*WORKER, url=url) as worker,
    ):
        assert "maxmemory" in worker.wait_for("queue.unreachable")["reason"]
        client.redis.config_set("maxmemory", "0")
        worker.wait_for("queue.back")
        worker.wait_for("worker.ready")
        client.submit_file(data / "hello-en.flac", id="job")
        assert client.wait("job", timeout_s=50).status == "completed"
        assert contradictions(client, "job") == []
        assert worker.end() == 0


def test_a_queue_that_stays_full_ends_the_worker_with_a_sentence(binary: str, tmp_path: Path) -> None:
    with (
        Server(binary, tmp_path, maxmemory="1") as url,
        _started(*WORKER, url=url, redis_retry_s=0.1) as worker,
    ):
        assert worker.ended(60) == 3
    said = "\n".join(str(line["event"]) for line in worker.lines)
    assert "is full" in said
    assert "[queue_refused]" in said
    assert "hint: Raise maxmemory" in said


def test_what_is_there_before_its_queue_waits_for_it(binary: str, tmp_path: Path) -> None:
    server = Server(binary, tmp_path / "server")
    with ExitStack() as running:
        early = [running.enter_context(_started(*command, url=server.url)) for command in SERVICES]
        for each in early:
            each.wait_for("queue.unreachable")
        running.enter_context(server)
        for each in early:
            each.wait_for("queue.back")
        early[0].wait_for("worker.ready")
        assert [each.end() for each in early] == [0, 0, 0]


def test_a_queue_that_never_comes_ends_them_with_a_sentence() -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    with ExitStack() as running:
        for alone in [running.enter_context(_started(*command, url=url, redis_retry_s=0.1)) for command in SERVICES]:
            assert alone.ended(60) == 3
            assert any("[queue_unreachable]" in str(line["event"]) for line in alone.lines)


def test_a_wrong_password_ends_them_at_once(binary: str, tmp_path: Path) -> None:
    with Server(binary, tmp_path, requirepass="right") as url, ExitStack() as running:
        wrong = url.replace("//:right@", "//").replace("//", "//:wr0ng-secret@")
        commands = (*SERVICES, ("reaper", "--once"), ("list",))
        for refused in [
            running.enter_context(_started(*command, url=wrong, redis_retry_s=600)) for command in commands
        ]:
            assert refused.ended(60) == 3
            said = "\n".join(str(line["event"]) for line in refused.lines)
            assert "[queue_auth]" in said
            assert "hint: Check the user and password in ASRQ_REDIS_URL." in said
            assert "wr0ng-secret" not in said
            assert "Traceback" not in said


def _fill(redis: Redis, _folder: Path) -> None:
    redis.config_set("maxmemory", "1")


def _want_replicas(redis: Redis, _folder: Path) -> None:
    redis.config_set("min-replicas-to-write", "1")


def _demote(redis: Redis, _folder: Path) -> None:
    redis.replicaof("127.0.0.1", 1)


def _fail_to_save(redis: Redis, folder: Path) -> None:
    redis.config_set("save", "3600 1")
    shutil.rmtree(folder)
    redis.bgsave()


def _fix(redis: Redis) -> None:
    redis.replicaof("NO", "ONE")
    for name, value in {"maxmemory": "0", "min-replicas-to-write": "0", "stop-writes-on-bgsave-error": "no"}.items():
        redis.config_set(name, value)


def _failure_of(attempt: Callable[[], None]) -> RedisError:
    while True:  # a server that cannot save learns of it a moment later
        try:
            ride_out(attempt, Outage(), within_s=0)
        except RedisError as error:
            return error


@pytest.mark.parametrize(
    ("damage", "told"),
    [(_fill, "full"), (_want_replicas, "NOREPLICAS"), (_demote, "read only replica"), (_fail_to_save, "MISCONF")],
)
def test_what_a_server_cannot_do_now_is_waited_for(
    binary: str, tmp_path: Path, damage: Callable[[Redis, Path], None], told: str
) -> None:
    server = Server(binary, tmp_path / "server")
    with server as url, connect(Settings(redis_url=url), retry_s=0) as redis, Redis.from_url(url) as operator:
        tried = threading.Event()

        def write() -> None:
            try:
                redis.hset("key", "field", "value")
            finally:
                tried.set()

        damage(operator, tmp_path / "server")
        error = explain(_failure_of(write), Settings(redis_url=url))
        assert (error.code, told in error.message, bool(error.hint)) == ("queue_refused", True, True)
        tried.clear()
        waiting = threading.Thread(target=ride_out, args=(write, Outage()), kwargs={"within_s": 60})
        waiting.start()
        assert tried.wait(20)
        assert waiting.is_alive()
        _fix(operator)
        waiting.join(20)
        assert not waiting.is_alive()
        assert redis.hget("key", "field") == b"value"


def test_what_is_refused_is_not_waited_for(binary: str, tmp_path: Path) -> None:
    with Server(binary, tmp_path) as url, Redis.from_url(url) as redis:
        redis.acl_setuser("guest", enabled=True, passwords=["+p"], categories=["+@read"], keys=["*"])
        redis.set("text", "none that can be pushed to")
        began = time.monotonic()
        with Redis.from_url(url.replace("//", "//guest:p@")) as guest, pytest.raises(NoPermissionError):
            ride_out(lambda: guest.set("key", "value"), Outage(), within_s=60)
        with pytest.raises(RedisError, match="WRONGTYPE"):
            ride_out(lambda: redis.lpush("text", "value"), Outage(), within_s=60)
        with Redis.from_url(f"{url[:-1]}99") as nowhere, pytest.raises(RedisError, match="out of range"):
            ride_out(nowhere.ping, Outage(), within_s=60)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("module", ["asrq_worker.audio.decode_child", "asrq_worker.engine.child"])
def test_a_child_that_is_killed_while_the_worker_starts_is_replaced(
    client: Client, valkey_url: str, data: Path, module: str
) -> None:
    with _started("worker", "--backend", "fake", "--model", "sleep:0.5", url=valkey_url) as worker:
        struck = _first(worker, module)
        os.kill(struck, signal.SIGKILL)
        worker.wait_for("worker.ready")
        assert worker.child(module).pid != struck
        job = client.submit_file(data / "hello-en.flac")
        result = client.wait(job.id, timeout_s=50)
        assert (result.status, len(result.attempts)) == ("completed", 1)
        assert worker.end() == 0


def _first(worker: Process, module: str) -> int:
    """The process id of a child as soon as there is one, long before it has loaded anything."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in worker.children():
            try:
                if module in child.cmdline():
                    return child.pid
            except psutil.Error:
                continue
        time.sleep(0.005)  # a process that starts sends no signal
    raise AssertionError(f"no {module}")
