"""To wait is not to die: whatever a job waits for, and however long, its lease is kept as long as its worker lives."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.settings import Settings
from asrq_worker.audio import url
from asrq_worker.audio.source import Fetcher
from asrq_worker.programs.worker import WorkerProcess
from asrq_worker.queue import slot
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.reaper import Reaper

LEASE_S = 3.0
LONG_S = 3 * LEASE_S


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that hangs is noticed before the lease is over, as elsewhere."""
    monkeypatch.setattr(slot, "_PATIENCE_S", 1.0)


@contextmanager
def _host(client: Client, **settings: Any) -> Iterator[WorkerProcess]:
    usual = {"redis_url": client.settings.redis_url, "backend": "fake", "model": "m", "decoders": 1, "grace_s": 0}
    config = Settings(**usual | {"lease_s": LEASE_S} | settings)
    service = WorkerProcess(config, shutdown=lambda: None)
    service.start()
    try:
        with Reaper(client.redis, config):
            yield service
    finally:
        service.close()


def _kept(redis: Redis, seconds: float) -> bool:
    """Whether some lease is in force all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not redis.zcount(keys.LEASES, time.time(), "+inf"):
            return False
        time.sleep(0.05)
    return True


def _completed_at_once(client: Client, job_id: str) -> bool:
    result = client.wait(job_id, timeout_s=50)
    return (result.status, len(result.attempts)) == ("completed", 1)


def test_for_a_decoder(client: Client, data: Path) -> None:
    with _host(client, lanes="batch:2") as service:
        with service._transcriber.decoders._turn(lambda: None, urgent=True):
            job = client.submit_file(data / "hello-en.flac")
            until(lambda: client.redis.zcard(keys.LEASES))
            assert _kept(client.redis, LONG_S)
        assert _completed_at_once(client, job.id)


class Dripping:
    """A site that sends a file a byte at a time, or not at all, until the test lets it."""

    def __init__(self, content: bytes, *, pause_s: float | None) -> None:
        self._content = content
        self._pause_s = pause_s
        self.go_on = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/talk.flac"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._send, args=(connection,), daemon=True).start()

    def _send(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may have given up
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._content))
            sent = 0
            while not self.go_on.wait(self._pause_s):
                connection.sendall(self._content[sent : sent + 1])
                sent += 1
            connection.sendall(self._content[sent:])


def test_for_bytes_that_come_one_by_one(client: Client, data: Path) -> None:
    site = Dripping((data / "hello-en.flac").read_bytes(), pause_s=0.1)
    with _host(client, lanes="batch:1", url_schemes=("http",), url_private_hosts=True):
        job = client.submit_url(site.url)
        until(lambda: client.redis.zcard(keys.LEASES))
        assert _kept(client.redis, LONG_S)
        site.go_on.set()
        assert _completed_at_once(client, job.id)


@pytest.mark.parametrize(
    ("pause_s", "said"), [(None, "No data came from the URL for 5 s."), (0.1, "The URL sends too slowly:")]
)
def test_bytes_that_do_not_come_are_told_as_such(
    client: Client, monkeypatch: pytest.MonkeyPatch, pause_s: float | None, said: str
) -> None:
    monkeypatch.setattr(url, "_STALL_S", 5.0)
    monkeypatch.setattr(url, "_SLOWEST_S", 5.0)
    site = Dripping(b"f" * 1000, pause_s=pause_s)
    with _host(client, lanes="batch:1", url_schemes=("http",), url_private_hosts=True):
        result = client.wait(client.submit_url(site.url, retries=0).id, timeout_s=120)
    assert result.error is not None
    assert (result.status, result.error.code, len(result.attempts)) == ("failed", "fetch_failed", 1)
    assert result.error.message.startswith(said)


def test_for_an_engine_that_loads(client: Client, data: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with _host(client, model=f"until:{gate}", lanes="batch:1") as service:
        gate.unlink()
        assert service._transcriber.fleet.unload("fake")
        job = client.submit_file(data / "hello-en.flac")
        until(lambda: client.redis.zcard(keys.LEASES))
        assert _kept(client.redis, LONG_S)
        gate.touch()
        assert _completed_at_once(client, job.id)


def test_for_a_redis_that_does_not_take_the_result(client: Client, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end, away, tried = Execution.end, threading.Event(), threading.Event()
    away.set()

    def end_when_it_is_back(*arguments: Any, **named: Any) -> bool:
        tried.set()
        if away.is_set():
            raise RedisConnectionError("away")
        return end(*arguments, **named)

    monkeypatch.setattr(Execution, "end", end_when_it_is_back)
    with _host(client, lanes="batch:1"):
        job = client.submit_file(data / "hello-en.flac")
        assert tried.wait(30)
        assert _kept(client.redis, LONG_S)
        away.clear()
        assert _completed_at_once(client, job.id)


def test_a_thread_that_hangs_is_given_up_without_blame_for_its_worker(
    client: Client, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def hang(*_: object) -> None:
        go_on.wait(60)

    monkeypatch.setattr(Fetcher, "fetch", hang)
    with _host(client, lanes="batch:1"):
        result = client.wait(client.submit_file(data / "hello-en.flac", retries=0).id, timeout_s=120)
        go_on.set()
    assert result.error is not None
    assert result.error.code == "worker_lost"
    assert "killed" not in result.error.message
    assert "hangs there" in (result.error.hint or "")
