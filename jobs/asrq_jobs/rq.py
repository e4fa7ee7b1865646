"""What RQ 3 keeps under its keys: a job's hash, its words for a job's status, and its entries of results.

The names of keys are in `keys`. The scripts know the same: those of workers from `prelude.lua`, those of clients each
for itself. `waits_for`, `attempts_before` and `group` are ours; RQ ignores fields that it does not know.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict
from redis.typing import EncodableT, FieldT

from asrq_jobs import keys
from asrq_jobs.result import Keep, Result
from asrq_jobs.states import Status
from asrq_jobs.timestamp import iso

QUEUED: Final = "queued"
SCHEDULED: Final = "scheduled"
STARTED: Final = "started"
FINISHED: Final = "finished"
FAILED: Final = "failed"
"""RQ's words for a job's status, those that are asked for one by one."""
FROM_RQ: Final[Mapping[str, Status]] = {
    QUEUED: "queued",
    SCHEDULED: "queued",
    STARTED: "processing",
    FINISHED: "completed",
    FAILED: "failed",
    "canceled": "canceled",
    "stopped": "canceled",
}
"""RQ's words for a job's status, in the protocol's."""
ENDED: Final = frozenset({FINISHED, FAILED, "canceled", "stopped"})
"""RQ's words for jobs that have ended."""
MAY_RUN: Final = frozenset({QUEUED, SCHEDULED, STARTED, FAILED})
"""RQ's words for jobs that may still run, one that has failed by hand, and so need their uploads."""

STATUS: Final = "status"
ORIGIN: Final = "origin"
WORKER: Final = "worker_name"
CREATED_AT: Final = "created_at"
ENQUEUED_AT: Final = "enqueued_at"
ENDED_AT: Final = "ended_at"
DATA: Final = "data"
DESCRIPTION: Final = "description"
META: Final = "meta"
GROUP: Final = "group"
"""Fields of a job's hash that are read one by one."""
RUNS_THINGS: Final = (
    "success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks", "dependency_id",
    "dependency_ids", "group_id", "repeats_left", "rate_limit_key",
)  # fmt: skip
"""Fields with which a job asks RQ for more than to call its function."""


Read = TypeVar("Read", bound=BaseModel)


class Labels(BaseModel):
    """The fields of a request that come back with its result, and that only clients read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    keep: Keep = "result"

    @classmethod
    def of(cls, data: bytes) -> Labels:
        """Read what a job's hash holds under `data`; nothing if submit.lua did not write it."""
        return _of_request(cls, data)


