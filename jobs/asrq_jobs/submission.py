"""Uploads and submissions, as calls of the protocol (see `calls`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import BinaryIO

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError, ErrorInfo, QueueAuthError, QueueError, QueueRefusedError, from_info
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.rq import FROM_RQ
from asrq_jobs.states import Submitted
from asrq_jobs.steps import Calls, Script, Scripts, StoreFile, parts

AT_ONCE = 500
"""Submissions in one round trip: a server answers others between two of them."""


def upload(audio: BinaryIO, blob: BlobAudio, ttl_s: int) -> Calls[BlobAudio]:
    """Store audio, unless it is there: then it only lives longer.

    A client that may upload may store anything under any hash. So what is there is compared by digests, part by part.
    """
    key = keys.blob(blob.sha256)
    if not ((yield ("EXPIRE", key, ttl_s)) and (yield from _holds(key, audio, blob.bytes))):
        yield StoreFile(key, audio, blob.bytes, ttl_s)
    return blob


def _holds(key: str, audio: BinaryIO, size: int) -> Calls[bool]:
    try:
        if (yield ("STRLEN", key)) != size:
            return False
        first = 0
        for part in parts(audio, size):
            digest: bytes = yield Script("digest", [key], [first, first + len(part) - 1])
            if digest.decode() != hashlib.sha1(part, usedforsecurity=False).hexdigest():
                return False
            first += len(part)
    except (QueueAuthError, QueueRefusedError):  # no string, or this user may not read it: what we write is right
        return False
    return True


def submit(request: Request) -> Calls[Submitted]:
    """Submit a request; idempotent on its id."""
    answer = _submitted((yield _submission(request)))
    if isinstance(answer, AsrqError):
        raise answer
    return answer


def submit_many(requests: Sequence[Request]) -> Calls[list[Submitted | AsrqError]]:
    """Submit requests in one go; those that are refused have an error in their place."""
    answers: list[bytes | QueueError] = yield Scripts([_submission(request) for request in requests])
    return [answer if isinstance(answer, QueueError) else _submitted(answer) for answer in answers]


def _submission(request: Request) -> Script:
    audio = request.audio
    submission = [
        keys.job(request.id),
        keys.queue(request.lane),
        keys.RQ_QUEUES,
        keys.events(request.id),
        keys.result(request.id),
        keys.LIMITS,
        keys.blob(audio.sha256 if isinstance(audio, BlobAudio) else "none"),
    ]
    return Script("submit", submission, [request.id, request.lane, request.to_json()])


def _submitted(raw: bytes) -> Submitted | AsrqError:
    answer = json.loads(raw)
    if "error" in answer:
        return from_info(ErrorInfo.model_validate(answer["error"]))
    return Submitted(**{**answer, "status": FROM_RQ.get(answer["status"], "queued")})
