"""Redis refuses, drops, is slow, loads, fails over or is full while jobs run: each ends once; the worker goes on."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chaos.ledger import contradictions, leftovers
from chaos.server import Server, redis_server, valkey
from integration.faults.proxy import Proxy
from integration.worker.host import Gate, Host, serving, transcribed
from integration.worker.processes import Process
from needs import missing
from redis import Redis

from asrq_jobs import Client, keys, scripts
from asrq_jobs.connection import connect
from asrq_jobs.errors import QueueRefusedError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.control import JobControl
from asrq_worker.inference import Journal
from asrq_worker.reaper.reaper import Reaper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")

AUDIO = PathAudio(path="/audio/a.wav")


@pytest.fixture(params=[valkey, redis_server], ids=["valkey", "redis"])
def binary(request: pytest.FixtureRequest) -> str:
    """Path of a server; both kinds in turn."""
    found: str | None = request.param()
    if found is None:
        missing(request.param.__name__)
    return found


@pytest.fixture
def proxy(client: Client) -> Proxy:
    return Proxy(urlsplit(client.settings.redis_url).port or 0)


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def _quickly(request: Request, control: JobControl, journal: Journal) -> Result:
    control.wake.wait(0.02)
    control.check()
    return transcribed(request)


@contextmanager
def hosted(
    url: str, work: Callable[[Request, JobControl, Journal], Result], *, lease_s: float = 3, slots: int = 2
) -> Iterator[Host]:
    """Slots that talk to the queue at this address."""
    settings = Settings(redis_url=url, lease_s=lease_s, retry_delay_s=0.05)
    with connect(settings) as redis, serving(redis, settings, work, slots=slots) as host:
        yield host


@contextmanager
def reaping(client: Client, *, lease_s: float = 3) -> Iterator[None]:
    settings = client.settings.model_copy(update={"lease_s": lease_s, "reaper_interval_s": 0.1})
    with connect(settings) as redis:
        reaper = Reaper(redis, settings)
        reaper.start()
        try:
            yield
        finally:
            reaper.close()


def _all_is_well(client: Client, ids: list[str], *, attempts: int = 1) -> None:
    for each in ids:
        result = client.wait(each, timeout_s=60)
        assert (result.status, len(result.attempts)) == ("completed", attempts)
    assert [wrong for each in ids for wrong in contradictions(client, each)] == []


def _told(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.message == event]


def _until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)  # what is awaited sends no signal


def test_connections_are_cut_again_and_again(client: Client, proxy: Proxy) -> None:
    ids = [client.submit(AUDIO, id=f"job-{number}").id for number in range(40)]
    with proxy as url, reaping(client), hosted(url, _quickly):
        for _ in range(10):
            before = proxy.accepted
            proxy.cut()
            _until(lambda before=before: proxy.accepted > before)  # type: ignore[misc]  # bound on purpose
        _all_is_well(client, ids)
    assert leftovers(client.redis) == []


@pytest.mark.parametrize("script", ["begin", "end_execution"])
def test_an_answer_is_lost_after_the_script_has_run(client: Client, proxy: Proxy, script: scripts.ScriptName) -> None:
    with proxy as url, hosted(url, _quickly, slots=1) as host:
        client.submit(AUDIO, id="first")  # so that the server knows the scripts
        client.wait("first", timeout_s=20)
        proxy.lose_answer(hashlib.sha1(scripts.source(script).encode(), usedforsecurity=False).hexdigest())
        client.submit(AUDIO, id="second")
        _all_is_well(client, ["first", "second"])
        assert proxy.lost.is_set()
        assert host.scripted.runs == ["first", "second"]
    assert leftovers(client.redis) == []


def test_refused_for_longer_than_a_lease_while_a_job_runs(
    client: Client, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """The reaper sees the same outage, and does not take what nobody could renew for what nobody holds."""
    gate = Gate()
    with proxy as url, hosted(url, gate):
        reaper_settings = Settings(redis_url=url, lease_s=3, reaper_interval_s=0.1)
        with connect(reaper_settings) as redis:
            reaper = Reaper(redis, reaper_settings)
            reaper.start()
            client.submit(AUDIO, id="runs")
            assert gate.inside.wait(10)
            proxy.refuse()
            gate.open.set()
            _until(lambda: _told(caplog, "commit.waiting"))
            (lease,) = client.redis.zrange(keys.LEASES, 0, -1)
            client.redis.zadd(keys.LEASES, {lease: time.time() - 1})
            proxy.admit()
            client.submit(AUDIO, id="waits")
            _all_is_well(client, ["runs", "waits"])
            _until(lambda: _told(caplog, "queue.back"))
            reaper.close()
    assert 1 <= len(_told(caplog, "queue.unreachable")) <= 6
    assert len(_told(caplog, "commit.waiting")) == 1
    assert leftovers(client.redis) == []


@pytest.mark.parametrize("error", ["LOADING Redis is loading the dataset in memory", "BUSY Redis is busy"])
def test_answered_with_an_error_for_a_while(
    client: Client, proxy: Proxy, caplog: pytest.LogCaptureFixture, error: str
) -> None:
    gate = Gate()
    with proxy as url, reaping(client, lease_s=15), hosted(url, gate, lease_s=15):
        client.submit(AUDIO, id="runs")
        assert gate.inside.wait(10)
        proxy.answer(error)
        gate.open.set()
        _until(lambda: _told(caplog, "commit.waiting"))
        with Client(Settings(redis_url=url)) as unlucky, pytest.raises(QueueRefusedError) as raised:
            unlucky.submit(AUDIO)
        assert (raised.value.code, raised.value.retryable) == ("queue_refused", True)
        proxy.answer(None)
        client.submit(AUDIO, id="waits")
        _all_is_well(client, ["runs", "waits"])
    assert len(_told(caplog, "queue.unreachable")) <= 4
    assert leftovers(client.redis) == []


def test_a_latency_of_two_seconds(client: Client, proxy: Proxy) -> None:
    with proxy as url, reaping(client, lease_s=15), hosted(url, _quickly, lease_s=15, slots=1):
        client.submit(AUDIO, id="before")
        client.wait("before", timeout_s=20)
        proxy.delay_s = 2.0
        client.submit(AUDIO, id="slow")
        _all_is_well(client, ["slow"])
        proxy.delay_s = 0.0
    assert leftovers(client.redis) == []


def test_a_failover_to_the_replica(binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The old primary lives on as a replica, so connections to it stay open and answer READONLY."""
    first, second = Server(binary, tmp_path / "1"), Server(binary, tmp_path / "2", repl_diskless_sync_delay="0")
    proxy = Proxy(first.port)
    gate = Gate()
    with first as url, second as other_url, proxy as through, Client(Settings(redis_url=through)) as client:
        with Redis.from_url(url) as primary, Redis.from_url(other_url) as replica:
            replica.replicaof("127.0.0.1", first.port)
            _until(lambda: replica.info("replication")["master_link_status"] == "up")
            with reaping(client), hosted(through, gate):
                ids = [client.submit(AUDIO, id=f"job-{number}").id for number in range(20)]
                assert gate.inside.wait(10)
                primary.execute_command("FAILOVER", "TO", "127.0.0.1", str(second.port))
                _until(lambda: primary.info("replication")["role"] == "slave")
                proxy.target_port = second.port
                gate.open.set()
                _all_is_well(client, ids)
            assert primary.info("replication")["role"] == "slave"
        assert leftovers(client.redis) == []
    assert len(_told(caplog, "queue.unreachable")) <= 3


