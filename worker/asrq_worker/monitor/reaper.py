"""The metrics and health of a reaper: its repairs and, if it leads, the state of the lanes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import cast

from redis import Redis

from asrq_jobs import keys
from asrq_jobs.request import LANES
from asrq_jobs.settings import Settings
from asrq_worker.monitor import catalogue, health
from asrq_worker.monitor.backlog import Backlog, BacklogEstimate, LaneFacts
from asrq_worker.monitor.health import Health
from asrq_worker.monitor.readings import read_process
from asrq_worker.monitor.redis_probe import RedisProbe
from asrq_worker.monitor.registry import Metrics
from asrq_worker.process import supervision
from asrq_worker.queue import shared_keys
from asrq_worker.reaper.reaper import Round

_Values = dict[tuple[str, ...], float]

_ACTIONS = tuple(found.name for found in fields(Round) if found.name not in {"leading", "suspected"})
_REGISTRIES: dict[str, keys.Registry] = {"scheduled": "scheduled", "running": "wip", "dead": "failed"}
"""Our words for RQ's registries."""
_COUNTED = (
    "completed", "failed", "canceled", "expired", "retry", "front", "refused",
    "webhooks_delivered", "webhooks_given_up",
)  # fmt: skip
"""Fields of `asrq:stats` that are exported. Listed, because anyone who can write to Redis can add others."""


_MOST_NEEDS = 50  # of which jobs that wait are told apart: there are few, unless somebody makes them up


@dataclass(frozen=True)
class _Lanes:
    """The state of all lanes at the last look of the leader: values by labels."""

    jobs: _Values = field(default_factory=dict)
    apart: _Values = field(default_factory=dict)
    backlogs: dict[str, Backlog] = field(default_factory=dict)
    counted: _Values = field(default_factory=dict)


class ReaperMonitor:
    """Is told of each round (`looked`), in the reaper's thread; a leader then looks at the lanes with one call."""

    def __init__(
        self,
        metrics: Metrics,
        redis: Redis,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = metrics
        self._redis = redis
        self._clock = clock
        self._probe = RedisProbe(settings)
        self._patience_s = max(60.0, 10 * settings.reaper_interval_s)
        self._started = clock()
        self._looked: tuple[float, float] | None = None
        self._leading = False
        self._estimates = {lane: BacklogEstimate() for lane in LANES}
        self._lanes = _Lanes()
        read_process(metrics)
        for action in _ACTIONS:
            metrics.count(catalogue.ACTIONS, 0, action=action)
        metrics.read(catalogue.LEADING, lambda: {(): float(self._leads())})
        metrics.read(catalogue.LAST_ROUND, lambda: {(): self._looked[1]} if self._looked else {})
        metrics.read(catalogue.REDIS_UP, lambda: {(): float(self._probe.error() is None)})
        metrics.read(catalogue.LANE_JOBS, lambda: self._current().jobs)
        metrics.read(catalogue.NEED_JOBS, lambda: self._current().apart)
        metrics.read(catalogue.QUEUE_EVENTS, lambda: self._current().counted)
        metrics.read(catalogue.BACKLOG, lambda: self._estimated(lambda backlog: backlog.audio_s))
        metrics.read(catalogue.DRAIN, lambda: self._estimated(lambda backlog: backlog.drain_s))

    def looked(self, report: Round) -> None:
        """Note a round of the reaper.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        for action in _ACTIONS:
            self.metrics.count(catalogue.ACTIONS, len(getattr(report, action)), action=action)
        if report.leading:
            self._lanes = self._look()
        self._leading = report.leading
        self._looked = self._clock(), time.time()

    def alive(self) -> Health:
        """Whether nothing is wrong that a restart would fix."""
        return health.reaper_lives(
            self._state(),
            silent_s=self._silent_s(),
            patience_s=self._patience_s,
            redis_error=self._probe.error(),
            ended=supervision.missing(),
        )

    def ready(self) -> Health:
        """Whether the reaper leads or stands by."""
        return health.reaper_serves(
            self._state(),
            silent_s=self._silent_s(),
            patience_s=self._patience_s,
            redis_error=self._probe.error(),
        )

    def close(self) -> None:
        """Close the connection to Redis."""
        self._probe.close()

    def _silent_s(self) -> float:
        return self._clock() - (self._looked[0] if self._looked else self._started)

    def _leads(self) -> bool:
        """Not by its last word alone: during an outage it may have lost the lead, and another tells of the lanes."""
        return self._leading and self._silent_s() <= self._patience_s

    def _state(self) -> str:
        if self._looked is None:
            return "starting"
        return "leading" if self._leading else "standby"

    def _current(self) -> _Lanes:
        return self._lanes if self._leads() else _Lanes()

    def _estimated(self, what: Callable[[Backlog], float | None]) -> _Values:
        found = {lane: what(backlog) for lane, backlog in self._current().backlogs.items()}
        return {(lane,): value for lane, value in found.items() if value is not None}

    def _look(self) -> _Lanes:
        """Two calls for any number of jobs."""
        apart = shared_keys.lists_apart(self._redis)
        pipe = self._redis.pipeline(transaction=False)
        for lane, need in apart:
            pipe.llen(keys.waiting(lane, need))
        pipe.hmget(keys.STATS, [*_COUNTED, *map(keys.audio_of, LANES), *map(keys.completed_of, LANES)])
        for lane in LANES:
            pipe.llen(keys.queue(lane))
            for registry in _REGISTRIES.values():
                pipe.zcard(keys.registry(registry, lane))
        answers = pipe.execute()
        longest = sorted(zip(answers, apart, strict=False), reverse=True)[:_MOST_NEEDS]
        waiting: _Values = {each: float(count) for count, each in longest}
        raw, *sizes = answers[len(apart) :]
        numbers = iter([_number(value) for value in cast("list[bytes | None]", raw)])
        counted: _Values = {(name,): next(numbers) for name in _COUNTED}
        audio_s, completed = ({lane: next(numbers) for lane in LANES} for _ in range(2))
        states = [(lane, state) for lane in LANES for state in ("waiting", *_REGISTRIES)]
        jobs: dict[tuple[str, str], int] = dict(zip(states, cast("list[int]", sizes), strict=True))
        for (lane, _), count in zip(apart, answers, strict=False):
            jobs[lane, "waiting"] += count
        backlogs: dict[str, Backlog] = {
            lane: estimate.update(
                self._clock(),
                LaneFacts(jobs[lane, "waiting"] + jobs[lane, "scheduled"], audio_s[lane], int(completed[lane])),
            )
            for lane, estimate in self._estimates.items()
        }
        return _Lanes({state: float(count) for state, count in jobs.items()}, waiting, backlogs, counted)


def _number(raw: bytes | None) -> float:
    try:
        return float(raw or 0)
    except ValueError:  # written by hand
        return 0.0
