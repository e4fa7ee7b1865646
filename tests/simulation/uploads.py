"""Uploads: what clients send, and what must hold: a job that may run has its own, and what nobody needs expires."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from simulation.facts import Facts, UploadFacts

from asrq_jobs import uploads
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.rq import FINISHED, MAY_RUN

_SENT = {audio.sha256: (data, audio) for data, audio in (uploads.prepare(b"%d" % n, None, max_mb=1) for n in range(3))}
AUDIO = tuple(audio for _, audio in _SENT.values())
"""A few, which jobs name."""


def sent(audio: BlobAudio) -> bytes:
    """Return what is uploaded under a name."""
    return _SENT[audio.sha256][0]


def text_key(audio: BlobAudio) -> str:
    """Return what tells its text from others, as `job.cache.key` does for a whole request."""
    return audio.sha256[:32]


def after_step(
    before: Facts | None,
    after: Facts,
    requests: Mapping[str, Request],
    tampered: Collection[str],
    erased: Collection[str],
    *,
    script: str,
) -> Iterator[str]:
    """Yield what is wrong after a step; of what RQ's own tools have touched less is asked."""
    for sha256, upload in after.uploads.items():
        named = {job_id for job_id, request in requests.items() if _names(request, sha256)}
        if -1 in upload.ttls:
            yield f"{script}: the upload of {named} lives forever: {upload.ttls}"
        for job_id in named - set(tampered):
            status = after.jobs[job_id].status
            if status in MAY_RUN and not upload.there:
                yield f"{job_id}: {script}: it is {status}, and its upload is gone"
            if status in MAY_RUN and job_id not in upload.users:
                yield f"{job_id}: {script}: it is {status}, and its upload is kept for {sorted(upload.users)} only"
        was = before.uploads[sha256] if before else upload
        if script == "erase.lua" and before is not None and before.uploads != after.uploads:
            yield from (f"{script}: {claim}" for claim in _of_erasure(named, was, upload, after))
        if upload.made_by in erased:
            yield f"{upload.made_by}: {script}: it was erased, and others are to look for its text"


def _names(request: Request, sha256: str) -> bool:
    return isinstance(request.audio, BlobAudio) and request.audio.sha256 == sha256


def _of_erasure(named: Collection[str], was: UploadFacts, upload: UploadFacts, after: Facts) -> Iterator[str]:
    users = {job_id for job_id in named if after.jobs[job_id].status not in {"", FINISHED}}
    if was.there and not upload.there and users:
        yield f"the upload of {sorted(users)} is gone"
    if was != upload and upload.there and not users:
        yield "an upload is left that nobody needs"


def at_rest(facts: Facts, tampered: Collection[str], erased: Collection[str]) -> Iterator[str]:
    """Yield what is wrong when all jobs have had time to end: an upload is kept only for those that may be retried."""
    for upload in facts.uploads.values():
        for job_id in upload.users - set(tampered):
            if facts.jobs[job_id].status == FINISHED or job_id in erased:
                yield f"an upload is kept for {job_id}, which needs it no more"
