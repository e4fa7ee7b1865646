"""Workers and reapers whose clocks are hours or days off: nobody loses a job or a dead letter by that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.processes import Process, ended
from support.waiting import until

from asrq_jobs import BlobAudio, Client, keys
from asrq_jobs.timestamp import iso

WRONG = """
import sys, time
right, ahead = time.time, float(sys.argv[1])
time.time = lambda: right() + ahead
from asrq_jobs.cli import main
sys.argv[:] = ["asrq", *sys.argv[2:]]
sys.exit(main())
"""
HOUR_S, WEEK_S = 3600, 8 * 86_400  # longer than a failed job is kept
LEASE_S = 3.0


@contextmanager
def running(url: str, ahead_s: float, *command: str) -> Iterator[Process]:
    """An `asrq` process whose clock is ahead of that of Redis."""
    env = {"ASRQ_REDIS_URL": url, "ASRQ_DECODERS": "1", "ASRQ_LEASE_S": str(LEASE_S), "ASRQ_REAPER_INTERVAL_S": "0.2"}
    with ended(Process("-c", WRONG, str(ahead_s), *command, env=env, program=sys.executable)) as process:
        yield process


@pytest.fixture
def blob(client: Client, data: Path) -> BlobAudio:
    return client.upload(data / "hello-en.flac")


@pytest.mark.parametrize(
    ("worker_s", "reaper_s"), [(HOUR_S, -HOUR_S), (-HOUR_S, HOUR_S), (0, WEEK_S)], ids=["ahead", "behind", "days"]
)
def test_wrong_clocks_cost_nothing(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path, worker_s: float, reaper_s: float
) -> None:
    worker = ("worker", "--backend", "fake", "--model", "m", "--lanes", "batch:1")
    gate = tmp_path / "gate"
    with ExitStack() as hosts:
        hosts.enter_context(running(valkey_url, reaper_s, "reaper"))
        ours = hosts.enter_context(running(valkey_url, worker_s, *worker))
        ours.wait_for("worker.ready")
        bad = client.submit(client.upload(b"no audio"), id="bad")
        assert client.wait(bad.id, timeout_s=120).status == "failed"
        long = client.submit(blob, id="long", prompt=f"until:{gate}")
        until(lambda: client.state(long.id).status == "processing")
        late = client.submit(blob, id="late", queue_ttl_s=1)
        patient = client.submit(blob, id="patient", queue_ttl_s=600)
        assert client.wait(late.id, timeout_s=120).status == "failed"
        lapses = f"batch/{long.id}/"
        [(lease, first)] = client.redis.zrange(keys.LEASES, 0, -1, withscores=True)
        assert lease.decode().startswith(lapses)
        until(lambda: (client.redis.zscore(keys.LEASES, lease) or 0) > first + 2 * LEASE_S, 60)
        assert client.state(patient.id).status == "queued"
        gate.touch()
        results = [client.wait(job.id, timeout_s=120) for job in (long, patient)]
        assert [result.status for result in results] == ["completed", "completed"]
        assert [len(result.attempts) for result in results] == [1, 1]
        assert {letter.id for letter in client.dead_letters()} == {"bad", "late"}
        assert client.workers(), "it has announced itself for now"
        now = iso(client.redis.time()[0] + 1)
        for result in results:
            assert result.started_at is not None
            assert result.completed_at is not None
            assert (result.created_at or "") <= result.started_at <= result.completed_at <= now
