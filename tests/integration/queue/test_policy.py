"""Backends side by side on one host: fallback, switching at run time, canary, rollback, by hand and by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.processes import worker
from support.waiting import until

from asrq_jobs import BlobAudio, Client, keys, policy
from asrq_jobs.policy import Policy, Share
from asrq_jobs.serving import refuse_unknown
from asrq_jobs.settings import Settings
from asrq_worker.reaper.reaper import Reaper
from asrq_worker.routing.policy import BackendOutcome

WHISPER = {"fallback": "whisper", "whisper_model": "tiny.en", "lanes": "batch:2"}


@pytest.fixture
def blob(client: Client, data: Path) -> BlobAudio:
    return client.upload(data / "hello-en.flac")


@pytest.mark.parametrize(
    ("prompt", "code"), [("fail", "inference_failed"), ("oom", "out_of_memory"), ("crash", "poisoned")]
)
def test_the_fallback_serves_what_the_backend_cannot(
    client: Client, valkey_url: str, blob: BlobAudio, prompt: str, code: str
) -> None:
    with worker(valkey_url, **WHISPER, fallback_warm=True) as running:
        result = client.wait(client.submit(blob, language="en", id="job", prompt=prompt).id, timeout_s=120)
        again = client.wait(client.submit(blob, language="en").id, timeout_s=120)
        logged = running.wait_for("job.completed")
        assert running.end() == 0
    assert (result.status, result.backend, result.fallback_from) == ("completed", "whisper", "fake")
    assert f"fallback:{code}" in result.warnings
    assert result.text
    assert result.timings.model_load_s
    assert result.timings.inference_s
    assert (logged["id"], logged["fallback_from"]) == ("job", "fake")
    assert (logged["load_s"], logged["inference_s"]) == (result.timings.model_load_s, result.timings.inference_s)
    assert client.redis.hget(keys.STATS, f"not_served:fake:{code}") == b"1"
    told = [event for event in client.events("job") if event.fallback_from]
    assert [(event.fallback_from, event.error and event.error.code) for event in told] == [("fake", code)]
    assert (again.backend, again.fallback_from) == ("fake", None)


def test_a_backend_that_does_not_load_leaves_its_jobs_to_the_fallback(
    client: Client, valkey_url: str, blob: BlobAudio
) -> None:
    with worker(valkey_url, model="missing", **WHISPER) as running:
        result = client.wait(client.submit(blob, language="en").id, timeout_s=120)
        assert running.end() == 0
    assert (result.status, result.backend, result.fallback_from) == ("completed", "whisper", "fake")


def _serving(client: Client, blob: BlobAudio, backend: str, within_s: float) -> None:
    """Submit jobs until one is served by the backend; each of them must complete."""
    deadline = time.monotonic() + within_s
    while True:
        result = client.wait(client.submit(blob, language="en").id, timeout_s=120)
        assert result.status == "completed"
        if result.backend == backend and result.fallback_from is None:
            return
        assert time.monotonic() < deadline, f"{backend} does not serve: {result}"


def test_one_command_switches_a_running_worker_and_one_rolls_it_back(
    client: Client, valkey_url: str, blob: BlobAudio
) -> None:
    with worker(valkey_url, backend="whisper", model="tiny.en", lanes="batch:2") as running:
        _serving(client, blob, "whisper", 30)
        assert policy.write(client.redis, None, Policy(backend="fake", fallback="whisper"), reason="set fake", by="me")
        _serving(client, blob, "fake", 20)
        current = policy.read(client.redis)
        assert current is not None
        assert policy.write(client.redis, current, current.rolled_back(), reason="rollback", by="me")
        began = time.monotonic()
        _serving(client, blob, "whisper", 10)
        assert time.monotonic() - began < 10
        assert running.end() == 0
    changes = policy.history(client.redis)
    assert [(change["reason"], change["by"]) for change in changes] == [("rollback", "me"), ("set fake", "me")]


def test_the_backend_of_a_workers_settings_is_known_whatever_the_policy_names(client: Client, valkey_url: str) -> None:
    assert policy.write(client.redis, None, Policy(backend="other"), reason="set other")
    with worker(valkey_url, backend="fake", lanes="batch:1") as running:
        running.wait_for("policy.changed")
        until(lambda: [offer["backend"] for each in client.workers().values() for offer in each["serves"]] == ["other"])
        refuse_unknown("fake", client.workers())
        assert running.end() == 0


def test_a_canary_serves_its_share_and_no_other_job(client: Client, valkey_url: str, blob: BlobAudio) -> None:
    trial = Share(backend="fake", share=0.5)
    assert policy.write(
        client.redis, None, Policy(backend="whisper", fallback="whisper", canary=trial), reason="canary"
    )
    with worker(valkey_url, backend="whisper", model="tiny.en", lanes="batch:2") as running:
        running.wait_for("policy.changed")
        warm = next(f"warm-{n}" for n in range(99) if trial.takes(f"warm-{n}"))
        client.wait(client.submit(blob, language="en", id=warm).id, timeout_s=120)
        results = [client.wait(client.submit(blob, language="en", id=f"job-{n}").id, timeout_s=120) for n in range(8)]
        assert running.end() == 0
    assert {r.id: r.backend for r in results} == {
        f"job-{n}": "fake" if trial.takes(f"job-{n}") else "whisper" for n in range(8)
    }
    assert len({r.backend for r in results}) == 2


def test_a_shadow_is_compared_and_serves_nobody(client: Client, valkey_url: str, blob: BlobAudio) -> None:
    beside = Policy(backend="whisper", shadow=Share(backend="fake", share=1))
    assert policy.write(client.redis, None, beside, reason="shadow fake 100%")
    with worker(valkey_url, backend="whisper", model="tiny.en", lanes="batch:1") as running:
        running.wait_for("policy.changed")
        result = client.wait(client.submit(blob, language="en").id, timeout_s=120)
        running.wait_for("shadow.compared", 30)
        assert running.end() == 0
    assert (result.backend, result.fallback_from) == ("whisper", None)
    assert policy.comparisons(client.redis)["fake"] | {"time_ratio": 0} == {
        "jobs": 1,
        "failed": 0,
        "wer": 1.0,
        "time_ratio": 0,
    }


def test_a_canary_that_fails_is_rolled_back_by_itself(client: Client, valkey_url: str) -> None:
    trial = Policy(backend="whisper", fallback="whisper", canary=Share(backend="qwen", share=0.1))
    assert policy.write(client.redis, None, trial, reason="canary qwen 10%")
    now = time.time() + 1
    for _ in range(20):
        client.redis.lpush(keys.outcomes("qwen"), BackendOutcome(at=now, code="engine_timeout").model_dump_json())
    reaper = Reaper(client.redis, Settings(redis_url=valkey_url), clock=lambda: now + 1)
    assert reaper.run_once().rolled_back == ("qwen",)
    assert reaper.run_once().rolled_back == ()
    current = policy.read(client.redis)
    assert current is not None
    assert (current.backend, current.canary, current.changed_by) == ("whisper", None, "reaper")
    assert "20 of 20 jobs failed, most of them with engine_timeout" in (current.reason or "")


def test_a_change_on_top_of_a_change_is_refused(client: Client) -> None:
    assert policy.write(client.redis, None, Policy(backend="whisper"), reason="first")
    assert not policy.write(client.redis, None, Policy(backend="qwen"), reason="late")
    current = policy.read(client.redis)
    assert current is not None
    assert current.backend == "whisper"


def test_an_engine_is_loaded_and_unloaded_by_command(client: Client, valkey_url: str, blob: BlobAudio) -> None:
    def engines() -> dict[str, str]:
        return {
            name: engine["state"] for worker in client.workers().values() for name, engine in worker["engines"].items()
        }

    with worker(valkey_url, backend="whisper", model="tiny.en", lanes="batch:1", lease_s=3) as running:
        client.wait(client.submit(blob, language="en").id, timeout_s=120)
        while client.command("load", "fake") == 0:  # the worker has not subscribed yet
            time.sleep(0.05)
        until(lambda: engines() == {"whisper": "ready", "fake": "ready"})
        assert client.command("unload", "fake") == 1
        until(lambda: engines() == {"whisper": "ready"})
        assert running.end() == 0
