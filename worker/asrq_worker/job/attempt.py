"""One attempt at a job: run the pipeline, then say what is to become of the job."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from asrq_jobs.errors import AsrqError, CanceledError, InternalError, NotServedError, SetupError, UnsupportedOptionError
from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_jobs.result import Attempt, Result, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_worker.job.begun import Begun, EndVerdict
from asrq_worker.job.control import JobControl
from asrq_worker.job.inference import Journal
from asrq_worker.job.outcome import attempt_limit, decide, in_the_end
from asrq_worker.job.pipeline import Pipeline
from asrq_worker.telemetry import reports
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.task")


@dataclass(frozen=True)
class Taken:
    """A job that a slot has begun. `created_at` and `enqueued_at` are ISO 8601 as RQ writes them."""

    request: Request
    begun: Begun
    created_at: str | None
    enqueued_at: str | None

    @property
    def queue_wait_s(self) -> float | None:
        """Seconds between the last enqueueing and the start."""
        if self.enqueued_at is None:
            return None
        waited = _parse(self.begun.attempts[-1].started_at) - _parse(self.enqueued_at)
        return round(max(0.0, waited.total_seconds()), 4)


@dataclass(frozen=True)
class Ended:
    """How an attempt ended; `verdict` None: another execution holds the job, nothing is to be written."""

    verdict: EndVerdict | None
    event: Event
    attempt: Attempt | None
    result: Result | None = None
    ttl_s: int = 0
    delay_s: float = 0.0


class Task:
    """Runs attempts on one host's pipeline."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        worker: WorkerInfo,
        hands_back: Callable[[Request], bool] = lambda _request: False,
    ) -> None:
        """`hands_back` says whether another worker can serve a job that this one turned out to be unable to serve."""
        self._pipeline = pipeline
        self._hands_back = hands_back
        self._settings = settings
        self._worker = worker

    def run(self, taken: Taken, control: JobControl, journal: Journal) -> Ended:
        """Run one attempt; every failure is an outcome, none is raised."""
        try:
            control.check()
            ended = self._completed(taken, self._pipeline.run(taken.request, control, journal))
        except AsrqError as error:
            ended = self._failed(taken, error)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not take the slot down
            _log.error("job.defect", error=error, id=taken.request.id)
            reports.capture(error, job_id=taken.request.id, lane=taken.request.lane)
            ended = self._failed(taken, InternalError(f"A defect in asrq stopped the job ({type(error).__name__})."))
        _log_end(taken, ended)
        return ended

    def canceled(self, taken: Taken, error: CanceledError) -> Ended:
        """End as canceled an attempt that was to be followed by another one."""
        ended = self._failed(taken, error)
        _log_end(taken, ended)
        return ended

    def _completed(self, taken: Taken, result: Result) -> Ended:
        now = taken.begun.now()
        attempt = taken.begun.attempts[-1].model_copy(update={"ended_at": iso(now)})
        return Ended(
            "completed",
            Event(type="completed", at=now, attempt=attempt.number, rtfx=result.timings.rtfx),
            attempt,
            self._complete(result, taken, attempt),
            ttl_s=self._settings.result_ttl_s,
        )

    def _failed(self, taken: Taken, error: AsrqError) -> Ended:
        now, request, begun = taken.begun.now(), taken.request, taken.begun
        unable = isinstance(error, SetupError | NotServedError | UnsupportedOptionError)
        outcome = decide(
            error,
            attempts=len(begun.attempts) - begun.earlier,
            max_attempts=attempt_limit(request, self._settings),
            retry_delay_s=self._settings.retry_delay_s,
            jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
            elsewhere=unable and self._hands_back(request),
        )
        info = error.info()
        attempt = begun.attempts[-1].model_copy(update={"ended_at": iso(now), "error": info})
        if outcome.verdict in {"failed", "canceled"}:
            error = in_the_end(error, begun.attempts[:-1])
            return Ended(
                outcome.verdict,
                Event(type=outcome.verdict, at=now, attempt=attempt.number, error=error.info()),
                attempt,
                self._complete(self._pipeline.failure(request, error), taken, attempt),
                ttl_s=self._settings.failure_ttl_s if outcome.verdict == "failed" else self._settings.result_ttl_s,
            )
        return Ended(
            None if outcome.verdict == "abandon" else outcome.verdict,
            Event(type="retrying", at=now, attempt=attempt.number, delay_s=round(outcome.delay_s, 3), error=info),
            attempt if outcome.counts else None,
            delay_s=outcome.delay_s,
        )

    def _complete(self, result: Result, taken: Taken, attempt: Attempt) -> Result:
        """Add what only the queue's side knows."""
        return result.model_copy(
            update={
                "timings": result.timings.model_copy(update={"queue_wait_s": taken.queue_wait_s}),
                "attempts": (*taken.begun.attempts[:-1], attempt),
                "worker": self._worker,
                "created_at": taken.created_at,
                "started_at": attempt.started_at,
                "completed_at": attempt.ended_at,
            }
        )


def _parse(at: str) -> datetime:
    return datetime.fromisoformat(at)


def _log_end(taken: Taken, ended: Ended) -> None:
    result, attempt = ended.result or Result(id=taken.request.id, status="failed"), ended.attempt
    error = ended.event.error
    _log.info(
        f"job.{ended.verdict or 'abandoned'}",
        id=taken.request.id,
        lane=taken.request.lane,
        backend=result.backend,
        model=result.model,
        fallback_from=result.fallback_from,
        language=result.language,
        audio_s=result.duration,
        queue_wait_s=taken.queue_wait_s,
        load_s=result.timings.model_load_s,
        decode_s=result.timings.decode_s,
        inference_s=result.timings.inference_s,
        total_s=result.timings.total_s,
        rtfx=result.timings.rtfx,
        attempt=attempt.number if attempt else ended.event.attempt,
        code=error.code if error else None,
        retry_in_s=ended.delay_s or None,
        warnings=",".join(result.warnings) or None,
    )
