"""The judgements of `asrq doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrq_jobs.errors import StorageError
from asrq_jobs.policy import Policy, Share
from asrq_jobs.settings import Settings
from asrq_worker.doctor import host, queue
from asrq_worker.doctor.check import Check, guarded
from asrq_worker.doctor.examination import examine


@pytest.mark.parametrize(
    ("check", "status"),
    [
        (host.python((3, 11)), "ok"),
        (host.python((3, 10)), "fail"),
        (queue.server({"redis_version": "6.2.0"}, "here"), "ok"),
        (queue.server({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "here"), "ok"),
        (queue.server({"redis_version": "6.0.16"}, "here"), "fail"),
        (queue.persistence({"aof_enabled": 1}), "ok"),
        (queue.persistence({"aof_enabled": 0}), "warn"),
        (queue.eviction({"maxmemory_policy": "noeviction"}), "ok"),
        (queue.eviction({"maxmemory_policy": "allkeys-lru"}), "fail"),
        (queue.webhooks(0, 0.0), "ok"),
        (queue.webhooks(3, 1_764_000_000.0), "warn"),
        (queue.workers({"gpu1": {"state": "loading"}, "gpu2": {"state": "draining"}}), "ok"),
        (queue.workers({"gpu2": {"state": "draining"}}), "warn"),
        (queue.workers({"gpu1": {"state": "blocked", "problem": "No space."}}), "warn"),
        (queue.workers({}), "warn"),
        (queue.reaper(leads=True), "ok"),
        (queue.reaper(leads=False), "warn"),
        (host.computing("Fine.", 2, 2), "ok"),
        (host.computing("Fine.", 99, 2), "warn"),
        (queue.judge_policy(None, Settings()), "ok"),
        (queue.judge_policy(Policy(backend="qwen", fallback="whisper"), Settings()), "ok"),
        (queue.judge_policy(Policy(backend="qwen", canary=Share(backend="house", share=0.1)), Settings()), "warn"),
        (host.memory(4000, model_mb=150, decoders=2), "ok"),
        (host.memory(1000, model_mb=1500, decoders=2), "warn"),
        (host.disk(2**31, Path("/tmp"), longest_s=14_400), "ok"),  # noqa: S108  # only a name
        (host.disk(2**20, Path("/tmp"), longest_s=14_400), "fail"),  # noqa: S108  # only a name
    ],
)
def test_judgements(check: Check, status: str) -> None:
    assert check.status == status
    assert check.message.endswith((".", ")"))
    assert (check.fix is None) == (status == "ok")


def test_settings_that_cannot_be_read_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_BEAM_SIZE", "none")
    last = list(examine())[-1]
    assert (last.name, last.status) == ("settings", "fail")
    assert "beam_size" in last.message


def test_what_serves_is_told_with_where_that_is_said() -> None:
    by_settings = queue.judge_policy(None, Settings(backend="qwen", fallback="whisper")).message
    assert "settings of each worker say what serves: here qwen serves, with the fallback whisper." in by_settings
    by_policy = queue.judge_policy(Policy(backend="qwen"), Settings(backend="whisper")).message
    assert by_policy.startswith("By asrq backend, qwen serves, with the fallback none, whatever ASRQ_BACKEND says (")


def test_keys_of_rq_under_another_name_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker, a reaper and the dashboard refuse to start with them."""
    monkeypatch.setenv("RQ_KEY_PREFIX", "team")
    found = next(check for check in examine() if check.name == "settings")
    assert found.status == "fail"
    assert "RQ_KEY_PREFIX is 'team'" in found.message
    assert "env -u RQ_KEY_PREFIX" in (found.fix or "")


@pytest.mark.parametrize(
    ("error", "says", "fix"),
    [
        (ModuleNotFoundError("No module named 'psutil'"), "psutil", "pip install"),
        (PermissionError(13, "Permission denied", "/secret"), "Permission denied: '/secret'", "ASRQ_MODEL_DIR"),
        (StorageError("No room.", hint="Make some."), "No room.", "Make some."),
        (RuntimeError("all is lost"), "RuntimeError: all is lost", "report"),
    ],
)
def test_a_question_that_fails_is_a_finding(error: Exception, says: str, fix: str) -> None:
    def question() -> Check:
        raise error

    found = guarded("model", question)
    assert (found.name, found.status) == ("model", "fail")
    assert says in found.message
    assert fix in (found.fix or "")
