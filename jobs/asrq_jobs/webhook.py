"""`asrq.webhook/1`: what is posted to a job's webhook when the job has ended, and how its receiver knows it is ours.

The webhook of a group gets `asrq.group/1`, see `groups`.

The header `Asrq-Signature: t=<Unix s>,v1=<hex>` holds HMAC-SHA256 (RFC 2104) over `<t>.<body>` with the operator's
`ASRQ_WEBHOOK_SECRET`: the time is signed too, so that an old delivery cannot be played back for long.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from asrq_jobs.groups import GroupState

SIGNATURE_HEADER: Final = "Asrq-Signature"

_SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


class Payload(BaseModel):
    """The body of a delivery: that a job has ended, not what was said in it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    schema_: Literal["asrq.webhook/1"] = Field(default="asrq.webhook/1", alias="schema")
    id: str = Field(description="Of the job; its result is at asrq:result:<id>.")
    status: Literal["completed", "failed"]
    code: str | None = Field(default=None, description="Of the error, if it failed.")
    metadata: dict[str, str] = Field(default={}, description="As in the request; absent if none, or the job is gone.")
    tags: tuple[str, ...] = Field(default=(), description="As in the request; absent if none, or the job is gone.")
    at: float = Field(description="When it ended, Unix s: the same in every try, so id and at tell a repetition.")

    def to_json(self) -> str:
        """Return the document as compact JSON text, without the labels that the request did not have."""
        return self.model_dump_json(exclude={name for name in ("metadata", "tags") if not getattr(self, name)})


class Delivery(BaseModel):
    """A payload on its way, as `asrq:webhooks` holds it; `tries` were made."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    url: str
    # `notice` is the name that stored deliveries have.
    payload: Payload | GroupState = Field(alias="notice", discriminator="schema_")
    tries: int = 0


def sign(secret: str, body: bytes, *, at: float) -> str:
    """Return the value of the signature header for a body sent at a time (Unix s)."""
    moment = str(int(at))
    return f"t={moment},v1={_digest(secret, moment, body)}"


def verify(secret: str, header: str, body: bytes, *, now: float | None = None, tolerance_s: float = 300.0) -> bool:
    """Return whether a delivery is ours: signed with the secret, over this very body, not long ago.

    Args:
        secret: what the operator set as `ASRQ_WEBHOOK_SECRET`.
        header: the value of `Asrq-Signature`.
        body: the bytes as received, before any parsing.
        now: Unix s; default: this host's clock.
        tolerance_s: how far the clocks may differ and how old a delivery may be.
    """
    found = _SIGNATURE.fullmatch(header)
    if found is None:
        return False
    moment, given = found.groups()
    fresh = abs((time.time() if now is None else now) - int(moment)) <= tolerance_s
    return hmac.compare_digest(given, _digest(secret, moment, body)) and fresh


def _digest(secret: str, moment: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
