"""What RQ's own list of results says of a job that has ended."""

from __future__ import annotations

import base64
import json
import zlib

from asrq_jobs import keys
from asrq_jobs.result import Result

_SUCCESSFUL, _FAILED = "1", "2"


def entry(result: Result | None, worker: str | None = None, execution: str | None = None) -> list[str] | None:
    """Return fields and values: a pointer to our result, and what a dashboard should show of it.

    None without a result, and for a job that was canceled: RQ has none either. Encodings as in rq/results.py: base64 of
    JSON, and base64 of zlib for exceptions.
    """
    if result is None or result.status == "canceled":
        return None
    by = ["worker_name", worker, "execution_id", execution] if worker is not None and execution is not None else []
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
