"""Engines that are replaced, run out of memory, hang or do not come back, under a real worker."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from support.needs import missing
from support.processes import Process, all_gone, worker
from support.waiting import until

from asrq_jobs import BlobAudio, Client, keys
from asrq_worker.backends.whisper import models

ENGINE = "asrq_worker.engine.child"


@pytest.fixture
def blob(client: Client, data: Path) -> BlobAudio:
    return client.upload(data / "hello-en.flac")


def _whisper() -> dict[str, Any]:
    if not any(model.name == "tiny.en" and model.ready for model in models.available(Path())):
        missing("the model tiny.en (the extra demo)")
    return {"backend": "whisper", "model": "tiny.en"}


def _said(running: Process, event: str) -> list[dict[str, object]]:
    return [line for line in running.lines if line["event"] == event]


def test_whisper_is_replaced_while_jobs_run(client: Client, valkey_url: str, blob: BlobAudio) -> None:
    with worker(valkey_url, **_whisper(), lanes="batch:3", engine_max_batches=3) as running:
        first = running.child(ENGINE)
        results = [client.wait(job.id, timeout_s=120) for job in [client.submit(blob, language="en") for _ in range(7)]]
        until(lambda: not first.is_running())
        replaced = _said(running, "engine.replacing")
        assert client.wait(client.submit(blob, language="en").id, timeout_s=120).text == results[0].text
        children = running.children()
        assert running.end() == 0
        assert all_gone(children)
    assert {(result.status, len(result.attempts)) for result in results} == {("completed", 1)}
    assert len({result.text for result in results}) == 1
    assert "open the window" in (results[0].text or "").lower()
    assert [line["reason"] for line in replaced[:1]] == ["batches"]
    assert not _said(running, "engine.failed")


def test_short_memory_is_told_in_events_and_log_and_fails_only_the_job_that_does_not_fit(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    with worker(valkey_url, lanes="batch:3") as running:
        hopeless = client.submit(blob, language="en", prompt="oom", retries=0)
        fits_anew = client.submit(blob, language="en", prompt=f"oom-in:{tmp_path / 'pid'}")
        plain = client.submit(blob, language="en")
        failed, renewed, bystander = (client.wait(job.id, timeout_s=120) for job in (hopeless, fits_anew, plain))
        assert running.end() == 0
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "out_of_memory")
    assert [(each.status, len(each.attempts)) for each in (renewed, bystander)] == [("completed", 1)] * 2
    steps = [event.step for event in client.events(hopeless.id, timeout_s=60) if event.step]
    assert steps[-1] == "given_up"
    logged = [(line["id"], line["step"]) for line in _said(running, "job.out_of_memory")]
    assert [step for job_id, step in logged if job_id == hopeless.id] == steps
    assert {job_id for job_id, _ in logged} == {hopeless.id, fits_anew.id}
    assert {line["reason"] for line in _said(running, "engine.replacing")} == {"out_of_memory"}


def test_an_engine_that_does_not_come_back_leaves_new_jobs_to_the_fallback(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    _whisper()
    loads = tmp_path / "loads"
    loads.touch()
    stand_in = {"fallback": "whisper", "whisper_model": "tiny.en", "fallback_warm": True}
    with worker(valkey_url, model=f"crash-unless:{loads}", lanes="batch:2", lease_s=3, **stand_in) as running:
        assert client.wait(client.submit(blob, language="en").id, timeout_s=120).backend == "fake"
        loads.unlink()
        engines = [child for child in running.children() if ENGINE in child.cmdline()]
        for engine in engines:
            engine.kill()
        until(lambda: sum(line.get("backend") == "fake" for line in _said(running, "engine.failed")) >= 3)
        result = client.wait(client.submit(blob, language="en").id, timeout_s=50)
        until(lambda: _engine_state(client, "fake") == "failed")
        loads.touch()
        until(lambda: _engine_state(client, "fake") == "ready")
        again = client.wait(client.submit(blob, language="en").id, timeout_s=50)
        assert running.end() == 0
    assert (result.status, result.backend, result.fallback_from) == ("completed", "whisper", "fake")
    assert "fallback:engine_unavailable" in result.warnings
    assert (again.backend, again.fallback_from) == ("fake", None)
    pauses = [line["again_in_s"] for line in _said(running, "engine.failed") if line["backend"] == "fake"]
    assert pauses[:3] == [0.0, 1.0, 2.0]


def _engine_state(client: Client, backend: str) -> str:
    hosts = cast("dict[bytes, bytes]", client.redis.hgetall(keys.WORKERS))
    (host,) = (json.loads(status) for status in hosts.values())
    return str(host["engines"][backend]["state"])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_sigterm_does_not_wait_for_an_engine_that_hangs(
    client: Client, valkey_url: str, blob: BlobAudio, tmp_path: Path
) -> None:
    """Stopped, it is as deaf as native code that never returns: it does not even see its pipe close."""
    began = tmp_path / "began"
    with worker(valkey_url, lanes="batch:1", grace_s=0) as running:
        job = client.submit(blob, language="en", prompt=f"touch:{began} until:{tmp_path / 'never'}")
        until(began.exists)
        children = running.children()
        running.child(ENGINE).send_signal(signal.SIGSTOP)
        began_at = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - began_at < 15
        assert all_gone(children)
    state = client.state(job.id)
    assert (state.status, state.attempt) == ("queued", 0)
