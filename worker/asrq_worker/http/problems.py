"""What an error is over HTTP: a status, and a body in the shape of OpenAI's errors with our code in it."""

from __future__ import annotations

import re
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from asrq_jobs import misfits
from asrq_jobs.errors import (
    AsrqError,
    AudioError,
    AudioTooLargeError,
    CanceledError,
    DeadlineError,
    DeliveryRefusedError,
    EngineUnavailableError,
    ExpiredError,
    FetchError,
    InvalidRequestError,
    JobConflictError,
    JobNotFoundError,
    JobStateError,
    ModelMissingError,
    NoRoomError,
    NotServedError,
    PoisonedError,
    QueueAuthError,
    QueueError,
    QueueFullError,
    QueueRefusedError,
    QueueUnreachableError,
    QueueUnusableError,
    QuotaError,
    RequestError,
    StorageError,
    UnauthorizedError,
    WaitTimeoutError,
)

STATUSES: dict[type[AsrqError], int] = {
    RequestError: 400,
    UnauthorizedError: 401,
    NotServedError: 404,
    AudioError: 400,
    AudioTooLargeError: 413,
    FetchError: 502,
    QueueUnreachableError: 503,
    QueueRefusedError: 503,
    QueueFullError: 429,
    QuotaError: 429,
    JobConflictError: 409,
    JobNotFoundError: 404,
    JobStateError: 409,
    WaitTimeoutError: 504,
    StorageError: 503,
    NoRoomError: 503,
    PoisonedError: 422,
    DeliveryRefusedError: 400,
    DeadlineError: 504,
    ExpiredError: 503,
    CanceledError: 409,
}
"""Of an error and what derives from it; of any other 500."""
RETRY_AFTER_S = 10
"""When a client that was turned away for now may try again, where nothing more is known."""

_COMMAND = re.compile(r"\basrq (list|models|retry|up|wait)\b")
_HINTS: dict[type[AsrqError], str] = {
    JobNotFoundError: "GET /v1/jobs lists those that are here.",
    CanceledError: "POST to the job's /retry to run it after all.",
    WaitTimeoutError: "The job goes on: follow its events.",
    QueueUnreachableError: "Try again later; the operator has to start Redis, or to check ASRQ_REDIS_URL.",
    ModelMissingError: "The operator has to fetch it, or to choose another one.",
    EngineUnavailableError: "Try again later; the worker's log says why no engine is ready.",
}
"""In place of what names a command of `asrq`, which a client over HTTP has not."""
SECRETIVE: dict[type[AsrqError], str] = {
    QueueUnreachableError: "The queue does not answer.",
    QueueRefusedError: "The queue cannot serve now.",
    QueueUnusableError: "The queue will not do what this gateway asks of it.",
    QueueAuthError: "The queue refuses this gateway.",
}
"""In place of sentences with the address of Redis, which is for operators."""
_NO_FILE = "Value error, Expected UploadFile"  # FastAPI's words
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Wrong(BaseModel):
    """What went wrong. `message`, `type`, `param` and `code` are OpenAI's fields, the others ours."""

    message: str
    type: str
    param: str | None = None
    code: str = Field(description="As in docs/reference/errors.md.")
    hint: str | None = None
    retryable: bool = False


class Problem(BaseModel):
    """The body of every answer that is an error."""

    error: Wrong


RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem}, "5XX": {"model": Problem}}
"""How the routes declare it."""


def status_of(error: AsrqError) -> int:
    """Return the status of an error."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def document(error: AsrqError, *, status: int | None = None, param: str | None = None) -> dict[str, Any]:
    """Return the body that tells of an error; `status` where the error alone does not say it."""
    status = status or status_of(error)
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    info = error.info()
    hint = _HINTS.get(type(error)) if _COMMAND.search(info.hint or "") else info.hint
    message = SECRETIVE.get(type(error), info.message)
    wrong = Wrong(message=message, type=kind, param=param, code=info.code, hint=hint, retryable=info.retryable)
    return Problem(error=wrong).model_dump(mode="json")


def answer(error: AsrqError, *, status: int | None = None, param: str | None = None) -> JSONResponse:
    """Return the answer that tells of an error, as `document`."""
    status = status or status_of(error)
    known = error.retry_after_s if isinstance(error, QueueError) else None
    later = {"Retry-After": str(known or RETRY_AFTER_S)} if status in {429, 503} else None
    return JSONResponse(document(error, status=status, param=param), status, headers=later)


class RefusedError(HTTPException):
    """An error that is found while the body is read. FastAPI lets no exception but this kind through from there."""

    def __init__(self, error: AsrqError, status: int) -> None:
        super().__init__(status)
        self.error = error


def of_http(error: HTTPException) -> JSONResponse:
    """Return the answer for what the framework or the reading of the body refuses."""
    if isinstance(error, RefusedError):
        return answer(error.error, status=error.status_code)
    found = answer(InvalidRequestError(f"{error.detail.rstrip('.')}."), status=error.status_code)
    found.headers.update(error.headers or {})  # such as Allow
    return found


def of_validation(error: RequestValidationError) -> JSONResponse:
    """Return the answer for parameters that do not fit, naming the first."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "body"
    said = "it is no file" if str(first["msg"]).startswith(_NO_FILE) else misfits.said(first)
    return answer(InvalidRequestError(f"Field {where!r}: {said}."), param=where)
