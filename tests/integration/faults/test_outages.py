"""Redis refuses, drops, is slow, loads, fails over or is full while jobs run: each ends once; the worker goes on.

What befalls a server is done to both kinds of server, Valkey and Redis, and by the server itself wherever it can be.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration.faults.stage import AUDIO, PASSWORD, Stage, staged
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import BusyLoadingError, RedisError
from support.host import Gate, transcribed
from support.server import Server
from support.waiting import until

from asrq_jobs import keys, scripts
from asrq_jobs.errors import QueueAuthError, QueueError, QueueRefusedError, QueueUnreachableError
from asrq_jobs.request import Request
from asrq_jobs.result import Result
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.process.backoff import Backoff

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server for this platform")


@dataclass(frozen=True)
class Fault:
    """Something that befalls a queue; `refusal` is what a client is told meanwhile."""

    strike: Callable[[Stage], object]
    fix: Callable[[Stage], object]
    refusal: type[QueueError]


def _answers_with(stage: Stage) -> type[Exception] | None:
    try:
        stage.operator.ping()
    except (RedisError, OSError) as error:
        return type(error)
    return None


def _load(stage: Stage) -> None:
    """Start it anew, with more to read than it can in the time of a test."""
    stage.operator.eval("for number = 1, 200000 do redis.call('SET', 'filler', number) end", 0)
    stage.server.kill()
    stage.server.launch(key_load_delay="-3")
    until(lambda: _answers_with(stage) is BusyLoadingError)


def _finish_loading(stage: Stage) -> None:
    stage.operator.config_set("key-load-delay", "0")
    stage.server.wait_ready()


def _run_endlessly(stage: Stage) -> None:
    stage.operator.config_set("busy-reply-threshold", "10")
    stage.operator.connection_pool.get_connection().send_command("EVAL", "while true do end", 0)


def _kill_script(stage: Stage) -> None:
    stage.operator.script_kill()
    stage.server.wait_ready()


def _change_password(stage: Stage) -> None:
    stage.operator.config_set("requirepass", "another")
    stage.operator.client_kill_filter(_type="normal", skipme=True)


FAULTS = {
    "refused": Fault(lambda stage: stage.relay.down(), lambda stage: stage.relay.up(), QueueUnreachableError),
    "restarted": Fault(lambda stage: stage.server.kill(), lambda stage: stage.server.start(), QueueUnreachableError),
    "LOADING": Fault(_load, _finish_loading, QueueRefusedError),
    "BUSY": Fault(_run_endlessly, _kill_script, QueueRefusedError),
    "READONLY": Fault(
        lambda stage: stage.operator.replicaof("127.0.0.1", 1),
        lambda stage: stage.operator.replicaof("NO", "ONE"),
        QueueRefusedError,
    ),
    "wrong password": Fault(
        _change_password, lambda stage: stage.operator.config_set("requirepass", PASSWORD), QueueAuthError
    ),
}
"""Those that keep a worker from handing in what it has done. The others have tests of their own below."""


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries as elsewhere, but shorter: each is tried as often."""
    monkeypatch.setattr("asrq_jobs.connection._BACKOFF", ExponentialWithJitterBackoff(base=0.005, cap=0.1))
    monkeypatch.setattr("asrq_worker.queue.outage._PAUSES", Backoff(0.1, 4.0))


def _quickly(request: Request, control: JobControl, journal: Journal) -> Result:
    control.wake.wait(0.02)
    control.check()
    return transcribed(request)


