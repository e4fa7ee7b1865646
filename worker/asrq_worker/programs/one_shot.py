"""The one-shot runner: a worker's transcriber without a queue, for files named on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asrq_jobs.errors import AsrqError
from asrq_jobs.events import Event
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Transcript
from asrq_worker.job.control import JobControl
from asrq_worker.job.transcriber import Transcriber

OnEvent = Callable[[str, Event], None]


class _Journal:
    """Tells a listener; keeps nothing, because there is no later attempt."""

    def __init__(self, job_id: str, on_event: OnEvent) -> None:
        self._job_id = job_id
        self._on_event = on_event

    def event(self, event: Event) -> None:
        self._on_event(self._job_id, event)

    def conclude(self, *events: Event) -> None:
        for event in events:
            self.event(event)

    def reuse(self, key: str) -> None:
        pass

    def load(self) -> dict[str, Transcript]:
        return {}

    def save(self, _key: str, _transcript: Transcript, *events: Event) -> None:
        self.conclude(*events)


def transcribe(
    settings: Settings,
    files: Sequence[Path | AsrqError],
    *,
    on_event: OnEvent = lambda _job_id, _event: None,
    stop: Callable[[Callable[[AsrqError], None]], None] = lambda _stopper: None,
    **options: Any,
) -> Iterator[Result]:
    """Yield one result for each file, in order; a file that fails gives a result with status failed.

    Args:
        settings: what to serve and with which limits.
        files: audio or video files, anywhere; an error stands for one that cannot be had.
        on_event: called with the id of the file's job (`file-1`, `file-2`, …) and each event.
        stop: gets a function that stops everything with the error it is given (for signal handlers).
        **options: fields of `asrq.request/1` such as language.

    Raises:
        SetupError, EngineError: the model cannot be served at all.
        RequestError: the options do not fit.
    """
    # More decoders than files would start for nothing, and take the cores while the model loads.
    settings = settings.model_copy(update={"decoders": min(settings.decoders, max(len(files), 1))})
    requests = [
        Request.build(id=job_id(number), lane="batch", audio=PathAudio(path=_path(file)), **options)
        for number, file in enumerate(files)
    ]
    controls = {request.id: JobControl() for request in requests}

    def stop_all(reason: AsrqError) -> None:
        for control in controls.values():
            control.stop(reason)

    stop(stop_all)
    with Transcriber(settings) as transcriber:
        # Not `Transcriber.wait_ready`: a service goes on with another backend, but a user who asked for this one
        # wants to know why it cannot be loaded.
        if not all(isinstance(file, AsrqError) for file in files):
            transcriber.engine.wait_ready(settings.engine_start_s)

        def run(request: Request, file: Path | AsrqError) -> Result:
            control = controls[request.id]
            try:
                control.check()
                if isinstance(file, AsrqError):
                    raise file
                return transcriber.pipeline.run(request, control, _Journal(request.id, on_event))
            except AsrqError as error:
                return transcriber.pipeline.failure(request, error)

        # One file more than the decoders take, so that the engine never waits for the next.
        with ThreadPoolExecutor(max_workers=settings.decoders + 1) as pool:
            yield from pool.map(run, requests, files)


def job_id(index: int) -> str:
    """Return the id of the job of the file at an index."""
    return f"file-{index + 1}"


def _path(file: Path | AsrqError) -> str:
    return "-" if isinstance(file, AsrqError) else str(file.absolute())
