"""OpenAI's API for transcriptions: https://platform.openai.com/docs/api-reference/audio."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request, Response, UploadFile
from pydantic import BaseModel

from asrq_jobs import formats, languages
from asrq_jobs.errors import NotServedError, from_info
from asrq_jobs.request import Task
from asrq_jobs.result import Result
from asrq_worker.http import models, problems
from asrq_worker.http.gateway import JOB_HEADER, Gateway, HowAsked, Manner, OurGateway

router = APIRouter(prefix="/v1", responses=problems.RESPONSES)

Form_ = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["segment", "word"]

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_TRANSCRIPT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The transcript, in the format asked for.",
        "content": {_JSON: {"schema": {"type": "object"}}, "text/plain": {"schema": {"type": "string"}}},
        "headers": {JOB_HEADER: {"description": "Id of the job.", "schema": {"type": "string"}}},
    }
}


class Asked(BaseModel):
    """The fields of a form that transcriptions and translations share."""

    model: str
    prompt: str | None
    response_format: Form_
    hotwords: tuple[str, ...]


def asked(
    model: Annotated[str, Form(description="A name that GET /v1/models lists.", min_length=1)],
    prompt: Annotated[str | None, Form(description="Text that precedes the speech.", max_length=4000)] = None,
    response_format: Annotated[Form_, Form()] = "json",
    temperature: Annotated[
        float, Form(ge=0, le=1, description="Accepted and not used: asrq chooses it by what it hears.")
    ] = 0,
    hotwords: Annotated[
        str, Form(max_length=4000, description="Names and terms to expect, separated by commas. An extension.")
    ] = "",
) -> Asked:
    """Read them."""
    del temperature
    words = tuple(word.strip() for word in hotwords.split(",") if word.strip())
    return Asked(model=model, prompt=prompt or None, response_format=response_format, hotwords=words)


WhatAsked = Annotated[Asked, Depends(asked)]


@router.post("/audio/transcriptions", responses=_TRANSCRIPT, response_class=Response)
async def transcriptions(
    request: Request,
    gateway: OurGateway,
    manner: HowAsked,
    what: WhatAsked,
    file: UploadFile,
    language: Annotated[str, Form(description="A code such as ru, a name, or nothing to detect it.")] = "",
    granularities: Annotated[
        list[Granularity], Form(alias="timestamp_granularities[]", description="For verbose_json.")
    ] = ["segment"],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Transcribe a recording, and wait for the transcript."""
    return await _transcript(
        request, gateway, manner, what, file, "transcribe", language or languages.AUTO, set(granularities)
    )


@router.post("/audio/translations", responses=_TRANSCRIPT, response_class=Response)
async def translations(
    request: Request, gateway: OurGateway, manner: HowAsked, what: WhatAsked, file: UploadFile
) -> Response:
    """Translate a recording into English, and wait for the text."""
    return await _transcript(request, gateway, manner, what, file, "translate", languages.AUTO, {"segment"})


async def _transcript(
    request: Request,
    gateway: Gateway,
    manner: Manner,
    what: Asked,
    file: UploadFile,
    task: Task,
    language: str,
    granularities: set[Granularity],
) -> Response:
    job = await gateway.submit(
        file,
        what.model,
        manner,
        task=task,
        language=language,
        prompt=what.prompt,
        hotwords=what.hotwords,
        word_timestamps="word" in granularities,
    )
    request.state.job = job.id
    result = await gateway.outcome(request, job.id, comes_back=manner.comes_back)
    if result.status != "completed" and result.error:
        raise from_info(result.error)
    body, kind = written(result, what.response_format, granularities)
    return Response(body, media_type=kind)


def written(result: Result, form: Form_, granularities: set[Granularity]) -> tuple[str, str]:
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
    return json.dumps(document, ensure_ascii=False), _JSON


@router.get("/models")
async def list_models(gateway: OurGateway) -> models.Models:
    """List what can be asked for now."""
    return models.listing(gateway.settings.http_names, await gateway.client.workers())


@router.get("/models/{model:path}")
async def get_model(gateway: OurGateway, model: str) -> models.Model:
    """Return one of them."""
    listed = (await list_models(gateway)).data
    for each in listed:
        if each.id == model:
            return each
    raise NotServedError(f"There is no model {model!r} here now.")
