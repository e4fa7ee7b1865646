"""Whether what is served here can do what a request asks: decided before any work."""

from __future__ import annotations

from asrq_jobs import languages
from asrq_jobs.errors import NotServedError, UrlNotAllowedError
from asrq_jobs.request import Request
from asrq_worker.backends.base import Capabilities, ChunkOptions, Identity
from asrq_worker.backends.refusal import unsupported


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
    only = request.languages[0] if len(request.languages) == 1 else None
    options = ChunkOptions(
        language=only if request.language == languages.AUTO else request.language,
        languages=() if only else request.languages,
        task=request.task,
        word_timestamps=request.word_timestamps,
        prompt=request.prompt,
        hotwords=request.hotwords,
    )
    if refused := unsupported(options, can, backend=served.backend, model=served.model):
        raise refused
    return options


def refuse_webhook(request: Request, *, enabled: bool) -> None:
    """Refuse a job with a webhook that would not be delivered.

    Raises:
        UrlNotAllowedError: it names a webhook, and they are not enabled.
    """
    named = {"webhook": request.webhook, "group.webhook": request.group and request.group.webhook}
    given = [field for field, url in named.items() if url is not None]
    if given and not enabled:
        raise UrlNotAllowedError(
            "Webhooks are not enabled here.",
            hint=f"Leave {' and '.join(given)} out, or ask the operator to set ASRQ_WEBHOOK_SECRET.",
        )
