"""OpenAI's API for transcriptions: https://platform.openai.com/docs/api-reference/audio."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request, Response, UploadFile
from pydantic import BaseModel

from asrq_jobs import formats, languages
from asrq_jobs.errors import InvalidRequestError, NotServedError, from_info
from asrq_jobs.result import Result
from asrq_jobs.states import missing
from asrq_worker.http import models, problems, sse
from asrq_worker.http.access import Holder
from asrq_worker.http.deltas import Deltas
from asrq_worker.http.gateway import JOB_HEADER, Gateway, HowAsked, KeyHolder, Manner, OurGateway
from asrq_worker.http.uploads import UploadRoute

router = APIRouter(prefix="/v1", responses=problems.RESPONSES, route_class=UploadRoute)

Form_ = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["segment", "word"]

_STREAMED = {"json", "text"}
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_UNKNOWN = {"tokens": [], **dict.fromkeys(("temperature", "avg_logprob", "compression_ratio", "no_speech_prob"), 0.0)}
_TRANSCRIPT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The transcript, in the format asked for.",
        "content": {
            _JSON: {"schema": {"type": "object"}},
            "text/plain": {"schema": {"type": "string"}},
            sse.MEDIA_TYPE: {"schema": {"type": "string"}},
        },
        "headers": {JOB_HEADER: {"description": "Id of the job.", "schema": {"type": "string"}}},
    }
}


class Asked(BaseModel):
    """The fields of a form that transcriptions and translations share."""

    model: str
    prompt: str | None
    response_format: Form_
    hotwords: tuple[str, ...]


async def _asked(
    model: Annotated[str, Form(description="A name that GET /v1/models lists.", min_length=1)],
    prompt: Annotated[str | None, Form(description="Text that precedes the speech.", max_length=4000)] = None,
    response_format: Annotated[Form_, Form()] = "json",
    temperature: Annotated[float, Form(ge=0, le=1, description="Accepted and not used: asrq decodes as with 0.")] = 0,
    hotwords: Annotated[
        str, Form(max_length=4000, description="Names and terms to expect, separated by commas. An extension.")
    ] = "",
) -> Asked:
    """Read them."""
    del temperature
    words = tuple(word.strip() for word in hotwords.split(",") if word.strip())
    return Asked(model=model, prompt=prompt or None, response_format=response_format, hotwords=words)


WhatAsked = Annotated[Asked, Depends(_asked)]


@router.post("/audio/transcriptions", responses=_TRANSCRIPT, response_class=Response)
async def transcriptions(
    request: Request,
    gateway: OurGateway,
    manner: HowAsked,
    whose: KeyHolder,
    what: WhatAsked,
    file: UploadFile,
    language: Annotated[str, Form(description="A code such as ru, a name, or nothing to detect it.")] = "",
    granularities: Annotated[
        list[Granularity], Form(alias="timestamp_granularities[]", description="For verbose_json.")
    ] = ["segment"],  # noqa: B006  # FastAPI copies it
    stream: Annotated[bool, Form(description="Send the text as it comes, as server-sent events.")] = False,
) -> Response:
    """Transcribe a recording, and wait for the transcript."""
    if stream and what.response_format not in _STREAMED:
        raise InvalidRequestError(
            f"What is sent as it comes is the text alone, and no {what.response_format}.",
            hint="Leave out stream, or ask for json or text.",
        )
    job_id = await _submit(
        request, gateway, manner, whose, what, file,
        language=language or languages.AUTO, word_timestamps="word" in granularities,
    )  # fmt: skip
    if stream:
        left = (lambda: None) if manner.comes_back else (lambda: gateway.abandon(job_id))
        return sse.EventStream(_as_it_comes(gateway, job_id), left=left)
    return await _transcript(request, gateway, manner, job_id, what.response_format, set(granularities))


@router.post("/audio/translations", responses=_TRANSCRIPT, response_class=Response)
async def translations(
    request: Request, gateway: OurGateway, manner: HowAsked, whose: KeyHolder, what: WhatAsked, file: UploadFile
) -> Response:
    """Translate a recording into English, and wait for the text."""
    job_id = await _submit(request, gateway, manner, whose, what, file, task="translate")
    return await _transcript(request, gateway, manner, job_id, what.response_format, {"segment"})


async def _submit(
    request: Request,
    gateway: Gateway,
    manner: Manner,
    whose: Holder | None,
    what: Asked,
    file: UploadFile,
    **options: Any,
) -> str:
    job = await gateway.submit(file, what.model, manner, whose, prompt=what.prompt, hotwords=what.hotwords, **options)
    request.state.job = job.id
    return job.id


async def _transcript(
    request: Request, gateway: Gateway, manner: Manner, job_id: str, form: Form_, granularities: set[Granularity]
) -> Response:
    result = await gateway.outcome(request, job_id, comes_back=manner.comes_back)
    body, kind = _written(succeeded(result), form, granularities)
    return Response(body, media_type=kind)


async def _as_it_comes(gateway: Gateway, job_id: str) -> AsyncIterator[bytes]:
    """Yield the text of a job as it grows, and then the whole."""
    deltas = Deltas()
    async for entry in gateway.client.entries(job_id):
        if delta := deltas.after(entry.event):
            yield _delta(delta)
    result = await gateway.client.result(job_id)
    if result is None:
        raise missing(job_id)
    text = succeeded(result).text or ""
    if rest := deltas.rest(text):
        yield _delta(rest)
    yield sse.message({"type": "transcript.text.done", "text": text})


def _delta(text: str) -> bytes:
    return sse.message({"type": "transcript.text.delta", "delta": text})


def succeeded(result: Result) -> Result:
    """Return a result with a transcript.

    Raises:
        AsrqError: what the job ended with instead.
    """
    if result.status != "completed" and result.error:
        raise from_info(result.error)
    return result


def _written(result: Result, form: Form_, granularities: set[Granularity]) -> tuple[str, str]:
    """Return a transcript as OpenAI's API gives it, and its media type."""
    match form:
        case "json":
            return json.dumps({"text": result.text or ""}, ensure_ascii=False), _JSON
        case "text":
            return f"{result.text or ''}\n", _TEXT
        case "srt" | "vtt":
            return formats.render(result, form), _TEXT
    whole = formats.document(result, "verbose_json")
    left_out = {name for name, by in (("segments", "segment"), ("words", "word")) if by not in granularities}
    document = {name: value for name, value in whole.items() if name not in left_out}
    if document.get("segments"):
        document["segments"] = [_without_null(segment) for segment in document["segments"]]
    return json.dumps(document, ensure_ascii=False), _JSON


def _without_null(segment: dict[str, Any]) -> dict[str, Any]:
    """Clients refuse a segment in which a number is missing, and take 0 for one that says nothing against the text."""
    return {name: _UNKNOWN[name] if value is None else value for name, value in segment.items()}


@router.get("/models")
async def list_models(gateway: OurGateway) -> models.Models:
    """List what can be asked for now."""
    return models.listing(gateway.settings.http_names, await gateway.client.workers())


@router.get("/models/{model:path}")
async def get_model(gateway: OurGateway, model: str) -> models.ServedModel:
    """Return one of them."""
    listed = (await list_models(gateway)).data
    for each in listed:
        if each.id == model:
            return each
    raise NotServedError(f"There is no model {model!r} here now.")
