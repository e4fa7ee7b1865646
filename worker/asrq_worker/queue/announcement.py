"""What the end of a job leaves for its webhook: decided here, written by the script that ends the job."""

from __future__ import annotations

from asrq_jobs.request import Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_jobs.webhook import Delivery, Notice


def announcement(request: Request, result: Result | None, settings: Settings, *, at: float) -> str:
    """Return what the end of a job is to leave in `asrq:webhooks`; "" for nothing.

    Nothing is left for a job that goes on or was canceled, nor where webhooks are not enabled: nobody would take it.
    """
    if request.webhook is None or settings.webhook_secret is None or result is None or result.status == "canceled":
        return ""
    notice = Notice(id=result.id, status=result.status, code=result.error.code if result.error else None, at=at)
    return Delivery(url=request.webhook, notice=notice).model_dump_json()
