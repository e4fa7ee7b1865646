"""Follows the runtime policy in Redis: every worker goes by it within seconds, without a restart."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError
from redis import Redis

from asrq_jobs import policy
from asrq_jobs.policy import Policy
from asrq_jobs.settings import Settings
from asrq_worker.engine.fleet import Fleet
from asrq_worker.queue.loop import Loop
from asrq_worker.queue.outage import Outage
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.policy")

_LOOK_S = 2.0


class PolicyWatch:
    """Reads the policy every two seconds, and at once when told; without one in Redis the settings count.

    While Redis is away, or holds something that is no policy, the last one stays in force.
    """

    def __init__(self, redis: Redis, settings: Settings, outage: Outage) -> None:
        self._redis = redis
        self._settings = settings
        self._own = Policy(backend=settings.backend, fallback=settings.fallback_backend)
        self._current = self._own
        self._fleet: Fleet | None = None
        self.loop = Loop("policy", self._follow, outage, _log, longest_pause_s=_LOOK_S)
        self._looked: Callable[[], None] = lambda: None

    def current(self) -> Policy:
        """Return the policy in force."""
        return self._current

    def start(self, fleet: Fleet, looked: Callable[[], None]) -> None:
        """Follow the policy, and have the engines that it names loaded before they are needed.

        `looked` is called after each look.
        """
        self._fleet = fleet
        self._looked = looked
        self.loop.start()

    def look(self) -> None:
        """Look now: the policy has changed."""
        self.loop.soon()

    def _follow(self) -> float:
        assert self._fleet is not None  # noqa: S101  # `start` has set it
        try:
            found = policy.read(self._redis) or self._own
        except ValidationError:
            _log.warning("policy.malformed")
            return _LOOK_S
        serving = {found.backend, *(share.backend for share in (found.canary, found.shadow) if share)}
        if found != self._current:
            _log.info(
                "policy.changed",
                backend=found.backend,
                fallback=found.fallback,
                canary=found.canary.backend if found.canary else None,
                share=found.canary.share if found.canary else None,
                by=found.changed_by,
                reason=found.reason,
            )
            for name in sorted(serving):
                self._fleet.enlist(name)
            self._current = found
        keep = serving | ({found.fallback} if found.fallback and self._settings.fallback_warm else set())
        self._fleet.retire(keep, idle_s=self._settings.engine_idle_s)
        self._looked()
        return _LOOK_S
