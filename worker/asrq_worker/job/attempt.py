"""One attempt at a job: run the pipeline, then decide how the job goes on."""

from __future__ import annotations

import random
from collections.abc import Callable

from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    DeadlineError,
    DeliveryError,
    InternalError,
    NotServedError,
    SetupError,
    UnsupportedOptionError,
)
from asrq_jobs.request import Request
from asrq_jobs.result import Attempt, Result, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_worker.job import delivery
from asrq_worker.job import ending as endings
from asrq_worker.job.context import JobContext
from asrq_worker.job.control import JobControl
from asrq_worker.job.ending import Ending
from asrq_worker.job.journal import Journal
from asrq_worker.job.outcome import attempt_limit, decide, in_the_end
from asrq_worker.job.pipeline import Pipeline
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.task")


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

    def run(self, context: JobContext, control: JobControl, journal: Journal) -> Ending:
        """Run one attempt; every failure is an outcome, none is raised."""
        request = context.request
        try:
            control.check()
            if request.deliver:
                delivery.refuse(request.deliver, self._settings, control.check)
            ending = self._completed(context, self._pipeline.run(request, control, journal), control)
        except AsrqError as error:
            ending = self._failed(context, error)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not take the slot down
            _log.defect("job.defect", error, job_id=request.id, lane=request.lane)
            ending = self._failed(context, InternalError(f"A defect in asrq stopped the job ({type(error).__name__})."))
        return ending

    def canceled(self, context: JobContext, error: CanceledError) -> Ending:
        """End as canceled an attempt that was to be followed by another one."""
        return self._failed(context, error)

    def _completed(self, context: JobContext, result: Result, control: JobControl) -> Ending:
        now, request = context.now(), context.request
        ending = self._of_job(context, result, endings.closed(context.attempts[-1], at=now), now)
        if request.deliver and ending.result:
            try:
                delivery.deliver(ending.result, request.deliver, self._settings, control.check)
            except (DeliveryError, DeadlineError) as error:
                return self._failed(context, error, heard=result)
            return endings.delivered(ending)
        return ending

    def _failed(self, context: JobContext, error: AsrqError, *, heard: Result | None = None) -> Ending:
        """End an attempt with an error; `heard` is what is kept of it if it was the last one."""
        now, request = context.now(), context.request
        unable = isinstance(error, SetupError | NotServedError | UnsupportedOptionError)
        outcome = decide(
            error,
            attempts=len(context.attempts) - context.earlier,
            max_attempts=attempt_limit(request, self._settings),
            retry_delay_s=self._settings.retry_delay_s,
            jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
            elsewhere=unable and self._hands_back(request),
        )
        info = error.info()
        attempt = endings.closed(context.attempts[-1], at=now, error=info)
        match outcome.verdict:
            case "failed" | "canceled":
                error = in_the_end(error, context.attempts[:-1])
                return self._of_job(context, self._failure(request, error, heard), attempt, now)
            case "abandon":
                return endings.of_attempt(None, info, attempt, at=now)
            case verdict:
                return endings.of_attempt(
                    verdict, info, attempt, at=now, delay_s=outcome.delay_s, counts=outcome.counts
                )

    def _failure(self, request: Request, error: AsrqError, heard: Result | None) -> Result:
        if heard is None:
            return self._pipeline.failure(request, error)
        return heard.model_copy(update={"status": "failed", "error": error.info(), "cache_key": None})

    def _of_job(self, context: JobContext, result: Result, attempt: Attempt, now: float) -> Ending:
        return endings.of_job(
            result,
            self._settings,
            at=now,
            request=context.request,
            earlier=context.attempts[:-1],
            attempt=attempt,
            queue_wait_s=context.queue_wait_s,
            worker=self._worker,
            created_at=context.created_at,
        )


def log_end(context: JobContext, ending: Ending) -> None:
    """Log how an attempt went: once it has ended, so that nobody waits for the line."""
    request, attempt = context.request, ending.attempt
    result = ending.result or Result(id=request.id, status="failed")
    error = ending.event.error
    _log.info(
        f"job.{ending.verdict or 'abandoned'}",
        id=request.id,
        lane=request.lane,
        backend=result.backend,
        model=result.model,
        fallback_from=result.fallback_from,
        language=result.language,
        audio_s=result.duration,
        queue_wait_s=context.queue_wait_s,
        load_s=result.timings.model_load_s,
        decode_s=result.timings.decode_s,
        inference_s=result.timings.inference_s,
        total_s=result.timings.total_s,
        rtfx=result.timings.rtfx,
        attempt=attempt.number if attempt else ending.event.attempt,
        code=error.code if error else None,
        retry_in_s=ending.delay_s or None,
        warnings=",".join(result.warnings) or None,
    )
