"""Whether what is served here can do what a request asks: decided before any work."""

from __future__ import annotations

from asrq_jobs import languages
from asrq_jobs.errors import NotServedError, UnsupportedOptionError
from asrq_jobs.request import Request
from asrq_worker.backends.base import Capabilities, ChunkOptions, Identity


def admit(request: Request, served: Identity, can: Capabilities) -> ChunkOptions:
    """Return the options for the backend.

    Raises:
        NotServedError: the request names another backend or model.
        UnsupportedOptionError: the backend cannot do something that is asked.
    """
    for what, asked, here in (("backend", request.backend, served.backend), ("model", request.model, served.model)):
        if asked is not None and asked != here:
            raise NotServedError(
                f"This worker serves the {what} {here}, not {asked}.",
                hint=f"Leave {what} out, or start a worker with --{what} {asked}.",
            )
    language = None if request.language == languages.AUTO else request.language
    if language is None and len(can.languages) == 1:
        (language,) = can.languages  # nothing to detect
    if language is not None and language not in can.languages:
        known = ", ".join(sorted(can.languages)) if len(can.languages) <= 12 else f"{len(can.languages)} languages"
        raise UnsupportedOptionError(
            f"The model {served.model} does not know {languages.NAMES[language]} ({language}).",
            hint=f"It knows {known}. Use another model for this language.",
        )
    for option, asked_for, possible in (
        (f"task={request.task}", True, request.task in can.tasks),
        ("word_timestamps", request.word_timestamps, can.word_timestamps),
        ("prompt", request.prompt is not None, can.prompt),
        ("hotwords", bool(request.hotwords), can.hotwords),
        ("language=auto", language is None, can.detects_language),
    ):
        if asked_for and not possible:
            raise UnsupportedOptionError(
                f"The backend {served.backend} with the model {served.model} cannot do {option}.",
                hint="Leave the option out, or use a worker with another backend or model.",
            )
    return ChunkOptions(
        language=language,
        task=request.task,
        word_timestamps=request.word_timestamps,
        prompt=request.prompt,
        hotwords=request.hotwords,
    )
