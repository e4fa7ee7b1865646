"""What the queue is doing, in numbers that tell nothing of single jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from asrq_jobs import keys, languages, serving
from asrq_jobs.aio import AsyncClient
from asrq_jobs.connection import queue_errors
from asrq_jobs.request import LANES, Lane
from asrq_worker.http import models, problems
from asrq_worker.http.gateway import OurGateway

router = APIRouter(prefix="/v1/queue", responses=problems.RESPONSES)

_ANYTHING: dict[str, Any] = {
    "languages": tuple(languages.NAMES),
    "tasks": ("transcribe", "translate"),
    **dict.fromkeys(("detects_language", "hotwords", "word_timestamps"), True),
}


class LaneState(BaseModel):
    """A lane now. Jobs that wait for a retry count as waiting."""

    waiting: int
    running: int


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
        lanes=await _lanes(gateway.client),
        can=abilities(workers),
    )


def abilities(workers: Mapping[str, Any]) -> Abilities:
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


async def _lanes(client: AsyncClient) -> dict[Lane, LaneState]:
    """Two calls, whatever the number of jobs."""
    with queue_errors(client.settings):
        lists: set[bytes] = await client.redis.execute_command("SMEMBERS", keys.RQ_QUEUES)  # type: ignore[no-untyped-call]  # redis-py's gap
        pipe = client.redis.pipeline(transaction=False)
        queues = {
            lane: [keys.queue(lane), *(keys.waiting(lane, need) for need in keys.needs(lane, lists))] for lane in LANES
        }
        for lane, names in queues.items():
            pipe.zcard(keys.registry("wip", lane))
            pipe.zcard(keys.registry("scheduled", lane))
            for name in names:
                pipe.llen(name)
        counts = iter(await pipe.execute())
    return {
        lane: LaneState(running=next(counts), waiting=next(counts) + sum(next(counts) for _ in names))
        for lane, names in queues.items()
    }
