"""How much audio the holder of a key has had transcribed today: counted in Redis, for all gateways together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from asrq_jobs import keys
from asrq_jobs.aio import AsyncClient
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import JobNotFoundError, QuotaError
from asrq_worker.http.access import Holder

_TTL_S = 2 * 86_400
_LOOKS = 20  # at each submission


class Quota:
    """Counts a job when it has ended, as its length is known then: what is still to be done counts for nothing."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def check(self, whose: Holder) -> None:
        """Count some of the jobs that ended since the last look; refuse a holder whose day is used up.

        More are counted than can be submitted meanwhile, however many are still to be done.

        Raises:
            QuotaError: that is so.
            QueueError: Redis cannot be reached.
        """
        if whose.audio_s is None:
            return
        now = await self._now()
        today = _day(whose, now)
        for member in await self._ask("SRANDMEMBER", keys.http_pending(whose.name), _LOOKS):
            await self._count(whose, member.decode(), today)
        used = float(await self._ask("GET", today) or 0)
        if used >= whose.audio_s:
            used_up = QuotaError(
                f"The audio of this key for today is used up ({used:.0f} of {whose.audio_s:.0f} s).",
                hint="It is a day's by UTC: come back after midnight.",
            )
            used_up.retry_after_s = _until_midnight_s(now)
            raise used_up

    async def settle(self, whose: Holder, job_id: str) -> None:
        """Count a job that is about to be erased, if it has ended.

        Raises:
            QueueError: Redis cannot be reached.
        """
        if whose.audio_s is not None:
            await self._count(whose, job_id, _day(whose, await self._now()))

    async def expect(self, whose: Holder, job_id: str) -> None:
        """Have a new job counted once it has ended."""
        if whose.audio_s is not None:
            await self._ask("SADD", keys.http_pending(whose.name), job_id)

    async def _count(self, whose: Holder, job_id: str, today: str) -> None:
        result = await self._client.result(job_id, peek=True)
        if result is None and await self._is_there(job_id):
            return
        if await self._ask("SREM", keys.http_pending(whose.name), job_id) and result and result.duration:
            await self._ask("INCRBYFLOAT", today, result.duration)  # only the caller that removed it counts it
            await self._ask("EXPIRE", today, _TTL_S)

    async def _is_there(self, job_id: str) -> bool:
        try:
            await self._client.state(job_id)
        except JobNotFoundError:  # it was never submitted, or is long over
            return False
        return True

    async def _now(self) -> datetime:
        """Return the time of Redis, which is the same for all gateways."""
        seconds, _ = await self._ask("TIME")
        return datetime.fromtimestamp(seconds, UTC)

    async def _ask(self, *command: str | float) -> Any:
        with queue_errors(self._client.settings):
            return await self._client.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's gap


def _day(whose: Holder, now: datetime) -> str:
    """Return the key under which a day's audio is counted."""
    return keys.http_audio(whose.name, now.date().isoformat())


def _until_midnight_s(now: datetime) -> int:
    """Return the seconds that are left of a day, at least 1."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return max(1, round((midnight - now).total_seconds()))