def test_out_of_memory(binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing new is taken, and nothing is lost: ending a job frees before it writes, which a full server allows."""
    gate = Gate()
    with Server(binary, tmp_path) as url, Client(Settings(redis_url=url)) as client:
        with reaping(client), hosted(url, gate):
            client.submit(AUDIO, id="runs")
            assert gate.inside.wait(10)
            uploaded = client.upload(b"audio")
            client.redis.config_set("maxmemory", "1mb")
            with pytest.raises(QueueRefusedError):
                client.submit(uploaded, id="uploaded")
            with pytest.raises(QueueRefusedError) as raised:
                client.submit(AUDIO, id="waits")
            assert (raised.value.code, raised.value.retryable) == ("queue_refused", True)
            assert "out of memory" in raised.value.message
            assert "maxmemory" in (raised.value.hint or "")
            with pytest.raises(QueueRefusedError):
                client.upload(b"other audio")
            gate.open.set()
            assert client.wait("runs", timeout_s=20).status == "completed"
            _until(lambda: _told(caplog, "queue.unreachable"))
            client.redis.config_set("maxmemory", "0")
            client.submit(AUDIO, id="waits")
            _all_is_well(client, ["runs", "waits"])
        assert leftovers(client.redis) == []
    assert len(_told(caplog, "queue.unreachable")) <= 6


def test_a_wrong_password(binary: str, tmp_path: Path) -> None:
    with Server(binary, tmp_path, requirepass="right") as url:
        wrong = url.replace("//", "//:wr0ng-secret@")
        for command in (("worker", "--backend", "fake", "--model", "m"), ("reaper", "--once"), ("list",)):
            refused = Process(*command, env={"ASRQ_REDIS_URL": wrong})
            assert refused.ended(60) == 3, command
            said = "\n".join(str(line["event"]) for line in refused.lines)
            assert "[queue_auth]" in said
            assert "hint: Check the user and password in ASRQ_REDIS_URL." in said
            assert "wr0ng-secret" not in said
            assert "Traceback" not in said


def test_a_password_that_is_changed_under_a_worker(
    binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(binary, tmp_path, requirepass="old") as url:
        good = url.replace("//", "//:old@")
        with Client(Settings(redis_url=good)) as client, hosted(good, _quickly):
            client.redis.config_set("requirepass", "new")
            client.redis.client_kill_filter(_type="normal", skipme=True)
            _until(lambda: _told(caplog, "queue.unreachable"))
            client.redis.config_set("requirepass", "old")
            client.submit(AUDIO, id="after")
            _all_is_well(client, ["after"])
    assert "old@" not in caplog.text


def test_a_worker_that_is_there_before_its_queue(binary: str, tmp_path: Path, data: Path) -> None:
    server = Server(binary, tmp_path / "server")
    env = {"ASRQ_REDIS_URL": server.url, "ASRQ_DECODERS": "1", "ASRQ_REDIS_RETRY_S": "60"}
    early = Process("worker", "--backend", "fake", "--model", "m", env=env)
    try:
        early.wait_for("queue.unreachable")
        with server as url, Client(Settings(redis_url=url)) as client:
            early.wait_for("worker.ready")
            client.submit_file(data / "hello-en.flac", id="job")
            _all_is_well(client, ["job"])
            assert early.end() == 0
    finally:
        early.process.kill()
        early.process.wait(10)


def test_a_queue_that_never_comes_ends_the_worker_with_a_sentence(tmp_path: Path) -> None:
    with Proxy(1) as url:
        pass
    env = {"ASRQ_REDIS_URL": url, "ASRQ_REDIS_RETRY_S": "0.1"}
    alone = Process("worker", "--backend", "fake", "--model", "m", env=env)
    assert alone.ended(60) == 3
    assert any("[queue_unreachable]" in str(line["event"]) for line in alone.lines)
