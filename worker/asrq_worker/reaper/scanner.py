"""What the reaper sees of the queue: all leases and all that is due, and everything else part by part."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError

from asrq_jobs import keys, rq
from asrq_jobs.request import LANES
from asrq_jobs.rq import ENDED, MAY_RUN
from asrq_worker.queue import shared_keys
from asrq_worker.reaper.snapshot import Places, SeenJob, Snapshot
from asrq_worker.reaper.walk import Walk

_GONE, _ENDLESS = -2, -1  # what TTL answers

_ABSURD_S = 1e9  # no request may ask for so long; others may have written it
_STEP = 500  # keys, and half as many as waiting jobs, that one look adds, so that it stays short
_MOST = 200  # due retries of one look: each is acted upon on its own
_SHA256 = re.compile("[0-9a-f]{64}")
_TRACES = (keys.events, keys.attempts, keys.chunks)
_OF_A_JOB = re.compile(f"(?:{'|'.join(re.escape(of('')) for of in (keys.job, *_TRACES))})(.+)", re.DOTALL)

_GROUP = re.compile(f"{re.escape(keys.group(''))}([^:]+)")


class Scanner:
    """Looks again and again, and remembers how far it has come."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._cursor = 0
        self._members: dict[str, int] = {}  # how far it has come in groups that take more than one look
        self._walk = Walk(2 * _STEP)
        self._seen_on: dict[str, str] = {}  # the lists of jobs of the last part, and of those looked at again since

    def look(self, again: Iterable[str], *, now: float, whole: bool = False) -> Snapshot:
        """Look at what is held and due, at the jobs `again`, and at the next part of the rest, or the whole of it.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        lists: dict[str, tuple[str, str]] = {keys.queue(lane): (lane, "") for lane in LANES}
        lists |= {keys.waiting(lane, need): (lane, need) for lane, need in shared_keys.lists_apart(self._redis)}
        pipe = self._redis.pipeline(transaction=False)
        for key in lists:
            pipe.llen(key)
        lengths = {key: _read(found) or 0 for key, found in zip(lists, pipe.execute(False), strict=True)}
        parts = self._walk.parts(lengths, whole=whole)
        pipe = self._redis.pipeline(transaction=True)
        for part in parts:
            pipe.lrange(part.key, part.start, part.stop)
        for lane in LANES:
            pipe.lrange(keys.intermediate(lane), 0, -1)
            pipe.zrangebyscore(keys.registry("scheduled", lane), "-inf", now, start=0, num=_MOST)
            pipe.zrange(keys.registry("wip", lane), 0, -1)
        pipe.zrange(keys.LEASES, 0, -1, withscores=True)
        pipe.hgetall(keys.WORKERS)
        pipe.smembers(keys.RQ_WORKERS)
        pipe.smembers(keys.GROUPS)
        *listed, leases, workers, slots, ended = map(_read, pipe.execute(raise_on_error=False))
        waiting = {part.key: tuple(map(_text, found)) for part, found in zip(parts, listed, strict=False)}
        listed, again = listed[len(parts) :], frozenset(again)
        for job_id in again & self._seen_on.keys():  # the walk has gone on; each repair looks again
            on = self._seen_on[job_id]
            waiting[on] = (*waiting.get(on, ()), job_id)
        self._seen_on = {job_id: key for key, job_ids in waiting.items() for job_id in job_ids}
        lanes: dict[str, Places] = {}
        for at, lane in enumerate(LANES):
            apart = {
                need: waiting.get(key, ()) for key, (of, need) in lists.items() if of == lane and need and lengths[key]
            }
            lanes[lane] = _places(waiting.get(keys.queue(lane), ()), listed[3 * at : 3 * at + 3], apart)
        passed = {
            (lane, job_id)
            for lane, places in lanes.items()
            for job_ids in (places.waiting, places.dequeued, *places.apart.values())
            for job_id in job_ids
        }
        ids, blobs = {*again, *self._walk.overdue(again), *(job_id for _, job_id in passed)}, set[str]()
        ids.update(job_id for places in lanes.values() for job_id, _ in places.started)
        groups = set[str]()
        for name in self._names(whole=whole):
            if found := _OF_A_JOB.fullmatch(name):
                ids.add(found[1])
            elif name.startswith(keys.blob("")):
                blobs.add(name.removeprefix(keys.blob("")))
            elif found := _GROUP.fullmatch(name):
                groups.add(found[1])
        jobs = self._jobs(sorted(ids))
        blobs |= {job.blob for job in jobs.values() if job.status in MAY_RUN and job.blob}
        slots = sorted(map(_text, slots))
        return Snapshot(
            at=now,
            lanes=lanes,
            leases={_text(lease): expiry for lease, expiry in leases},
            jobs=jobs,
            lost=self._walk.lost(jobs, passed),
            blobs=self._uploads(sorted(blobs)),
            workers={_text(name): _text(registration) for name, registration in dict(workers).items()},
            slots={
                key.removeprefix(keys.rq_worker("")): bool(there)
                for key, there in self._each(slots, lambda pipe, key: pipe.exists(key)).items()
            },
            ended=tuple(sorted({*map(_text, ended), *self._untold(sorted(groups))})),
            uncounted=self._uncounted(sorted(groups), whole=whole),
        )

    def _uploads(self, blobs: Sequence[str]) -> dict[str, int]:
        """Ask how long uploads are kept, or the lists of who may need them if that is less: a client that uploads the
        same again keeps only the upload."""
        left_s = self._each(blobs, lambda pipe, sha256: pipe.ttl(keys.blob(sha256)))
        listed_s = self._each(blobs, lambda pipe, sha256: pipe.ttl(keys.uses(sha256)))
        return {
            sha256: left_s[sha256]
            if _GONE in (left_s[sha256], listed_s[sha256])
            else min(left_s[sha256], listed_s[sha256])
            for sha256 in blobs
        }

    def _untold(self, groups: Sequence[str]) -> Iterator[str]:
        """Find groups that never expire though no job of them is open: they wait to be told, and may be on no list."""
        ttls = self._each(groups, lambda pipe, group: pipe.ttl(keys.group(group)))
        opens = self._each(groups, lambda pipe, group: pipe.hget(keys.group(group), ":open"))
        yield from (group for group in groups if ttls[group] == _ENDLESS and opens[group] == b"0")

    def _uncounted(self, groups: Sequence[str], *, whole: bool) -> tuple[tuple[str, str], ...]:
        """Find jobs that groups count as open and that have ended, are gone, or not theirs: a part of each."""
        found: list[tuple[str, str]] = []
        for group in groups:
            while True:
                cursor = self._members.pop(group, 0)
                try:
                    answer = self._redis.hscan(keys.group(group), cursor, count=_STEP)
                except ResponseError:  # another type
                    break
                cursor, members = cast("tuple[int, dict[bytes, bytes]]", answer)
                found += [(_text(job_id), group) for job_id, outcome in members.items() if outcome == b"open"]
                if cursor:
                    self._members[group] = cursor
                if not (whole and cursor):
                    break
        jobs = self._each(
            [job_id for job_id, _ in found], lambda pipe, job_id: pipe.hmget(keys.job(job_id), rq.STATUS, rq.GROUP)
        )
        return tuple(
            (job_id, group)
            for job_id, group in found
            if (known := jobs[job_id]) is not None
            and (known[1] is None or _text(known[1]) != group or _text(known[0] or b"") in ENDED)
        )

    def _names(self, *, whole: bool) -> Iterator[str]:
        """The next part of all names in Redis."""
        cursor = 0 if whole else self._cursor
        while True:
            cursor, names = cast("tuple[int, list[bytes]]", self._redis.scan(cursor, count=_STEP))
            yield from map(_text, names)
            if not whole:
                self._cursor = cursor
            if not whole or cursor == 0:
                return

    def _jobs(self, ids: Sequence[str]) -> dict[str, SeenJob]:
        fields = self._each(
            ids, lambda pipe, job_id: pipe.hmget(keys.job(job_id), rq.STATUS, rq.ORIGIN, rq.ENQUEUED_AT, rq.META)
        )
        ttls = self._each(ids, lambda pipe, job_id: pipe.ttl(keys.job(job_id)))
        jobs = {job_id: _job(fields[job_id], ttl_s=ttls[job_id]) for job_id in ids}
        retries = [job_id for job_id, job in jobs.items() if job.status == rq.SCHEDULED]
        scores = self._each(
            retries, lambda pipe, job_id: pipe.zscore(keys.registry("scheduled", jobs[job_id].lane or ""), job_id)
        )
        over = [job_id for job_id, job in jobs.items() if job.status is None or job.status in ENDED]
        kept = self._each(over, lambda pipe, job_id: pipe.exists(keys.result(job_id)))
        traces = [self._each([of(job_id) for job_id in over], lambda pipe, key: pipe.ttl(key)) for of in _TRACES]
        for job_id in retries:
            jobs[job_id] = replace(jobs[job_id], scheduled=scores[job_id] is not None)
        for job_id, *left_s in zip(over, *(trace.values() for trace in traces), strict=True):
            jobs[job_id] = replace(jobs[job_id], kept=bool(kept[job_id]), traces=_ENDLESS in left_s)
        return jobs

    def _each(self, subjects: Sequence[str], ask: Callable[[Pipeline, str], object]) -> dict[str, Any]:
        """Ask the same about each; None where Redis holds another type under the name."""
        answers: dict[str, Any] = {}
        for start in range(0, len(subjects), _STEP):
            pipe = self._redis.pipeline(transaction=False)
            part = subjects[start : start + _STEP]
            for subject in part:
                ask(pipe, subject)
            for subject, answer in zip(part, pipe.execute(raise_on_error=False), strict=True):
                answers[subject] = None if isinstance(answer, ResponseError) else answer
        return answers


def _read(answer: Any) -> Any:
    """What one key answered; nothing where it holds another type, which is moved away before the next look."""
    if shared_keys.is_wrong_type(answer):
        return ()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _places(waiting: tuple[str, ...], answers: Sequence[Sequence[bytes]], apart: dict[str, tuple[str, ...]]) -> Places:
    dequeued, due, started = (tuple(map(_text, answer)) for answer in answers)
    pairs = (entry.rpartition(":") for entry in started)
    return Places(waiting, dequeued, due, tuple((job_id, execution_id) for job_id, _, execution_id in pairs), apart)


def _job(fields: Sequence[bytes | None] | None, *, ttl_s: int) -> SeenJob:
    if ttl_s == _GONE:
        return SeenJob()
    status, origin, enqueued_at, meta = ("" if value is None else _text(value) for value in fields or [None] * 4)
    lane = keys.lane_of(origin)
    told = _told(meta)
    queue_ttl_s, blob = told.get("queue_ttl_s"), told.get("blob")
    return SeenJob(
        status=status,
        lane=lane if lane in LANES and origin == keys.queue_name(lane) else None,
        enqueued_at=enqueued_at,
        queue_ttl_s=queue_ttl_s if isinstance(queue_ttl_s, int | float) and 0 < queue_ttl_s < _ABSURD_S else None,
        blob=blob if isinstance(blob, str) and _SHA256.fullmatch(blob) else None,
        expires=ttl_s != _ENDLESS,
    )


def _told(meta: str) -> dict[str, Any]:
    """What submit.lua noted in the job's meta; nothing if somebody else wrote it."""
    try:
        told = json.loads(meta)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _text(raw: bytes) -> str:
    """A name that goes back to Redis as it came, whatever its bytes (see `connect`)."""
    return raw.decode(errors="surrogateescape")
