"""`asrq worker --check` and `asrq reaper --check`: how the one on this machine is, for supervisors without HTTP."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, cast

from redis import Redis

from asrq_jobs import keys
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import AsrqError
from asrq_jobs.presence import STOPPED
from asrq_jobs.settings import Settings
from asrq_worker.process import endpoint

_TIMEOUT_S = 8.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where one who listens on all addresses is asked


def worker_problem(settings: Settings) -> str | None:
    """Return in a sentence why the worker is not well, or None if it is: it serves, or drains.

    It is asked itself if it has a port for that; else Redis is asked what it knows of this host's workers.
    """
    if settings.metrics_port:
        return _ask(settings)
    try:
        with queue_errors(settings), connect(settings, retry_s=0) as redis:
            return _worker_problem_in(redis, settings.worker_name or socket.gethostname())
    except AsrqError as error:
        return error.message


def reaper_problem(settings: Settings) -> str | None:
    """Return in a sentence why the reaper is not well, or None if it is.

    It is asked itself if it has a port for that; else it will do that some reaper leads.
    """
    if settings.metrics_port:
        return _ask(settings)
    try:
        with queue_errors(settings), connect(settings, retry_s=0) as redis:
            return None if redis.exists(keys.LEADER) else "No reaper leads."
    except AsrqError as error:
        return error.message


def _worker_problem_in(redis: Redis, host: str) -> str | None:
    """Return what Redis knows against this host's worker, whose name is the host's and a random suffix.

    A worker is well while it says that it is ready and none of its slots has missed its heartbeats for so long that RQ
    has forgotten it, or while it drains.
    """
    entries = cast("dict[bytes, bytes]", redis.hgetall(keys.WORKERS))
    slots = cast("set[bytes]", redis.smembers(keys.RQ_WORKERS))
    states: list[str] = []
    problem: str | None = None
    for name, status in entries.items():
        if not name.startswith(f"{host}-".encode()):
            continue
        try:
            told = json.loads(status)
            state, problem = str(told["state"]), told.get("problem")
        except (ValueError, KeyError, TypeError, RecursionError):  # written by hand
            continue
        if state == STOPPED:
            continue
        mine = [slot for slot in slots if slot.startswith(keys.rq_worker("").encode() + name + b".")]
        # One that was killed leaves its entry, but its slots lapse; its successor has an entry of its own.
        if state == "draining" or (state == "ready" and mine and redis.exists(*mine) == len(mine)):
            return None
        states.append("silent" if state == "ready" else state)
    because = f" {problem}" if states and isinstance(problem, str) else ""
    return f"The worker is {states[-1]}.{because}" if states else f"No worker of {host} has announced itself."


def _ask(settings: Settings) -> str | None:
    host, port = _ANY.get(settings.metrics_host, settings.metrics_host), settings.metrics_port
    where = endpoint.written(host, port)
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        health: dict[str, Any] = json.loads(connection.getresponse().read())
        failed = [check["message"] for check in health["checks"] if not check["ok"]]
        return None if health["state"] == "draining" else " ".join(failed) or None
    except OSError as error:
        return f"Nothing answers on {where}: {error.strerror or error}."
    except (http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"What answers on {where} is no asrq."
    finally:
        connection.close()
