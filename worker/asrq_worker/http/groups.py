"""Groups of jobs: how far each is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from asrq_jobs.groups import GroupState
from asrq_jobs.request import JOB_ID_PATTERN
from asrq_worker.http import problems
from asrq_worker.http.gateway import KeyHolder, OurGateway

router = APIRouter(prefix="/v1/groups", responses=problems.RESPONSES)


@router.get("/{group_id}")
async def get_group(
    gateway: OurGateway, group_id: Annotated[str, Path(pattern=JOB_ID_PATTERN)], whose: KeyHolder
) -> GroupState:
    """Return how far a group is. With a key, it is the group of that name among its own."""
    state = await gateway.client.group(f"{whose.begins}{group_id}" if whose else group_id).state()
    return state.model_copy(update={"id": group_id})
