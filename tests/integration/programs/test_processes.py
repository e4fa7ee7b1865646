"""A worker that is told to stop, killed, or loses a child, over a real Valkey and with real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.processes import Process, all_gone, worker
from support.waiting import until

from asrq_jobs import BlobAudio, Client, keys
from asrq_jobs.settings import Settings
from asrq_worker.embedded.valkey import EmbeddedValkey
from asrq_worker.reaper.reaper import Reaper


@pytest.fixture
def blob(client: Client, data: Path) -> BlobAudio:
    return client.upload(data / "hello-en.flac")


def _started(client: Client, job_id: str, times: int = 1) -> None:
    seen = 0
    for event in client.events(job_id, timeout_s=30):
        seen += event.type == "started"
        if seen == times:
            return
    raise AssertionError("it ended before")


def test_sigterm_finishes_what_runs_takes_nothing_new_and_leaves_nothing(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with worker(valkey_url, lanes="batch:1", spool_dir=tmp_path) as running:
        first = client.submit(blob, prompt=f"until:{gate}")
        second = client.submit(blob)
        _started(client, first.id)
        children = running.children()
        assert len(children) == 2
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("worker.draining")
        gate.touch()
        assert running.process.wait(30) == 0
        assert all_gone(children)
    assert client.wait(first.id, timeout_s=120).status == "completed"
    assert client.state(second.id).status == "queued"
    assert not list(tmp_path.glob("asrq-spool-*"))
    assert client.redis.zcard(keys.LEASES) == 0
    assert client.workers() == {}


def test_what_does_not_finish_in_time_goes_back_to_the_front_for_free(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    with worker(valkey_url, lanes="batch:1", grace_s=0) as running:
        long = client.submit(blob, prompt=f"until:{tmp_path / 'never'}")
        later = client.submit(blob)
        _started(client, long.id)
        assert running.end() == 0
    assert client.redis.lrange(keys.queue("batch"), 0, -1) == [long.id.encode(), later.id.encode()]
    state = client.state(long.id)
    assert (state.status, state.attempt) == ("queued", 0)


def test_a_second_signal_does_not_wait(client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path) -> None:
    with worker(valkey_url, lanes="batch:1", grace_s=600) as running:
        job = client.submit(blob, prompt=f"until:{tmp_path / 'never'}")
        _started(client, job.id)
        running.process.send_signal(signal.SIGINT)
        running.wait_for("worker.draining")
        assert running.end(signal.SIGINT) == 0
    assert client.state(job.id).status == "queued"


def test_a_killed_worker_leaves_no_process_and_its_job_runs_elsewhere(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    settings = Settings(redis_url=valkey_url, lease_s=3, reaper_interval_s=0.1)
    gate = tmp_path / "gate"
    with worker(valkey_url, lanes="batch:1", lease_s=3, spool_dir=tmp_path) as victim:
        job = client.submit(blob, prompt=f"until:{gate}")
        _started(client, job.id)
        children = victim.children()
        victim.end(signal.SIGKILL)
        assert all_gone(children)
    (left,) = tmp_path.glob("asrq-spool-*")
    os.utime(left, (0, 0))  # spools made a moment ago are spared: their owner may not have locked them yet
    gate.touch()
    reaper = Reaper(client.redis, settings)
    reaper.start()
    try:
        with worker(valkey_url, lanes="batch:1", lease_s=3, spool_dir=tmp_path) as second:
            result = client.wait(job.id, timeout_s=50)
            assert left not in tmp_path.glob("asrq-spool-*"), "the dead worker's spool is swept"
            assert second.end() == 0
    finally:
        reaper.close()
    assert result.status == "completed"
    assert [a.error.code if a.error else None for a in result.attempts] == ["worker_lost", None]
    assert not list(tmp_path.glob("asrq-spool-*"))


def test_a_killed_engine_comes_back_and_the_job_never_notices(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    with worker(valkey_url, lanes="batch:1") as running:
        job = client.submit(blob, prompt=f"crash-once:{once}")
        result = client.wait(job.id, timeout_s=50)
        assert running.end() == 0
    assert (result.status, len(result.attempts)) == ("completed", 1)


def test_input_that_kills_the_engine_each_time_fails_as_poisoned(
    client: Client, valkey_url: str, blob: BlobAudio
) -> None:
    with worker(valkey_url, lanes="batch:2") as running:
        poison = client.submit(blob, prompt="crash")
        innocent = client.submit(blob)
        result = client.wait(poison.id, timeout_s=120)
        assert client.wait(innocent.id, timeout_s=120).status == "completed"
        assert running.end() == 0
    assert result.error is not None
    assert (result.status, result.error.code, len(result.attempts)) == ("failed", "poisoned", 1)


def test_a_hung_engine_is_killed_at_its_deadline(client: Client, valkey_url: str, blob: BlobAudio) -> None:
    with worker(valkey_url, lanes="batch:1", engine_stall_s=0.5, engine_slowness=0.05, lease_s=3) as running:
        job = client.submit(blob, prompt="hang")
        result = client.wait(job.id, timeout_s=120)
        assert running.end() == 0
    assert result.error is not None
    assert result.error.code in {"poisoned", "engine_timeout"}


def test_a_running_job_is_canceled_within_a_second_or_so(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    with worker(valkey_url, lanes="batch:1", lease_s=60) as running:
        job = client.submit(blob, prompt=f"until:{tmp_path / 'never'}")
        _started(client, job.id)
        assert client.cancel(job.id) == "requested"
        result = client.wait(job.id, timeout_s=5)  # the lease keeper looks only every 20 s here
        assert result.status == "canceled"
        assert running.end() == 0


def test_words_of_a_backend_on_stdout_do_no_harm(client: Client, valkey_url: str, blob: BlobAudio) -> None:
    with worker(valkey_url, lanes="batch:1") as running:
        assert client.wait(client.submit(blob, prompt="print:noise").id, timeout_s=50).status == "completed"
        assert running.end() == 0


def test_a_worker_without_its_model_says_so_and_ends(valkey_url: str) -> None:
    failed = Process("worker", "--backend", "fake", "--model", "missing", env={"ASRQ_REDIS_URL": valkey_url})
    assert failed.ended(120) == 1
    text = "\n".join(str(line["event"]) for line in failed.lines)
    assert "model_missing" in text
    assert "Traceback" not in text


def test_rq_shutdown_command_drains(client: Client, valkey_url: str) -> None:
    from rq import Worker
    from rq.command import PUBSUB_CHANNEL_TEMPLATE, send_shutdown_command

    with worker(valkey_url, lanes="batch:1") as running:
        until(lambda: Worker.all(connection=client.redis))
        name = Worker.all(connection=client.redis)[0].name
        until(lambda: client.redis.pubsub_numsub(PUBSUB_CHANNEL_TEMPLATE % name)[0][1])  # it listens a moment later
        send_shutdown_command(client.redis, name)
        assert running.process.wait(30) == 0


def test_an_outage_of_the_queue_is_ridden_out(data: Path, tmp_path: Path) -> None:
    """Valkey goes away while a job runs and comes back with its data: the job ends once, by the same attempt."""
    begun, gate, kept = (tmp_path / name for name in ("begun", "gate", "valkey"))
    valkey = EmbeddedValkey(data=kept)
    valkey.start()
    url = valkey.url
    port = urlsplit(url).port or 0
    with Client(Settings(redis_url=url)) as client, worker(url, lanes="batch:1", lease_s=30) as running:
        job = client.submit_file(data / "hello-en.flac", prompt=f"touch:{begun} until:{gate}")
        waiting = client.submit_file(data / "hello-ru.flac")
        until(begun.exists)  # its audio came through the queue: without that, it would be tried again
        valkey.close()
        running.wait_for("queue.unreachable")
        gate.touch()
        running.wait_for("commit.waiting", 60)
        valkey = EmbeddedValkey(data=kept, port=port)
        valkey.start()
        try:
            results = [client.wait(each.id, timeout_s=120) for each in (job, waiting)]
            assert running.end() == 0
        finally:
            valkey.close()
    assert [(result.status, len(result.attempts)) for result in results] == [("completed", 1), ("completed", 1)]
