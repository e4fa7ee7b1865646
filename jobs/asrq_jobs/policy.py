"""The runtime policy: which backend serves jobs. Kept in Redis, so that one command moves every worker.

`asrq:policy` holds the policy in force as JSON; without it each worker goes by its own settings. `asrq:policy:log` is a
stream with one entry for each change: who, when, from, to and why. Workers hear of a change on `asrq:control` and look
again every few seconds in any case.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import statistics
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from asrq_jobs import keys
from asrq_jobs.request import Request

if TYPE_CHECKING:  # to transcribe without a queue needs a policy, but no client of Redis
    from redis import Redis
    from redis.client import Pipeline

BackendName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
NONE = "none"
_LOG_ENTRIES = 1000


class Share(BaseModel):
    """A share of all jobs for one backend."""

    model_config = ConfigDict(frozen=True)

    backend: BackendName
    share: float = Field(gt=0, le=1)

    def takes(self, job_id: str) -> bool:
        """Whether a job falls into the share: decided by its id alone, the same on every worker and attempt."""
        digest = hashlib.sha256(job_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.share * 2**64


class Policy(BaseModel):
    """Which backend serves, which one stands in for it, which one is tried on a share of the jobs (canary), and which
    one only runs beside (shadow). None of these is the one that serves: what says so is read as if it said nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    backend: BackendName
    fallback: BackendName | None = None
    canary: Share | None = None
    shadow: Share | None = None
    changed_at: str | None = None
    changed_by: str | None = None
    reason: str | None = None

    @field_validator("fallback")
    @classmethod
    def _another(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value == info.data.get("backend") else value

    @field_validator("canary", "shadow")
    @classmethod
    def _beside_another(cls, value: Share | None, info: ValidationInfo) -> Share | None:
        return None if value is not None and value.backend == info.data.get("backend") else value

    @property
    def backends(self) -> tuple[str, ...]:
        """All that it names, the one that serves first."""
        shares = (share.backend for share in (self.canary, self.shadow) if share)
        return tuple(dict.fromkeys((self.backend, *([self.fallback] if self.fallback else []), *shares)))

    def rolled_back(self) -> Policy:
        """Return the policy with nothing on trial: the fallback serves, or, if only a canary ran, what served."""
        serving = self.backend if self.canary is not None else self.fallback or self.backend
        return Policy(backend=serving, fallback=self.fallback)

    def shadow_of(self, request: Request, served: str) -> str | None:
        """The backend that is to hear a job too, after `served` has; not itself, even if it served by fallback."""
        shadow = self.shadow
        if shadow is None or shadow.backend == served or request.backend is not None:
            return None
        return shadow.backend if shadow.takes(request.id) else None

    @property
    def on_trial(self) -> str | None:
        """The backend whose failure would be a reason to roll back: the canary, or what serves if it is no fallback."""
        if self.canary is not None:
            return self.canary.backend
        return self.backend if self.fallback is not None else None


def read(redis: Redis) -> Policy | None:
    """Return the policy in force, or None if there is none.

    Raises:
        pydantic.ValidationError: the text is no policy.
    """
    text = cast("bytes | None", redis.get(keys.POLICY))
    return Policy.model_validate_json(text) if text else None


def write(redis: Redis, before: Policy | None, after: Policy, *, reason: str, by: str | None = None) -> bool:
    """Put a policy in force and log the change; False if it has changed meanwhile from `before`."""
    by = by or f"{_user()}@{socket.gethostname()}"
    # By Redis: the outcomes since then decide about a rollback, and the clock of a client may be wrong.
    now = datetime.fromtimestamp(redis.time()[0], UTC).isoformat(timespec="seconds")
    after = after.model_copy(update={"changed_at": now, "changed_by": by, "reason": reason})
    entry = {
        "at": now,
        "by": by,
        "reason": reason,
        "from": before.model_dump_json() if before else "",
        "to": after.model_dump_json(),
    }

    def change(pipe: Pipeline) -> None:
        text = cast("bytes | None", pipe.get(keys.POLICY))  # immediate while watching
        if (Policy.model_validate_json(text) if text else None) != before:
            pipe.multi()
            return
        pipe.multi()
        pipe.set(keys.POLICY, after.model_dump_json())
        pipe.xadd(keys.POLICY_LOG, entry, maxlen=_LOG_ENTRIES, approximate=True)  # type: ignore[arg-type]  # dict is invariant
        pipe.publish(keys.CONTROL, json.dumps({"command": "policy"}))

    return bool(redis.transaction(change, keys.POLICY))


def _user() -> str:
    """Return who changes the policy, be it that the system has no name for them."""
    try:
        return getpass.getuser().encode(errors="replace").decode()
    except (ImportError, KeyError, OSError):
        if sys.platform == "win32":
            return "somebody"
        return f"uid {os.getuid()}"


def history(redis: Redis, most: int = 10) -> list[dict[str, str]]:
    """Return the last changes, newest first: at, by, reason, from, to."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrevrange(keys.POLICY_LOG, count=most))
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


def comparisons(redis: Redis) -> dict[str, dict[str, float | int | None]]:
    """Return, for each backend that ran as a shadow, the number of jobs compared and failed, and the medians of the
    word error rate against what was served and of the ratio of engine times."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(keys.SHADOW))
    found: dict[str, list[dict[str, float | None]]] = {}
    for _, fields in entries:
        entry = json.loads(fields[b"comparison"])
        found.setdefault(entry["shadow"], []).append(entry)
    return {
        name: {
            "jobs": len(each),
            "failed": sum(entry["code"] is not None for entry in each),
            "wer": _median([entry["wer"] for entry in each]),
            "time_ratio": _median([entry["time_ratio"] for entry in each]),
        }
        for name, each in found.items()
    }


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 4) if known else None