def _told(caplog: pytest.LogCaptureFixture, event: str) -> int:
    return sum(record.message == event for record in caplog.records)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_has_ended_is_handed_in_afterwards(
    fault: Fault, binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    with staged(binary, tmp_path, gate) as stage:
        stage.client.submit(AUDIO, id="runs")
        assert gate.inside.wait(60)
        fault.strike(stage)
        gate.open.set()
        with pytest.raises(fault.refusal):
            stage.client.submit(AUDIO, id="waits")
        until(lambda: _told(caplog, "commit.waiting"))
        fault.fix(stage)
        stage.client.submit(AUDIO, id="waits")
        stage.all_is_well("runs", "waits")
        until(lambda: _told(caplog, "queue.back"))
        assert stage.host.scripted.runs == ["runs", "waits"]
    assert _told(caplog, "commit.waiting") == 1
    assert 1 <= _told(caplog, "queue.unreachable") <= 6
    assert PASSWORD not in caplog.text


@pytest.mark.usefixtures("_impatient")
def test_what_nobody_could_renew_is_not_taken_for_what_nobody_holds(
    binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    with staged(binary, tmp_path, gate) as stage:
        stage.client.submit(AUDIO, id="runs")
        assert gate.inside.wait(60)
        stage.relay.down()
        gate.open.set()
        until(lambda: _told(caplog, "queue.unreachable") >= 2)  # the host, and the reaper
        (lease,) = stage.operator.zrange(keys.LEASES, 0, -1)
        stage.operator.zadd(keys.LEASES, {lease: time.time() - 1})
        stage.relay.up()
        stage.all_is_well("runs")


@pytest.mark.usefixtures("_impatient")
def test_connections_are_cut_again_and_again(binary: str, tmp_path: Path) -> None:
    with staged(binary, tmp_path, _quickly) as stage:
        ids = [stage.client.submit(AUDIO, id=f"job-{number}").id for number in range(40)]
        for _ in range(10):
            before = stage.relay.accepted
            stage.relay.cut()
            until(lambda before=before: stage.relay.accepted > before)  # type: ignore[misc]  # bound on purpose
        stage.all_is_well(*ids)


@pytest.mark.parametrize("script", ["begin", "end_execution"])
def test_an_answer_is_lost_after_the_script_has_run(binary: str, tmp_path: Path, script: scripts.ScriptName) -> None:
    with staged(binary, tmp_path, _quickly, slots=1) as stage:
        stage.client.submit(AUDIO, id="first")  # so that the server knows the scripts
        stage.client.wait("first", timeout_s=50)
        stage.relay.lose_answer(hashlib.sha1(scripts.source(script).encode(), usedforsecurity=False).hexdigest())
        stage.client.submit(AUDIO, id="second")
        stage.all_is_well("first", "second")
        assert stage.relay.lost.is_set()
        assert stage.host.scripted.runs == ["first", "second"]


def test_a_latency_of_two_seconds(binaries: list[str], tmp_path: Path) -> None:
    with ExitStack() as both:
        stages = [
            both.enter_context(staged(binary, tmp_path / str(at), _quickly, lease_s=15, slots=1))
            for at, binary in enumerate(binaries)
        ]
        for stage in stages:
            stage.client.submit(AUDIO, id="slow")
            stage.relay.delay_s = 2.0
        for stage in stages:
            until(lambda stage=stage: stage.operator.exists(keys.result("slow")), 60)  # type: ignore[misc]  # bound on purpose
        for stage in stages:
            stage.relay.delay_s = 0.0
        for stage in stages:
            stage.all_is_well("slow")


def test_a_server_that_stands_still_for_longer_than_a_lease(
    binaries: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No connection breaks and no call fails, only the answers come late."""
    gate = Gate()
    with ExitStack() as both:
        stages = [both.enter_context(staged(binary, tmp_path / str(at), gate)) for at, binary in enumerate(binaries)]
        for stage in stages:
            stage.client.submit(AUDIO, id="runs")
        for stage in stages:
            until(lambda stage=stage: stage.host.scripted.runs)  # type: ignore[misc]  # bound on purpose
            stage.server.pause()
        time.sleep(3.5)  # the lease is what passes
        for stage in stages:
            stage.server.resume()
        until(lambda: _told(caplog, "reaper.late") >= len(stages))
        gate.open.set()
        for stage in stages:
            stage.all_is_well("runs")


def test_a_failover_to_the_replica(binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The old primary lives on as a replica, so connections to it stay open and answer READONLY."""
    gate = Gate()
    options = {"masterauth": PASSWORD, "repl_diskless_sync_delay": "0"}
    second = Server(binary, tmp_path / "2", requirepass=PASSWORD, **options)
    with second as url, Redis.from_url(url) as replica, staged(binary, tmp_path / "1", gate, **options) as stage:
        replica.replicaof("127.0.0.1", stage.server.port)
        until(lambda: replica.info("replication")["master_link_status"] == "up")
        ids = [stage.client.submit(AUDIO, id=f"job-{number}").id for number in range(20)]
        assert gate.inside.wait(60)
        stage.operator.execute_command("FAILOVER", "TO", "127.0.0.1", str(second.port))
        until(lambda: stage.operator.info("replication")["role"] == "slave")
        stage.relay.server = ("127.0.0.1", second.port)
        gate.open.set()
        stage.all_is_well(*ids)
        assert stage.operator.info("replication")["role"] == "slave"
    assert _told(caplog, "queue.unreachable") <= 4


@pytest.mark.usefixtures("_impatient")
def test_out_of_memory(binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing new is taken, and nothing is lost: ending a job frees before it writes, which a full server allows."""
    gate = Gate()
    with staged(binary, tmp_path, gate) as stage:
        client = stage.client
        client.submit(AUDIO, id="runs")
        assert gate.inside.wait(60)
        uploaded = client.upload(b"audio")
        stage.operator.config_set("maxmemory", "1mb")
        with pytest.raises(QueueRefusedError):
            client.submit(uploaded, id="uploaded")
        with pytest.raises(QueueRefusedError) as raised:
            client.submit(AUDIO, id="waits")
        assert (raised.value.code, raised.value.retryable) == ("queue_refused", True)
        assert "is full" in raised.value.message
        assert "maxmemory" in (raised.value.hint or "")
        with pytest.raises(QueueRefusedError):
            client.upload(b"other audio")
        gate.open.set()
        assert client.wait("runs", timeout_s=50).status == "completed"
        until(lambda: _told(caplog, "queue.unreachable"))
        stage.operator.config_set("maxmemory", "0")
        client.submit(AUDIO, id="waits")
        stage.all_is_well("runs", "waits")
    assert _told(caplog, "queue.unreachable") <= 6


def test_what_ends_while_the_worker_drains_is_handed_in_when_the_server_is_back(
    binary: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    # A busy disk may keep the last writes from the file, and nobody would take the job then.
    with staged(binary, tmp_path, gate, slots=1, appendfsync="always") as stage:
        stage.client.submit(AUDIO, id="runs")
        assert gate.inside.wait(60)
        for slot in stage.host.slots:
            slot.loop.stop()
        stage.server.kill()
        gate.open.set()
        until(lambda: _told(caplog, "commit.waiting"))
        stage.server.start()
        assert stage.host.slots[0].loop.join(20)
        stage.all_is_well("runs")
