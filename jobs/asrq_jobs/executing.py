"""What scripts are given that begin an execution, note what it does and end it: by workers, and by the scripted one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from asrq_jobs import keys, rq
from asrq_jobs.request import Audio, BlobAudio
from asrq_jobs.result import Attempt, Result

Given = dict[str, Any]
"""Arguments of a script by name; the header of the script says what they mean. None: left out."""


def begin(job_id: str, execution: str, lane: str, worker: str, *, lease_s: float, horizon_s: float) -> Given:
    """Of begin.lua."""
    named = {"id": job_id, "execution": execution, "lane": lane, "worker": worker}
    return named | {"lease_s": lease_s, "horizon_s": horizon_s}


def note(
    job_id: str,
    lease: str,
    events: Sequence[str],
    *,
    ttl_s: int,
    chunk: str | None = None,
    transcript: str | None = None,
    instead_of: str | None = None,
) -> Given:
    """Of note.lua."""
    noted = {"chunk": chunk, "transcript": transcript, "instead_of": instead_of}
    return {"id": job_id, "lease": lease, "events": events, "ttl_s": ttl_s} | noted


def end(
    job_id: str,
    lane: str,
    outcome: str,
    event: str,
    *,
    result: Result | None,
    ttl_s: int,
    audio: Audio,
    blob_ttl_s: int,
    delivery: str | None = None,
    execution: str | None = None,
    worker: str | None = None,
    attempt: Attempt | None = None,
    events: Sequence[str] = (),
    delay_s: float = 0.0,
    lapsed_by: float | None = None,
    before: str | None = None,
) -> Given:
    """Of end_execution.lua; of a job that expires there is `before`, and no execution."""
    return {
        "id": job_id,
        "lane": lane,
        "outcome": outcome,
        "event": event,
        "events": events,
        "attempt": attempt.model_dump_json() if attempt else None,
        "result": result.to_json() if result else None,
        "entry": rq.result_entry(result, worker, execution),
        "delivery": delivery,
        "delay_s": delay_s,
        "ttl_s": ttl_s,
        "blob": keys.blob(audio.sha256 if isinstance(audio, BlobAudio) else "none"),
        "blob_ttl_s": blob_ttl_s,
        "execution": execution,
        "worker": worker,
        "lapsed_by": lapsed_by,
        "before": before,
    }


def document(given: Given) -> str:
    """Return it as the one argument of a script."""
    named = {key: value for key, value in given.items() if value is not None}
    return json.dumps(named, ensure_ascii=False, separators=(",", ":"))
