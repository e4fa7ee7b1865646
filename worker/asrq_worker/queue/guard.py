"""The guard at the door: what a job hash in Redis must be before anything of it is used.

Anyone who can write to Redis can write any hash. RQ's own worker would import and call any function, callback or
webhook that it names, and stop on a malformed timestamp; here only our function runs and nothing stops a worker.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from asrq_jobs import rq
from asrq_jobs.errors import ForeignFunctionError, InvalidRequestError, MalformedJobError
from asrq_jobs.keys import FUNCTION
from asrq_jobs.request import Request

_LARGEST_DATA = 1 << 20


def admit(job_id: str, lane: str, raw: dict[bytes, bytes], redis: Redis) -> Request:
    """Return the request that a job hash holds.

    Raises:
        MalformedJobError: RQ or asrq could not read the hash.
        ForeignFunctionError: it names another function, a callback, a webhook, or another RQ feature that runs things.
        UnknownLanguageError, InvalidRequestError: its request does not fit `asrq.request/1`.
    """
    for name in rq.RUNS_THINGS:
        if raw.get(name.encode()):
            raise ForeignFunctionError(f"The job {job_id} asks for {name}, which is not run here.")
    function, instance, args, kwargs = _call(job_id, rq.JobHash.read(raw).data)
    if function != FUNCTION or instance is not None:
        raise ForeignFunctionError(f"The job {job_id} names the function {str(function)[:100]!r}, not ours.")
    _check_rq_can_read(job_id, raw, redis)
    if not isinstance(args, list) or len(args) != 1 or kwargs:
        raise MalformedJobError(f"The job {job_id} does not hold exactly one request.")
    request = Request.parse(args[0])
    if request.id != job_id or request.lane != lane:
        raise InvalidRequestError(f"The request in job {job_id} belongs to another job or lane.")
    return request


def _call(job_id: str, data: bytes) -> list[Any]:
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, _LARGEST_DATA)
        if unpacker.unconsumed_tail:
            raise MalformedJobError(f"The data of job {job_id} is larger than 1 MiB.")
    except zlib.error:
        text = data
    if len(text) > _LARGEST_DATA:
        raise MalformedJobError(f"The data of job {job_id} is larger than 1 MiB.")
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedJobError(f"The data of job {job_id} is not JSON.") from None
    if not isinstance(call, list) or len(call) != 4:
        raise MalformedJobError(f"The data of job {job_id} is not [function, null, [request], {{}}].")
    return call


def _check_rq_can_read(job_id: str, raw: dict[bytes, bytes], redis: Redis) -> None:
    """RQ's tools and dashboard read the same hash, and stop on one field that does not parse."""
    if rq.is_as_submitted(raw):  # and RQ's own way of reading one takes its time
        return
    try:
        Job(job_id, connection=redis, serializer=JSONSerializer).restore(raw)
    except Exception as error:  # noqa: BLE001  # if RQ cannot read it, the hash is malformed
        raise MalformedJobError(f"RQ cannot read the job {job_id}: {type(error).__name__}.") from None
