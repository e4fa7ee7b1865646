"""The sound of live jobs, on its way out of Redis."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from asrq_jobs import keys
from asrq_jobs.errors import BlobMissingError, FetchError
from asrq_worker.audio.live import Arrived, End
from asrq_worker.queue import calls
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.live")

_LOST = "Redis has lost some of the recording that was heard already."
_FRAMES = 64  # read at once: 16 MiB at most


class LiveFeed:
    """Reads the frames of one job, from the first one on. An outage is ridden out: whose job it is says the lease."""

    def __init__(self, redis: Redis, job_id: str) -> None:
        self._redis = redis
        self._job_id = job_id
        self._last = 0
        self._newest: dict[bytes, bytes] = {}
        self._away = False

    def read(self, wait_s: float) -> Arrived:
        """Return what follows; see `Feed`."""
        began = time.monotonic()
        try:
            if self._away:
                self._look_back()
            found = self._read(wait_s)
        except (RedisError, OSError) as error:
            if not self._away:
                _log.warning("live.waiting", id=self._job_id, reason=type(error).__name__)
            self._away = True
            time.sleep(max(0.0, wait_s - (time.monotonic() - began)))
            return Arrived(there=False)
        self._away = False
        sound: list[bytes] = []
        for entry_id, fields in found:
            self._last += 1
            if entry_id != b"%d-0" % self._last:
                raise BlobMissingError("Some of the recording is no longer in Redis.", hint="Record it again.")
            self._newest = fields
            if b"end" in fields:
                return Arrived(b"".join(sound), end=_end(fields[b"end"]))
            sound.append(fields[b"audio"])
        return Arrived(b"".join(sound))

    def interrupt(self, silent_s: float) -> None:
        """Append an end mark, unless another frame has come, or one that was lost has come again; see `Feed`."""
        try:
            complete = calls.interrupt(self._redis, self._job_id, self._last + 1, silent_s=silent_s)
        except (RedisError, OSError) as error:
            _log.warning("live.waiting", id=self._job_id, reason=type(error).__name__)
            return
        if not complete:
            raise FetchError(_LOST)

    def _look_back(self) -> None:
        """See whether Redis still has what was read before it was away.

        It may have lost frames, and the client, begun anew, have given their numbers to others.
        """
        there: Any = self._redis.xrange(keys.live(self._job_id), f"{self._last}-0", f"{self._last}-0")
        if self._last and [_said(fields) for _, fields in there] != [_said(self._newest)]:
            raise FetchError(_LOST)

    def _read(self, wait_s: float) -> list[tuple[bytes, dict[bytes, bytes]]]:
        block_ms = max(1, int(wait_s * 1000))
        answer: Any = self._redis.xread({keys.live(self._job_id): f"{self._last}-0"}, count=_FRAMES, block=block_ms)
        if isinstance(answer, dict):  # redis-py's form for RESP3
            answer = [(stream, parts[0]) for stream, parts in answer.items()]
        return [entry for _, entries in answer for entry in entries]


def _said(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """What is the same when a frame is sent again."""
    return {name: value for name, value in fields.items() if name != b"at"}


def _end(mark: bytes) -> End:
    return "interrupted" if mark == b"interrupted" else "end"
