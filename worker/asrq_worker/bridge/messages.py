"""What crosses between the application and the bridge: `asrq.bridge/1`, described in docs/reference/bridge.md."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

from asrq_jobs import __version__
from asrq_jobs.errors import AsrqError, InvalidRequestError
from asrq_jobs.events import Event
from asrq_jobs.request import JOB_ID_PATTERN
from asrq_jobs.result import Result
from asrq_worker.process.stdio import Message

if TYPE_CHECKING:  # it brings numpy, and the first line is to come at once
    from asrq_worker.engine.messages import Loaded

PROTOCOL: Final = "asrq.bridge/1"
LONGEST_LINE = 1 << 20
"""Bytes, of what the application sends."""

_HINT = "The lines are described in docs/reference/bridge.md."


class _Op(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Transcribe(_Op):
    """Run a job; `request` is not validated yet."""

    op: Literal["transcribe"]
    request: dict[str, Any]


class Cancel(_Op):
    """End a job."""

    op: Literal["cancel"]
    id: str = Field(pattern=JOB_ID_PATTERN)


def _decoded(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004  # pydantic turns this one into its own
    return base64.b64decode(value, validate=True)


class Blob(_Op):
    """A piece of audio that a later request names as a blob."""

    op: Literal["blob"]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    offset: int = Field(default=0, ge=0)
    data: Annotated[bytes, PlainValidator(_decoded)] = Field(alias="base64")


class Audio(_Op):
    """A frame of what a live job's user says."""

    op: Literal["audio"]
    id: str = Field(pattern=JOB_ID_PATTERN)
    seq: int = Field(ge=1)
    data: Annotated[bytes, PlainValidator(_decoded)] = Field(alias="base64")


class End(_Op):
    """The end of a live job's recording."""

    op: Literal["end"]
    id: str = Field(pattern=JOB_ID_PATTERN)


class Ping(_Op):
    """Ask whether the bridge answers."""

    op: Literal["ping"]


class Status(_Op):
    """Ask how it is."""

    op: Literal["status"]


class Shutdown(_Op):
    """End the bridge."""

    op: Literal["shutdown"]


Op = Transcribe | Cancel | Blob | Audio | End | Ping | Status | Shutdown
_OPS = tuple(get_args(op.model_fields["op"].annotation)[0] for op in get_args(Op))
_ops: TypeAdapter[Op] = TypeAdapter(Annotated[Op, Field(discriminator="op")])


def parse(line: bytes | None) -> Op:
    """Return what a line asks for; None stands for one that is too long.

    Raises:
        InvalidRequestError: it is none of the protocol's.
    """
    if line is None:
        raise InvalidRequestError(
            f"The line is longer than {LONGEST_LINE} bytes.", hint="Send audio in several pieces, or name its path."
        )
    try:
        return _ops.validate_json(line)
    except ValidationError as error:
        raise _explain(error) from None


def concerns(line: bytes | None) -> str | None:
    """Return the id of the job that a line is about, whatever else is wrong with it; None: it names none."""
    try:
        about = json.loads(line or b"")
        named = about["request"]["id"] if about.get("op") == "transcribe" else about["id"]
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return None
    return named if isinstance(named, str) and re.fullmatch(JOB_ID_PATTERN, named) else None


def _explain(error: ValidationError) -> InvalidRequestError:
    first = error.errors(include_url=False)[0]
    message = re.sub(r"^(Value error, |Invalid JSON: )", "", first["msg"])
    match first["type"]:
        case "json_invalid":
            return InvalidRequestError(f"The line is not JSON: {message}.", hint=_HINT)
        case "union_tag_invalid":
            return InvalidRequestError(f"Unknown op {first['ctx']['tag']!r}.", hint=f"Ops: {', '.join(_OPS)}.")
        case "union_tag_not_found":
            return InvalidRequestError("The line has no op.", hint=f"Ops: {', '.join(_OPS)}.")
    if not first["loc"]:
        return InvalidRequestError("The line is not a JSON object.", hint=_HINT)
    op, *where = first["loc"]
    return InvalidRequestError(f"Op {op!r}, field {'.'.join(map(str, where))!r}: {message}.", hint=_HINT)


def loading() -> Message:
    """Return the first line."""
    return {"op": "loading", "protocol": PROTOCOL, "version": __version__, "pid": os.getpid()}


def ready(loaded: Loaded) -> Message:
    """Return the line that says that the model is warm."""
    capabilities = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in asdict(loaded.capabilities).items()
    }
    return {
        "op": "ready",
        "protocol": PROTOCOL,
        "version": __version__,
        **asdict(loaded.identity),
        "load_s": round(loaded.load_s, 4),
        "warm_s": round(loaded.warm_s, 4),
        "capabilities": capabilities,
    }


def event(job_id: str, told: Event) -> Message:
    """Return the line that tells something of a job."""
    return {"op": "event", "id": job_id, "event": told.model_dump(mode="json", exclude_none=True)}


def result(outcome: Result) -> Message:
    """Return the line that ends a job."""
    return {"op": "result", "id": outcome.id, "result": outcome.document()}


def refused(error: AsrqError, line: int, job_id: str | None) -> Message:
    """Return the line that refuses a line."""
    about = {} if job_id is None else {"id": job_id}
    return {"op": "error", "line": line, **about, "error": error.info().model_dump(mode="json")}


def fatal(error: AsrqError) -> Message:
    """Return the last line of a bridge that cannot serve."""
    return {"op": "error", "fatal": True, "error": error.info().model_dump(mode="json")}
