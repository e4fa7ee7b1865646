"""Uploads and submissions, as calls of the protocol (see `calls`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import BinaryIO

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError, ErrorInfo, QueueAuthError, QueueError, QueueUnusableError, from_info
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.rq import FROM_RQ
from asrq_jobs.states import Submitted
from asrq_jobs.steps import Calls, Script, StoreFile, Together, answered, parts

AT_ONCE = 500
"""Submissions in one round trip: a server answers others between two of them."""


def upload(audio: BinaryIO, blob: BlobAudio, ttl_s: int) -> Calls[BlobAudio]:
    """Store audio, unless there is much of it and it is there: then it only lives longer.

    A client that may upload may store anything under any hash. So what is there is compared by digests, part by part;
    to send what is small takes no longer than to ask.
    """
    store = _store(audio, blob, ttl_s)
    is_there = not store.at_once and (yield ("EXPIRE", store.key, ttl_s))
    if not is_there or not (yield from _holds(store.key, audio, blob.bytes)):
        yield store
    return blob


def _store(audio: BinaryIO, blob: BlobAudio, ttl_s: int) -> StoreFile:
    return StoreFile(keys.blob(blob.sha256), audio, blob.bytes, ttl_s)


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
    except (QueueAuthError, QueueUnusableError):  # no string, or this user may not read it: what we write is right
        return False
    return True


def submit(request: Request, audio: BinaryIO | None, ttl_s: int) -> Calls[Submitted]:
    """Submit a request; idempotent on its id. With `audio`, the upload that it names is stored first.

    That takes one round trip if there is little of it.
    """
    submission = _submission(request)
    if audio is None or not isinstance(request.audio, BlobAudio):
        return _accepted((yield submission))
    store = _store(audio, request.audio, ttl_s)
    if not store.at_once:
        yield from upload(audio, request.audio, ttl_s)
        return _accepted((yield submission))
    _, answer = answered((yield Together([store.command, submission])))
    return _accepted(answer)


def submit_many(requests: Sequence[Request]) -> Calls[list[Submitted | AsrqError]]:
    """Submit requests in one go; those that are refused have an error in their place."""
    answers: list[bytes | QueueError] = yield Together([_submission(request) for request in requests])
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


def _accepted(raw: bytes) -> Submitted:
    answer = _submitted(raw)
    if isinstance(answer, AsrqError):
        raise answer
    return answer


def _submitted(raw: bytes) -> Submitted | AsrqError:
    answer = json.loads(raw)
    if "error" in answer:
        return from_info(ErrorInfo.model_validate(answer["error"]))
    return Submitted(**{**answer, "status": FROM_RQ.get(answer["status"], "queued")})
