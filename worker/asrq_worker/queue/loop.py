"""A thread that repeats a step, and goes on if one fails."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

from redis import Redis
from redis.exceptions import RedisError

from asrq_jobs import retries
from asrq_jobs.settings import Settings
from asrq_worker.process.supervision import Supervised, wind_down
from asrq_worker.queue.outage import Outage, answers
from asrq_worker.telemetry.logs import Log

_PAUSE_S = 1.0  # after a defect


class Loop(Supervised):
    """Rides out outages of Redis; a defect is logged and reported, and the next step comes all the same."""

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        outage: Outage,
        log: Log,
        *,
        kind: str | None = None,
        longest_pause_s: float = math.inf,
        finish: Callable[[], object] = lambda: None,
    ) -> None:
        """`step` returns how many seconds to wait before the next one.

        `kind` names it in logs (default: `name`); `longest_pause_s` bounds the wait after a failure; `finish` is done
        in the thread once it was told to stop.
        """
        super().__init__(name, self._turn)
        self._step = step
        self._outage = outage
        self._log = log
        self._kind = kind or name
        self._longest_pause_s = longest_pause_s
        self._finish = finish
        self._wake = threading.Event()

    def stop(self) -> None:
        """Tell it to end after this step."""
        super().stop()
        self._wake.set()

    def soon(self) -> None:
        """Have the next step begin now."""
        self._wake.set()

    def _turn(self) -> None:
        with retries.until(lambda: self.stopping.is_set() and not self.busy):
            while not self.stopping.is_set():
                self._wake.wait(self._once())
                self._wake.clear()
            try:
                self._finish()
            except (RedisError, OSError) as error:
                self._outage.failed(error)

    def _once(self) -> float:
        try:
            return self._step()
        except (RedisError, OSError) as error:
            if self.stopping.is_set():  # its connections may be closed by now
                return 0.0
            return min(self._outage.failed(error), self._longest_pause_s)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not cost the process a part of itself
            if self.busy or not self.stopping.is_set():
                self._log.defect(f"{self._kind}.defect", error, thread=self.name)
            return min(_PAUSE_S, self._longest_pause_s)


def end(loops: Sequence[Supervised], redis: Redis, settings: Settings) -> None:
    """Tell threads that use a connection to end, all of them first, and wait as `wind_down` does."""
    for loop in loops:
        loop.stop()
    wind_down(loops, well=lambda: answers(settings), cut=redis.connection_pool.disconnect)
