"""What is written of a job that has ended, and of an attempt after which it goes on."""

from __future__ import annotations

import pytest

from asrq_jobs.errors import CanceledError, EngineCrashedError, PoisonedError
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Attempt, Result, Timings, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.job import ending

AT = 1e9
SETTINGS = Settings(webhook_secret="x" * 32, result_ttl_s=100, failure_ttl_s=200)
CRASHED = EngineCrashedError("Gone.").info()
EARLIER = Attempt(number=1, worker="w", started_at=iso(1.0), ended_at=iso(2.0), error=CRASHED)
LAST = Attempt(number=2, worker="w", started_at=iso(3.0))
WORKER = WorkerInfo(name="w", host="h", pid=1, version="0")
REQUEST = Request.build(
    id="job", audio=PathAudio(path="/a.wav"), webhook="https://example.org/", metadata={"order": "4711"}, tags=["night"]
)
COMPLETED = Result(id="job", status="completed", text="said", timings=Timings(rtfx=9.0, total_s=1.0))
FAILED = Result.from_error(PoisonedError("Poison.").info(), "job", task="translate")
CANCELED = Result.from_error(CanceledError("Canceled.").info(), "job")


@pytest.mark.parametrize(
    ("result", "status", "ttl_s"), [(COMPLETED, "completed", 100), (FAILED, "failed", 200), (CANCELED, "canceled", 100)]
)
def test_what_a_job_ends_with_agrees(result: Result, status: str, ttl_s: int) -> None:
    last = ending.closed(LAST, at=AT, error=result.error)
    ended = ending.of_job(
        result, SETTINGS, at=AT, request=REQUEST, earlier=[EARLIER], attempt=last,
        queue_wait_s=0.5, worker=WORKER, created_at=iso(0.0),
    )  # fmt: skip
    assert (ended.verdict, ended.event.type, ended.ttl_s, ended.attempt) == (status, status, ttl_s, last)
    assert (ended.event.at, ended.event.attempt, ended.event.error) == (AT, 2, result.error)
    assert (ended.event.metadata, ended.event.tags) == ({"order": "4711"}, ("night",))
    assert ended.event.rtfx == result.timings.rtfx
    assert ended.result == result.model_copy(
        update={
            "timings": result.timings.model_copy(update={"queue_wait_s": 0.5}),
            "attempts": (EARLIER, last),
            "worker": WORKER,
            "created_at": iso(0.0),
            "started_at": iso(3.0),
            "completed_at": iso(AT),
            "metadata": {"order": "4711"},
            "tags": ("night",),
        }
    )
    assert (last.ended_at, last.error) == (iso(AT), result.error)


def test_a_job_that_no_attempt_ended_has_only_the_earlier_ones() -> None:
    ended = ending.of_job(FAILED, SETTINGS, at=AT, earlier=[EARLIER])
    assert ended.result is not None
    assert (ended.attempt, ended.event.attempt, ended.result.started_at) == (None, None, None)
    assert (ended.result.attempts, ended.result.task) == ((EARLIER,), "translate")
    assert (ended.result.metadata, ended.event.metadata, ended.event.tags) == ({}, None, None)


def test_a_result_that_is_used_again_has_the_labels_of_the_job_that_asks() -> None:
    earlier = COMPLETED.model_copy(update={"metadata": {"order": "1"}, "tags": ("day",), "cached": True})
    ended = ending.of_job(earlier, SETTINGS, at=AT, request=REQUEST)
    assert ended.result is not None
    assert (ended.result.text, ended.result.metadata, ended.result.tags) == ("said", {"order": "4711"}, ("night",))


@pytest.mark.parametrize(
    ("result", "settings", "webhook", "told"),
    [
        (COMPLETED, SETTINGS, "https://example.org/", ("completed", None)),
        (FAILED, SETTINGS, "https://example.org/", ("failed", "poisoned")),
        (CANCELED, SETTINGS, "https://example.org/", None),
        (FAILED, SETTINGS, None, None),
        (FAILED, Settings(), "https://example.org/", None),
    ],
    ids=["completed", "failed", "canceled", "no webhook", "not enabled"],
)
def test_a_webhook_is_told_of_what_it_is_for(
    result: Result, settings: Settings, webhook: str | None, told: tuple[str, str | None] | None
) -> None:
    request = REQUEST.model_copy(update={"webhook": webhook})
    delivery = ending.of_job(result, settings, at=AT, request=request).delivery
    assert (delivery and (delivery.payload.status, delivery.payload.code)) == told
    if delivery:
        assert (delivery.url, delivery.tries) == ("https://example.org/", 0)
        assert (delivery.payload.id, delivery.payload.at) == ("job", AT)
        assert "4711" not in delivery.model_dump_json()


@pytest.mark.parametrize("counts", [True, False])
def test_an_attempt_after_which_the_job_goes_on_leaves_no_result(counts: bool) -> None:
    error = EngineCrashedError("Gone.").info()
    last = ending.closed(LAST, at=AT, error=error)
    ended = ending.of_attempt("retry", error, last, at=AT, delay_s=1.23456, counts=counts)
    assert (ended.verdict, ended.result, ended.delivery, ended.delay_s) == ("retry", None, None, 1.23456)
    assert (ended.event.type, ended.event.attempt, ended.event.delay_s) == ("retrying", 2, 1.235)
    assert (ended.event.error, ended.attempt) == (error, last if counts else None)
