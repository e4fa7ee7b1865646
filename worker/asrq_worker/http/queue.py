"""What the queue is doing, in numbers that tell nothing of single jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from asrq_jobs import languages, serving
from asrq_jobs.request import Lane
from asrq_worker.http import models, problems
from asrq_worker.http.gateway import OurGateway
from asrq_worker.http.lanes import LaneState

router = APIRouter(prefix="/v1/queue", responses=problems.RESPONSES)

_ANYTHING: dict[str, Any] = {
    "languages": tuple(languages.NAMES),
    "tasks": ("transcribe", "translate"),
    **dict.fromkeys(("detects_language", "hotwords", "word_timestamps"), True),
}


class Abilities(BaseModel):
    """What jobs can ask for that name no model. A backend that is not loaded yet may be able to do anything."""

    languages: dict[str, str] = Field(description="Codes, with the names in English.")
    detects_language: bool
    translate: bool
    hotwords: bool
    word_timestamps: bool = Field(description="Whether all backends give them: asking for them excludes none.")


class QueueState(BaseModel):
    """The queue now."""

    workers: int = Field(description="Those that are there.")
    problem: str | None = Field(description="Why nothing is transcribed, if so.")
    lanes: dict[Lane, LaneState]
    can: Abilities


@router.get("")
async def get_queue(gateway: OurGateway) -> QueueState:
    """Say how many workers there are, what they can do, and how much waits for them."""
    workers = await gateway.client.workers()
    return QueueState(
        workers=len(workers),
        problem=serving.nobody(workers),
        lanes=await gateway.lanes.look(),
        can=_abilities(workers),
    )


def _abilities(workers: Mapping[str, Any]) -> Abilities:
    """Return what workers can do; `workers` as a client gets them."""
    loaded = [offer.get("capabilities") for offer in models.offers(workers) if not offer.get("on_request")]
    known = [each if isinstance(each, dict) else _ANYTHING for each in loaded]
    codes = {code for each in known for code in each.get("languages", ())}
    return Abilities(
        languages={code: name for code, name in languages.NAMES.items() if code in codes},
        detects_language=any(each.get("detects_language") for each in known),
        translate=any("translate" in each.get("tasks", ()) for each in known),
        hotwords=any(each.get("hotwords") for each in known),
        word_timestamps=bool(known) and all(each.get("word_timestamps") for each in known),
    )
