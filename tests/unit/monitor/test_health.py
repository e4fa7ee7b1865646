"""What health is judged by."""

from __future__ import annotations

from asrq_worker.monitor import health


def failed(judged: health.Health) -> list[str]:
    """Names of the checks that do not hold."""
    return [check.name for check in judged.checks if not check.ok]


def test_a_worker_lives_unless_an_engine_hangs_or_a_thread_has_ended() -> None:
    assert health.worker_lives("loading", hanging=[], ended=[]).ok
    judged = health.worker_lives("ready", hanging=["qwen"], ended=["host.whisper.batch.1"])
    assert failed(judged) == ["engine", "threads"]
    assert [check.message for check in judged.checks] == ["Hanging: qwen.", "Ended: host.whisper.batch.1."]


def test_a_worker_serves_when_it_is_ready_warm_and_reaches_redis() -> None:
    def judge(
        state: str = "ready",
        warm: tuple[str, ...] = ("qwen",),
        error: str | None = None,
        blocked: str | None = None,
    ) -> list[str]:
        serving = ["qwen", "whisper"]
        return failed(health.worker_serves(state, serving=serving, warm=warm, blocked=blocked, redis_error=error))

    assert judge() == []
    assert judge(blocked="No space left.") == ["storage"]
    assert judge(warm=("whisper",)) == []  # the one that stands in
    assert judge(warm=("onnx",)) == ["model"]
    assert judge(state="draining") == ["state"]
    assert judge(state="loading", warm=()) == ["state", "model"]
    assert judge(error="Redis does not answer.") == ["redis"]


def test_a_reaper_is_to_be_restarted_only_if_redis_is_not_to_blame() -> None:
    def lives(silent_s: float, error: str | None = None) -> bool:
        return health.reaper_lives("leading", silent_s=silent_s, patience_s=60, redis_error=error, ended=[]).ok

    assert lives(59)
    assert not lives(61)
    assert lives(61, "Redis does not answer.")
    assert not health.reaper_lives("leading", silent_s=0, patience_s=60, redis_error=None, ended=["courier"]).ok


def test_a_reaper_serves_once_it_has_looked() -> None:
    def judge(state: str, silent_s: float = 1, error: str | None = None) -> list[str]:
        return failed(health.reaper_serves(state, silent_s=silent_s, patience_s=60, redis_error=error))

    assert judge("leading") == judge("standby") == []
    assert judge("starting") == ["rounds"]
    assert judge("leading", silent_s=61, error="gone") == ["rounds", "redis"]


def test_the_document() -> None:
    document = health.Health("ready", (health.Requirement("redis", False, "Gone."),)).document()
    assert document == {
        "ok": False,
        "state": "ready",
        "checks": [{"name": "redis", "ok": False, "message": "Gone."}],
    }
