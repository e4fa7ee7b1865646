"""Which workers and reapers there are, as they report themselves to Redis, and what all workers are told.

Calls as in `asrq_jobs.steps`.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Literal

from asrq_jobs import keys
from asrq_jobs.steps import Calls, server_time

_STATUS_S = 60.0  # how long a status holds that does not say so itself, as that of older workers
_COMMAND_S = 60  # after which a worker that has not heard it yet does not follow it any more
STOPPED = "stopped"
"""State of a worker that has stopped in good order: its jobs wait for its return for a while."""


def workers(*, stopped: bool = False) -> Calls[dict[str, Any]]:
    """Get the last status of each worker that is there, by name; with `stopped` also of those that are not there now.

    One that was killed could not withdraw its status, which holds for as long as it says.
    """
    stored: dict[bytes, bytes] = yield ("HGETALL", keys.WORKERS)
    now = yield from server_time()
    found = {name.decode(errors="replace"): _status(text) for name, text in sorted(stored.items())}
    return {name: status for name, status in found.items() if status and (stopped or _is_there(status, now))}


def _status(text: bytes) -> dict[str, Any] | None:
    """Parse a worker's status; None: it was written by hand."""
    try:
        status = json.loads(text)
        state, until = status["state"], status.get("until", status["at"] + _STATUS_S)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(state, str) or not isinstance(until, int | float) or isinstance(until, bool):
        return None
    return {"engines": {}, **status, "until": until}


def _is_there(status: dict[str, Any], now: float) -> bool:
    there: bool = status["state"] != STOPPED and now <= status["until"]
    return there


def reaper() -> Calls[bool]:
    """Look whether a reaper leads."""
    leads: int = yield ("EXISTS", keys.LEADER)
    return bool(leads)


def command(word: Literal["load", "unload"], backend: str) -> Calls[int]:
    """Tell every worker to load or unload a backend; returns how many heard.

    Messages are heard in all databases of a Redis. So the command itself is kept in this one.
    """
    command_id = uuid.uuid4().hex
    yield ("SET", keys.command(command_id), json.dumps({"command": word, "backend": backend}), "EX", _COMMAND_S)
    heard: int = yield ("PUBLISH", keys.CONTROL, json.dumps({"command": word, "id": command_id}))
    return min(heard, len((yield from workers())))
