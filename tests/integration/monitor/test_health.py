"""/healthz, /readyz and --check of real processes, through everything that may befall them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Asrq, free_port
from integration.monitor.asking import ask, failing, fetch
from redis import Redis
from support.processes import Process, worker
from support.waiting import until

from asrq_jobs import BlobAudio, Client, keys
from asrq_jobs.settings import Settings
from asrq_worker.embedded.valkey import EmbeddedValkey
from asrq_worker.monitor.check import _worker_problem_in, reaper_problem, worker_problem


@pytest.fixture
def blob(client: Client, data: Path) -> BlobAudio:
    return client.upload(data / "hello-en.flac")


def test_a_worker_is_ready_when_it_is_warm_and_not_when_its_engine_is_down_or_it_drains(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path, asrq: Asrq
) -> None:
    port, warm, gate = free_port(), tmp_path / "warm", tmp_path / "gate"
    config = Settings(redis_url=valkey_url, metrics_port=port)
    env = {"ASRQ_DECODERS": "1", "ASRQ_REDIS_URL": valkey_url, "ASRQ_LANES": "batch:1"}
    arguments = ("--backend", "fake", "--model", f"until:{warm}", "--metrics-port", str(port))
    running = Process("worker", *arguments, env=env)
    try:
        running.wait_for("engine.started")
        until(lambda: ask(port, "/readyz")[1]["state"] == "loading")
        assert failing(port) == ["state", "model"]
        assert failing(port, "/healthz") == []
        assert worker_problem(config) == "The worker is loading. Not loaded: fake."
        assert b"\nasrq_worker_ready 0.0\n" in fetch(port, "/metrics")[1]

        warm.touch()
        running.wait_for("worker.ready")
        assert failing(port) == []
        assert b"\nasrq_worker_ready 1.0\n" in fetch(port, "/metrics")[1]
        done = asrq("worker", "--check", "--metrics-port", port)
        assert (done.returncode, done.stdout) == (0, "ok\n")

        warm.unlink()
        running.child("asrq_worker.engine.child").kill()
        until(lambda: failing(port) == ["model"])
        assert failing(port, "/healthz") == []  # it starts again by itself
        warm.touch()
        until(lambda: failing(port) == [])

        job = client.submit(blob, prompt=f"until:{gate}")
        until(lambda: client.state(job.id).status == "processing")
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("worker.draining")
        assert failing(port) == ["state"]
        assert failing(port, "/healthz") == []
        assert worker_problem(config) is None  # it does as it was told
        gate.touch()
        assert running.ended(120) == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)
    assert f"Nothing answers on 127.0.0.1:{port}" in str(worker_problem(config))


def test_an_outage_of_the_queue_makes_worker_and_reaper_unready_and_not_unhealthy(tmp_path: Path) -> None:
    queue_port, worker_port, reaper_port = free_port(), free_port(), free_port()
    valkey = EmbeddedValkey(data=tmp_path / "valkey", port=queue_port)
    valkey.start()
    url = valkey.url
    reaper = Process("reaper", "--metrics-port", str(reaper_port), env={"ASRQ_REDIS_URL": url})
    try:
        with worker(url, lanes="batch:1", metrics_port=worker_port) as running:
            reaper.wait_for("monitor.listening")
            until(lambda: ask(reaper_port, "/readyz")[1]["state"] == "leading")
            assert failing(reaper_port) == failing(worker_port) == []
            valkey.close()
            until(lambda: failing(worker_port) == failing(reaper_port) == ["redis"])
            for port in (worker_port, reaper_port):
                assert failing(port, "/healthz") == []
                assert b"\nasrq_redis_up 0.0\n" in fetch(port, "/metrics")[1]
            valkey = EmbeddedValkey(data=tmp_path / "valkey", port=queue_port)
            valkey.start()
            until(lambda: failing(worker_port) == failing(reaper_port) == [])
            assert running.end() == 0
        assert reaper.end() == 0
    finally:
        if reaper.process.poll() is None:
            reaper.process.kill()
            reaper.process.wait(60)
        valkey.close()


def test_asrq_up_tells_of_its_worker_and_its_reaper_on_one_port() -> None:
    port = free_port()
    running = Process(
        "up",
        "--port",
        "0",
        "--backend",
        "fake",
        "--model",
        "m",
        env={"ASRQ_METRICS_PORT": str(port), "ASRQ_DECODERS": "1"},
    )
    try:
        running.wait_for("worker.ready")
        until(lambda: b"\nasrq_reaper_leading 1.0\n" in fetch(port, "/metrics")[1])
        until(lambda: b"\nasrq_worker_ready 1.0\n" in fetch(port, "/metrics")[1])
        assert running.end() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


def test_a_port_that_is_taken_is_an_error_at_the_start(valkey_url: str, asrq: Asrq) -> None:
    with EmbeddedValkey() as other:
        port = other.rpartition(":")[2].partition("/")[0]
        done = asrq("worker", "--backend", "fake", "--model", "m", "--metrics-port", port)
    assert done.returncode == 1
    assert "[in_use]" in done.stderr
    assert "--metrics-port" in done.stderr


class TestCheckThroughRedis:
    """Without a port, Redis is asked what it knows."""

    def test_worker(self, redis: Redis) -> None:
        def problem() -> str | None:
            return _worker_problem_in(redis, "box")

        assert problem() == "No worker of box has announced itself."
        redis.hset(keys.WORKERS, "box-1a2b3c", json.dumps({"state": "loading"}))
        redis.hset(keys.WORKERS, "other-1a2b3c", json.dumps({"state": "draining"}))
        for at, rubbish in enumerate((b"\xff", b"{", b"[]", b"{}", b"[" * 100_000)):
            redis.hset(keys.WORKERS, b"box-\xff%d" % at, rubbish)
        assert problem() == "The worker is loading."
        redis.hset(keys.WORKERS, "box-1a2b3c", json.dumps({"state": "ready"}))
        assert problem() == "The worker is silent."  # no slot yet
        for number in ("1", "2"):
            redis.sadd(keys.RQ_WORKERS, keys.rq_worker(f"box-1a2b3c.whisper.batch.{number}"))
            redis.set(keys.rq_worker(f"box-1a2b3c.whisper.batch.{number}"), "")
        assert problem() is None
        redis.delete(keys.rq_worker("box-1a2b3c.whisper.batch.2"))
        assert problem() == "The worker is silent."
        redis.hset(keys.WORKERS, "box-1a2b3c", json.dumps({"state": "draining"}))
        assert problem() is None

    def test_a_real_worker(self, valkey_url: str, asrq: Asrq) -> None:
        config = Settings(redis_url=valkey_url, worker_name="box")
        with worker(valkey_url, lanes="batch:1", worker_name="box") as running:
            until(lambda: worker_problem(config) is None)
            assert running.end() == 0
        assert worker_problem(config) == "No worker of box has announced itself."
        done = asrq("worker", "--check")
        assert done.returncode == 1
        assert "has announced itself" in done.stderr

    def test_reaper(self, redis: Redis, valkey_url: str, asrq: Asrq) -> None:
        assert reaper_problem(Settings(redis_url=valkey_url)) == "No reaper leads."
        redis.set(keys.LEADER, "someone")
        assert asrq("reaper", "--check").stdout == "ok\n"

    @pytest.mark.parametrize("problem", [worker_problem, reaper_problem])
    def test_no_redis(self, problem: Callable[[Settings], str | None]) -> None:
        assert "does not answer" in str(problem(Settings(redis_url="redis://127.0.0.1:1")))
