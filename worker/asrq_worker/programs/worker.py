"""A worker: its transcriber, slots and leases, and how it starts, drains and ends."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from functools import partial

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from asrq_jobs import __version__, keys
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import ShutdownError, StorageError
from asrq_jobs.presence import STOPPED
from asrq_jobs.result import WorkerInfo
from asrq_jobs.settings import Settings
from asrq_worker.backends import registry
from asrq_worker.engine.messages import Loaded
from asrq_worker.job.attempt import Task
from asrq_worker.job.context import JobContext
from asrq_worker.job.ending import Ending
from asrq_worker.job.transcriber import Transcriber
from asrq_worker.monitor.registry import Metrics
from asrq_worker.monitor.server import listening
from asrq_worker.monitor.worker import WorkerMonitor
from asrq_worker.process.flag import Flag
from asrq_worker.process.shutdown import StopSignals
from asrq_worker.process.supervision import wait_while_busy, within
from asrq_worker.queue import clock, functions, limits
from asrq_worker.queue.commands import CommandListener
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.live import LiveFeed
from asrq_worker.queue.loop import end
from asrq_worker.queue.outage import ride_out
from asrq_worker.queue.outcomes import Outcomes
from asrq_worker.queue.policy_watch import PolicyWatch
from asrq_worker.queue.router import Router
from asrq_worker.queue.slot import Slot
from asrq_worker.queue.uploads import Uploads
from asrq_worker.routing.offers import Offer
from asrq_worker.routing.policy import BackendOutcome
from asrq_worker.telemetry import reports
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.worker")

_NO_ROOM_S = 5.0
_FAREWELL_S = 1.0  # for the last words to Redis
_HAND_BACK_S = 10.0  # after the grace time: for handing jobs back, Redis permitting


class WorkerProcess:
    """One worker process.

    `start` returns when the model is warm and the slots take jobs; `close` drains.
    """

    def __init__(self, settings: Settings, *, shutdown: Callable[[], None], metrics: Metrics | None = None) -> None:
        """`shutdown` is called, from another thread, when an operator asks through RQ's shutdown command.

        `metrics` may be shared with other parts of this process.
        """
        self._settings = settings
        self.monitor = WorkerMonitor(metrics or Metrics(), settings)
        self._redis: Redis = connect(settings)
        self._keeper = LeaseKeeper(self._redis, lease_s=settings.lease_s, heartbeats=[self._beat])
        self._policy = PolicyWatch(self._redis, settings, self._keeper.outage)
        self._outcomes = Outcomes(self._redis)
        self._transcriber = Transcriber(
            settings,
            uploads=Uploads(self._redis, settings),
            feeds=partial(LiveFeed, self._redis),
            policy=self._policy.current,
            observe=self._observe,
            compare=self._outcomes.compare,
        )
        # Unique per start: RQ refuses a name whose last holder was killed and has not lapsed yet.
        self.name = f"{settings.worker_name or socket.gethostname()}-{uuid.uuid4().hex[:6]}"
        reports.name_worker(self.name)
        info = WorkerInfo(name=self.name, host=socket.gethostname(), pid=os.getpid(), version=__version__)
        pipeline = self._transcriber.pipeline
        router = Router(self._redis, self.name, pipeline.offers, self._transcriber.fleet.try_anew)
        task = Task(pipeline, settings, info, router.hands_back)
        self._state = "starting"
        self._offered: tuple[Offer, ...] = ()
        self._slots: list[Slot] = []
        for lane, count in settings.slots.items():
            for number in range(1, count + 1):
                name = f"{self.name}.{settings.backend}.{lane}.{number}"
                self._slots.append(
                    Slot(lane, name, self._redis, task, self._keeper, router, settings, self._ended, self._blocked)
                )
        self.monitor.watch(
            state=self._shown_state,
            blocked=self._blocked,
            policy=self._policy.current,
            fleet=self._transcriber.fleet,
            keeper=self._keeper,
        )
        self._commands = CommandListener(
            self._redis,
            self._keeper,
            self._policy,
            self._transcriber.fleet,
            self._slots,
            shutdown,
            self._transcriber.forget,
        )

    def start(self, *, loaded: Callable[[], None] = lambda: None) -> None:
        """Load and warm the model, then start taking jobs; `loaded` is called in between.

        Raises:
            QueueError: Redis refuses, or does not take what we have to tell within `redis_retry_s`.
            SetupError, EngineError: the model cannot be served.
        """
        began = time.monotonic()
        try:
            with queue_errors(self._settings):
                ride_out(self._publish, self._keeper.outage, within_s=self._settings.redis_retry_s)
            self._report("loading")
            self._transcriber.start()
            served = self._load()
            loaded()
        except BaseException:
            within(_FAREWELL_S, self._withdraw)
            self._transcriber.close()
            raise
        self._policy.start(self._transcriber.fleet, self._tell_what_is_new)
        self._keeper.loop.start()
        self._commands.loop.start()
        for slot in self._slots:
            slot.loop.start()
        self._report("ready")
        _log.info(
            "worker.ready",
            name=self.name,
            backend=served.identity.backend,
            model=served.identity.model,
            device=served.identity.device,
            compute_type=served.identity.compute_type,
            load_s=round(served.load_s, 3),
            start_s=round(time.monotonic() - began, 3),
            lanes=self._settings.lanes,
        )

    def close(self, *, hurry: Flag | None = None) -> None:
        """Take no new jobs, let running ones finish within the grace time, hand back the rest, end the children.

        Setting `hurry` ends the grace time early. Nothing here waits for a Redis that does not answer, unless a job is
        still to be handed in or back.
        """
        grace_s = self._settings.grace_s
        slots = [slot.loop for slot in self._slots]
        for loop in slots:
            loop.stop()
        self._state = "draining"
        self._keeper.loop.soon()  # reports it
        _log.info("worker.draining", name=self.name, running=len(self._keeper.held()), grace_s=grace_s)
        if not wait_while_busy(slots, grace_s, hurry=hurry):
            for slot in self._slots:
                slot.hurry()
            self._keeper.stop_all(ShutdownError("The worker is stopping."))
            if not wait_while_busy(slots, _HAND_BACK_S):
                _log.warning("worker.unfinished", name=self.name, running=len(self._keeper.held()))
        others = [self._policy.loop, self._keeper.loop, self._commands.loop]
        end([*slots, *others], self._redis, self._settings)
        self._transcriber.close()
        if any(loop.abandoned for loop in slots):
            _log.warning("worker.not_withdrawn", name=self.name, reason="Redis does not answer")
        else:
            within(_FAREWELL_S, lambda: self._report(STOPPED))
        self._redis.close()
        _log.info("worker.stopped", name=self.name)

    def _load(self) -> Loaded:
        """Wait until the model is loaded; while there is no room for that, say so and wait for it."""
        while True:
            try:
                return self._transcriber.wait_ready()
            except StorageError:
                self._report("loading")
                time.sleep(_NO_ROOM_S)

    def _blocked(self) -> str | None:
        """Return why no job is to be taken although the worker is ready: there is no room for what it would write."""
        return self._transcriber.storage.problem() or self._unloadable()

    def _unloadable(self) -> str | None:
        policy = self._policy.current()
        members = [self._transcriber.fleet.find(name) for name in (policy.backend, policy.fallback) if name]
        errors = [member.engine.error if member else None for member in members]
        return errors[0].message if all(isinstance(error, StorageError) for error in errors) and errors[0] else None

    def _known_problem(self) -> str | None:
        return self._transcriber.storage.known or self._unloadable()

    def _shown_state(self) -> str:
        return "blocked" if self._state == "ready" and self._known_problem() else self._state

    def _publish(self) -> None:
        """Put what clients need into Redis: the functions that they call, and what these read."""
        if not functions.publish(self._redis, replace=True):
            _log.info("functions.unavailable", reason="Redis is older than 7, or does not let this user load them")
        limits.publish(self._redis, self._settings)

    def _beat(self, pipe: Pipeline) -> None:
        for slot in self._slots:
            slot.beat(pipe)
        pipe.hset(keys.WORKERS, self.name, self._status())
        limits.restore(pipe, self._settings)

    def _observe(self, backend: str, outcome: BackendOutcome) -> None:
        self.monitor.served(backend, outcome)
        self._outcomes.note(backend, outcome)

    def _ended(self, context: JobContext, ending: Ending) -> None:
        """Count an attempt, and report how backends did: only now, so that the client does not wait for it."""
        self.monitor.ended(context, ending)
        self._outcomes.report(at=ending.event.at)

    def _tell_what_is_new(self) -> None:
        """Report at once what this worker can serve, if that has changed: others go by it."""
        if self._transcriber.pipeline.offers() != self._offered:
            self._report(self._state)

    def _report(self, state: str) -> None:
        self._state = state
        self._try(lambda: self._redis.hset(keys.WORKERS, self.name, self._status()))

    def _status(self) -> str:
        self._offered = self._transcriber.pipeline.offers()
        now = clock.ask(self._redis)
        own = (self._settings.backend, self._settings.fallback_backend)
        # While the model loads nothing is reported; afterwards it is as often as leases are renewed.
        silent_s = self._settings.engine_start_s if self._state == "loading" else self._settings.lease_s
        status = {
            "state": self._shown_state(),
            "problem": self._known_problem(),
            "at": round(now, 3),
            "until": round(now + silent_s, 3),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "version": __version__,
            "lanes": self._settings.lanes,
            "running": len(self._keeper.held()),
            "engines": self._transcriber.fleet.states(),
            "backends": list(dict.fromkeys(filter(None, (*registry.names(), *own)))),
            "serves": [offer.model_dump(mode="json", exclude_none=True) for offer in self._offered],
        }
        return json.dumps(status)

    def _withdraw(self) -> None:
        self._try(lambda: self._redis.hdel(keys.WORKERS, self.name))

    def _try(self, tell: Callable[[], object]) -> None:
        try:
            tell()
        except (RedisError, OSError) as error:
            _log.warning("queue.unreachable", reason=type(error).__name__)


def run(
    settings: Settings,
    shutdown: StopSignals,
    *,
    ready: Callable[[], None] = lambda: None,
    metrics: Metrics | None = None,
) -> None:
    """Run a worker until a signal or an operator ends it; `ready` is called when it takes jobs.

    Raises:
        QueueError, SetupError, EngineError: it cannot start.
    """
    worker = WorkerProcess(settings, shutdown=shutdown.stop.set, metrics=metrics)
    with listening(settings, worker.monitor):
        worker.start(loaded=shutdown.started)  # once jobs are taken, a signal must not break off but drain
        try:
            ready()
            shutdown.wait()
        finally:
            worker.close(hurry=shutdown.hurry)
