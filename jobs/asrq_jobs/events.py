"""Events of a job: entries of the stream `asrq:events:<id>`, each with one field `event` holding JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError

from asrq_jobs.errors import ErrorInfo

EventType = Literal["queued", "started", "progress", "partial", "chunk", "retrying", "completed", "failed", "canceled"]
TERMINAL: frozenset[str] = frozenset({"completed", "failed", "canceled"})


Read = TypeVar("Read", bound=BaseModel)


class Event(BaseModel):
    """Something that happened to a job. Fields that do not apply are absent in the stream and null here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: EventType
    at: float
    lane: str | None = None
    depth: int | None = None
    waits_for: str | None = None
    attempt: int | None = None
    worker: str | None = None
    stage: Literal["fetch", "decode", "inference"] | None = None
    fraction: float | None = None
    audio_s: float | None = None
    done_s: float | None = None
    rtfx: float | None = None
    start: float | None = None
    end: float | None = None
    text: str | None = None
    stable: int | None = None
    until: float | None = None
    channel: int | None = None
    delay_s: float | None = None
    step: str | None = None
    fallback_from: str | None = None
    error: ErrorInfo | None = None
    metadata: dict[str, str] | None = None
    tags: tuple[str, ...] | None = None

    @property
    def terminal(self) -> bool:
        """Whether nothing follows unless the job is retried by hand."""
        return self.type in TERMINAL

    def to_json(self) -> str:
        """Return the stream form: compact JSON without the fields that do not apply."""
        try:
            return self.model_dump_json(exclude_none=True)
        except PydanticSerializationError:  # as of a result
            fields = self.model_dump(mode="json", exclude_none=True)
            return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_entry(cls, fields: dict[bytes, Any]) -> Event:
        """Parse the fields of a stream entry as redis-py returns them.

        Raises:
            pydantic.ValidationError: the entry is not an event.
        """
        return cls.model_validate_json(fields[b"event"])


@dataclass(frozen=True)
class Entry:
    """An event and its id in the stream, after which the events that follow it can be asked for."""

    id: str
    event: Event


def read(answer: Any, kind: type[Read]) -> list[tuple[str, list[tuple[str, Read]]]]:
    """Parse an answer to XREAD: the streams that had entries, and of each the entries' ids and events, of a kind.

    Raises:
        pydantic.ValidationError: an entry is not an event.
    """
    if isinstance(answer, dict):  # redis-py's form for RESP3
        answer = [(stream, parts[0]) for stream, parts in answer.items()]
    return [
        (stream.decode(), [(entry.decode(), kind.model_validate_json(fields[b"event"])) for entry, fields in entries])
        for stream, entries in answer or []
    ]
