"""What a worker counts, and when it takes an engine for hung."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast
from weakref import WeakSet

import pytest
from support.series import series

from asrq_jobs.errors import EngineCrashedError, LeaseLostError
from asrq_jobs.events import Event
from asrq_jobs.policy import Policy
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Attempt, Result, Timings
from asrq_jobs.settings import Settings
from asrq_worker.engine.breaker import CircuitBreaker
from asrq_worker.engine.fleet import Fleet
from asrq_worker.engine.state import EngineState
from asrq_worker.job.context import JobContext
from asrq_worker.job.ending import Ending, EndVerdict
from asrq_worker.monitor.redis_probe import RedisProbe
from asrq_worker.monitor.registry import Metrics
from asrq_worker.monitor.worker import WorkerMonitor
from asrq_worker.process import supervision
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.routing.policy import BackendOutcome

STARTED = "2026-11-22T10:00:02.000000Z"
CONTEXT = JobContext(
    Request.build(id="a", lane="interactive", audio=PathAudio(path="/a.wav")),
    (Attempt(number=1, worker="w", started_at=STARTED),),
    enqueued_at="2026-11-22T10:00:00.000000Z",
)


def completed(**fields: Any) -> Ending:
    """A job that was completed."""
    timings = Timings(decode_s=0.2, inference_s=1.5, total_s=2.0, rtfx=30.0, batch_size=3.0, batch_wait_s=0.3)
    result = Result(id="a", status="completed", backend="whisper", duration=60.0, timings=timings, **fields)
    return Ending("completed", Event(type="completed", at=0), result=result)


def failed(verdict: EndVerdict | None, error: Any) -> Ending:
    """An attempt that an error ended."""
    return Ending(verdict, Event(type="retrying", at=0, error=error.info()))


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> WorkerMonitor:
    monkeypatch.setattr(supervision, "_all", WeakSet())  # what other tests had die in this process is not its affair
    monkeypatch.setattr(RedisProbe, "_ask", lambda _probe: None)
    return WorkerMonitor(Metrics(), Settings())


def test_a_completed_job(monitor: WorkerMonitor) -> None:
    monitor.ended(CONTEXT, completed())
    found = series(monitor.metrics)
    both = 'backend="whisper",lane="interactive"'
    assert found['asrq_attempts_total{backend="whisper",code="",lane="interactive",outcome="completed"}'] == 1
    assert found[f"asrq_audio_seconds_total{{{both}}}"] == 60
    sums = {name.partition("_sum")[0]: value for name, value in found.items() if "_sum{" in name}
    assert sums == {
        "asrq_queue_wait_seconds": 2.0,
        "asrq_decode_seconds": 0.2,
        "asrq_inference_seconds": 1.5,
        "asrq_attempt_seconds": 2.0,
        "asrq_rtfx_ratio": 30.0,
        "asrq_batch_chunks": 3.0,
        "asrq_batch_wait_seconds": 0.3,
    }
    assert not any("fallbacks" in name or "cached" in name for name in found)


def test_a_job_that_another_backend_served(monitor: WorkerMonitor) -> None:
    monitor.ended(CONTEXT, completed(fallback_from="qwen"))
    assert series(monitor.metrics)['asrq_fallbacks_total{backend="qwen",stand_in="whisper"}'] == 1


def test_a_job_that_an_earlier_result_served(monitor: WorkerMonitor) -> None:
    monitor.ended(CONTEXT, completed(cached=True))
    assert series(monitor.metrics)['asrq_cached_total{lane="interactive"}'] == 1


@pytest.mark.parametrize(
    ("verdict", "error", "labels"),
    [
        ("retry", EngineCrashedError("Gone."), 'code="engine_crashed",lane="interactive",outcome="retry"'),
        (None, LeaseLostError("Gone."), 'code="lease_lost",lane="interactive",outcome="lost"'),
    ],
)
def test_an_attempt_without_a_result_gives_no_times(
    monitor: WorkerMonitor, verdict: EndVerdict | None, error: Any, labels: str
) -> None:
    monitor.ended(CONTEXT, failed(verdict, error))
    found = series(monitor.metrics)
    assert found[f'asrq_attempts_total{{backend="",{labels}}}'] == 1
    assert {name.partition("{")[0] for name in found if name.endswith("}") and "_count" in name} == {
        "asrq_queue_wait_seconds_count"
    }


def test_what_backends_did(monitor: WorkerMonitor) -> None:
    monitor.served("qwen", BackendOutcome(at=0, code="out_of_memory"))
    monitor.served("whisper", BackendOutcome(at=0, rtfx=20))
    assert series(monitor.metrics) == {
        'asrq_backend_outcomes_total{backend="qwen",code="out_of_memory"}': 1,
        'asrq_backend_outcomes_total{backend="whisper",code=""}': 1,
    }


class Member(SimpleNamespace):
    """An engine as the fleet has it, in whatever state."""

    def __init__(self, **engine: Any) -> None:
        usual = {
            "final": False,
            "loaded": SimpleNamespace(load_s=1.5, identity=SimpleNamespace(model=r"C:\models\base")),
            "state": EngineState.READY,
            "down_s": lambda: 0.0,
            "within_limits": lambda: True,
            "memory_mb": lambda: 100,
            "failures": SimpleNamespace(restarts=Counter(engine_timeout=2)),
            "replacements": Counter(batches=1),
        }
        steps = SimpleNamespace(steps=Counter())
        super().__init__(
            name="qwen", engine=SimpleNamespace(**usual | engine), scheduler=steps, breaker=CircuitBreaker(failures=1)
        )


def watched(monitor: WorkerMonitor, *members: Member) -> WorkerMonitor:
    """Have the monitor watch these engines."""
    monitor.watch(
        state=lambda: "ready",
        blocked=lambda: None,
        policy=lambda: Policy(backend="qwen", fallback="whisper"),
        fleet=cast("Fleet", SimpleNamespace(members=lambda: members)),
        keeper=cast("LeaseKeeper", SimpleNamespace(held=dict)),
    )
    return monitor


def failing(monitor: WorkerMonitor) -> list[str]:
    """Names of the checks of liveness that do not hold."""
    return [check.name for check in monitor.alive().checks if not check.ok]


def test_engines_are_read_when_asked(monitor: WorkerMonitor) -> None:
    member = Member()
    member.breaker.failed()
    found = series(watched(monitor, member).metrics)
    assert found['asrq_engine_state{backend="qwen",state="ready"}'] == 1
    assert found['asrq_engine_state{backend="qwen",state="failed"}'] == 0
    assert found['asrq_engine_restarts_total{backend="qwen",reason="engine_timeout"}'] == 2
    assert found['asrq_engine_restarts_total{backend="qwen",reason="engine_crashed"}'] == 0
    assert found['asrq_engine_replacements_total{backend="qwen",reason="batches"}'] == 1
    assert found['asrq_out_of_memory_steps_total{backend="qwen",step="batch_halved"}'] == 0
    assert found['asrq_engine_memory_bytes{backend="qwen"}'] == 100 << 20
    assert found['asrq_model_load_seconds{backend="qwen",model="base"}'] == 1.5  # a path is no label
    assert found['asrq_circuit_open{backend="qwen"}'] == 1
    assert found['asrq_slots{lane="batch"}'] == Settings().slots["batch"]


def test_an_engine_past_its_deadline_hangs(monitor: WorkerMonitor) -> None:
    assert failing(watched(monitor, Member())) == []
    assert failing(watched(monitor, Member(within_limits=lambda: False))) == ["engine"]


def test_an_engine_that_was_killed_and_never_came_back_hangs(monitor: WorkerMonitor) -> None:
    """As one in a driver's uninterruptible wait does: SIGKILL does not end it."""
    down = {"state": EngineState.FAILED, "down_s": lambda: 661.0}
    assert failing(watched(monitor, Member(**down))) == ["engine"]
    assert failing(watched(monitor, Member(**down | {"down_s": lambda: 30.0}))) == []
    assert failing(watched(monitor, Member(**down | {"loaded": None}))) == []  # its first load has limits of its own


def test_an_engine_that_was_given_up_is_no_reason_to_restart_the_worker(monitor: WorkerMonitor) -> None:
    assert failing(watched(monitor, Member(final=True, loaded=None, within_limits=lambda: False))) == []


def test_a_worker_without_one_of_its_threads_is_to_be_restarted(
    monitor: WorkerMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "missing", lambda: ["leases"])
    assert failing(watched(monitor, Member())) == ["threads"]
    assert "leases" in monitor.alive().checks[-1].message
