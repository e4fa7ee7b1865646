"""A worker that does what a test says: what it has in common on a real queue and in memory."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from asrq_jobs.errors import AsrqError, CanceledError, InternalError, WaitTimeoutError
from asrq_jobs.events import Event
from asrq_jobs.request import LANES, Lane, Request
from asrq_jobs.result import Attempt, Result
from asrq_jobs.timestamp import iso

Answer = Callable[[Request], str | Result]
"""Returns the text of a job, or its result; an `AsrqError` that it raises is what the job fails with."""

NAME = "scripted"
_LOOK_S = 0.1


@dataclass(frozen=True)
class Execution:
    """An attempt at a job that the worker has begun; `attempts` ends with it."""

    request: Request
    execution_id: str
    attempts: tuple[Attempt, ...]

    @property
    def job_id(self) -> str:
        """Id of the job."""
        return self.request.id

    @property
    def lane(self) -> Lane:
        """Lane of the job."""
        return self.request.lane


class Worker(ABC):
    """Begins jobs and ends them when a test says so. Thread-safe."""

    @abstractmethod
    def begin_next(self, lane: Lane, within_s: float) -> Execution | None:
        """Begin the next job of a lane; None if none comes within so many seconds."""

    @abstractmethod
    def event(self, execution: Execution, event: Event) -> None:
        """Tell something of a job, such as a `progress` or a `chunk`."""

    @abstractmethod
    def end(self, execution: Execution, event: Event, result: Result) -> None:
        """Write the end of a job."""

    def take(self, lane: Lane = "interactive", *, within_s: float = 30.0) -> Execution:
        """Wait for a job and begin it.

        Raises:
            WaitTimeoutError: none came within `within_s` seconds.
        """
        execution = self.begin_next(lane, within_s)
        if execution is None:
            raise WaitTimeoutError(
                f"No job came to the lane {lane} within {within_s:g} s.", hint="Does the application use this lane?"
            )
        return execution

    def complete(self, execution: Execution, text: str, **fields: Any) -> None:
        """End a job well; `fields` are further ones of its result."""
        self._finish(execution, Result(id=execution.job_id, status="completed", text=text, **fields))

    def fail(self, execution: Execution, error: AsrqError) -> None:
        """End a job badly."""
        self._finish(execution, Result.from_error(error.info(), execution.job_id))

    def cancel(self, execution: Execution) -> None:
        """End a job as one whose cancellation was asked for."""
        self._finish(execution, Result.from_error(CanceledError("Canceled.").info(), execution.job_id))

    def answer(self, execution: Execution, answer: Answer) -> None:
        """End a job as `answer` says."""
        try:
            found = answer(execution.request)
        except AsrqError as error:
            self.fail(execution, error)
        except Exception as error:
            self.fail(execution, InternalError(f"The answer of the test failed ({type(error).__name__})."))
            raise
        else:
            result = found if isinstance(found, Result) else Result(id="", status="completed", text=found)
            self._finish(execution, result.model_copy(update={"id": execution.job_id}))

    @contextmanager
    def serving(self, answer: Answer) -> Iterator[None]:
        """Answer the jobs of both lanes in a thread, one after the other, until the block ends.

        Raises:
            Exception: what `answer` raised, other than an `AsrqError`, at the end of the block.
        """
        over, failures = threading.Event(), list[Exception]()

        def serve() -> None:
            try:
                while not over.is_set():
                    for lane in LANES:
                        if (execution := self.begin_next(lane, _LOOK_S)) is not None:
                            self.answer(execution, answer)
            except Exception as error:  # noqa: BLE001  # for the thread of the test
                failures.append(error)

        thread = threading.Thread(target=serve, name="scripted-worker", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if failures:
            raise failures[0]

    def _finish(self, execution: Execution, result: Result) -> None:
        at, request = time.time(), execution.request
        attempt = execution.attempts[-1].model_copy(update={"ended_at": iso(at), "error": result.error})
        told = {
            "attempts": (*execution.attempts[:-1], attempt),
            "started_at": attempt.started_at,
            "completed_at": iso(at),
            "metadata": request.metadata,
            "tags": request.tags,
            "keep": request.keep,
        }
        event = Event(
            type=result.status,
            at=at,
            attempt=attempt.number,
            error=result.error,
            metadata=request.metadata or None,
            tags=request.tags or None,
        )
        self.end(execution, event, result.model_copy(update=told))