class Place(BaseModel):
    """Where a request says that its audio is: a path or a URL; neither for what Redis holds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str | None = None
    url: str | None = None

    @classmethod
    def of(cls, data: bytes) -> Place:
        """Read it likewise."""
        return _of_request(_Placed, data).audio


class _Placed(BaseModel):
    audio: Place = Place()


def _of_request(kind: type[Read], data: bytes) -> Read:
    try:
        _, _, (request,), _ = json.loads(data)
        return kind.model_validate(request)
    except (ValueError, TypeError, RecursionError):  # a ValidationError is a ValueError
        return kind()


_SUCCESSFUL, _FAILED = "1", "2"


@dataclass(frozen=True)
class JobHash:
    """A job's hash as text, with None for what is empty or not there. Times are ISO 8601, `status` is RQ's word.

    `data` is what RQ calls, maybe compressed. `attempts_before` counts attempts that do not count against the limit.
    """

    status: str | None
    lane: str
    data: bytes
    description: str | None
    worker: str | None
    waits_for: str | None
    created_at: str | None
    enqueued_at: str | None
    started_at: str | None
    ended_at: str | None
    attempts_before: int

    @property
    def labels(self) -> Labels:
        """What its request says only for the client that wrote it; nothing where it cannot be read."""
        return Labels.of(self.data)

    @classmethod
    def read(cls, raw: Mapping[bytes, bytes]) -> JobHash:
        """Read what Redis holds, whatever somebody has written there."""

        def text(field: str) -> str | None:
            return raw.get(field.encode(), b"").decode(errors="replace") or None

        before = text("attempts_before") or ""
        return cls(
            status=text(STATUS),
            lane=keys.lane_of(text(ORIGIN) or ""),
            data=raw.get(b"data", b""),
            description=text(DESCRIPTION),
            worker=text(WORKER),
            waits_for=text("waits_for"),
            created_at=text(CREATED_AT),
            enqueued_at=text(ENQUEUED_AT),
            started_at=text("started_at"),
            ended_at=text(ENDED_AT),
            attempts_before=int(before) if before.isdecimal() and before.isascii() else 0,
        )


def refused_job(lane: str, code: str, *, kept: bytes, group: bytes | None, at: float) -> dict[FieldT, EncodableT]:
    """Return the fields of a job that was refused at a time, Unix s, with a code, as RQ's tools can read them.

    `kept` is what stays of that which somebody had written instead of a request; `group` is the job's, if it has one.
    """
    of_group: dict[FieldT, EncodableT] = {} if group is None else {GROUP: group}
    return of_group | {
        CREATED_AT: iso(at),
        ENQUEUED_AT: iso(at),
        ENDED_AT: iso(at),
        "data": json.dumps([keys.FUNCTION, None, [{"refused": code}], {}]),
        DESCRIPTION: f"refused: {code}",
        ORIGIN: keys.queue_name(lane),
        STATUS: "failed",
        "refused": kept,
    }


def result_entry(result: Result | None, worker: str | None = None, execution: str | None = None) -> list[str] | None:
    """Return fields and values of RQ's entry of a result: a pointer to ours, and what a dashboard should show of it.

    None without a result, and for a job that was canceled: RQ has no entry of these either. Encodings as in
    rq/results.py: base64 of JSON, and base64 of zlib for exceptions.
    """
    if result is None or result.status == "canceled":
        return None
    by = [WORKER, worker, "execution_id", execution] if worker is not None and execution is not None else []
    if result.error is not None:
        line = f"{result.error.code}: {result.error.message}"
        return ["type", _FAILED, "exc_string", base64.b64encode(zlib.compress(line.encode())).decode(), *by]
    pointer = {
        "result": keys.result(result.id),
        "language": result.language,
        "audio_s": result.duration,
        "rtfx": result.timings.rtfx,
        "backend": result.backend,
        "model": result.model,
    }
    return ["type", _SUCCESSFUL, "return_value", base64.b64encode(json.dumps(pointer).encode()).decode(), *by]


def texts(values: Sequence[bytes | None]) -> list[str | None]:
    """Return fields that were read one by one as text; None where there is none."""
    return [None if value is None else value.decode(errors="replace") for value in values]


_SUBMITTED: Final = frozenset(
    field.encode() for field in (STATUS, ORIGIN, CREATED_AT, ENQUEUED_AT, DATA, DESCRIPTION, META, GROUP, "timeout")
)
_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_COUNT: Final = re.compile(rb"\d{1,9}")


def is_as_submitted(raw: Mapping[bytes, bytes]) -> bool:
    """Whether a job's hash is what submit.lua writes, as nearly all are: RQ can read such a one."""
    if not (
        raw.keys() <= _SUBMITTED
        and raw.get(STATUS.encode()) == QUEUED.encode()
        and _COUNT.fullmatch(raw.get(b"timeout", b"0"))
    ):
        return False
    try:
        for field in (CREATED_AT.encode(), ENQUEUED_AT.encode()):
            if not _TIME.fullmatch(raw[field]):
                return False
            datetime.fromisoformat(raw[field].decode())
        raw[DESCRIPTION.encode()].decode()
        return isinstance(json.loads(raw[META.encode()]), dict)
    except (KeyError, ValueError):
        return False
