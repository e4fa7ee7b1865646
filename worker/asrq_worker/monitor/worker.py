"""The metrics and health of a worker: how its jobs ended, the state of its engines, whether it lives and serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from asrq_jobs.errors import EngineCrashedError, EngineTimeoutError
from asrq_jobs.policy import Policy
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.engine.breaker import BreakerState
from asrq_worker.engine.fleet import Fleet, Member
from asrq_worker.engine.out_of_memory import Step
from asrq_worker.engine.state import EngineState
from asrq_worker.job.context import JobContext
from asrq_worker.job.ending import Ending
from asrq_worker.monitor import catalogue, health
from asrq_worker.monitor.health import Health
from asrq_worker.monitor.readings import read_devices, read_process
from asrq_worker.monitor.redis_probe import RedisProbe
from asrq_worker.monitor.registry import Metrics
from asrq_worker.process import supervision
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.routing.policy import BackendOutcome

_Values = dict[tuple[str, ...], float]

_USUAL = (EngineCrashedError.code, EngineTimeoutError.code)
_RECOVERY_S = 60.0  # beyond the time that a load may take: for ending the old process and the pause before the new one


class WorkerMonitor:
    """Is told what happens (`ended`, `served`), and reads the rest when it is asked (`watch` says what)."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self.metrics = metrics
        self._settings = settings
        self._probe = RedisProbe(settings)

    def watch(
        self,
        *,
        state: Callable[[], str],
        blocked: Callable[[], str | None],
        policy: Callable[[], Policy],
        fleet: Fleet,
        keeper: LeaseKeeper,
    ) -> None:
        """Say what to read; nothing may be asked before. The functions return the present state."""
        self._state, self._blocked, self._policy = state, blocked, policy
        self._fleet, self._keeper = fleet, keeper
        read = self.metrics.read
        read_process(self.metrics)
        read_devices(self.metrics)
        read(catalogue.SLOTS, lambda: {(lane,): count for lane, count in self._settings.slots.items()})
        read(catalogue.LEASES, self._leases)
        read(catalogue.STORAGE, lambda: {(): float(self._blocked() is None)})
        read(catalogue.READY, lambda: {(): float(self.ready().ok)})
        read(catalogue.REDIS_UP, lambda: {(): float(self._probe.error() is None)})
        read(catalogue.ENGINE_STATE, self._engine_states)
        read(catalogue.ENGINE_RESTARTS, lambda: self._counted(_USUAL, lambda member: member.engine.failures.restarts))
        read(catalogue.ENGINE_REPLACEMENTS, lambda: self._counted((), lambda member: member.engine.replacements))
        read(catalogue.MEMORY_STEPS, lambda: self._counted(tuple(Step), lambda member: member.scheduler.steps))
        read(catalogue.ENGINE_MEMORY, self._engine_memory)
        read(catalogue.MODEL_LOAD, self._model_loads)
        read(catalogue.CIRCUIT, self._circuits)

    def ended(self, context: JobContext, ending: Ending) -> None:
        """Count an attempt that has ended; its result, if it completed the job, gives the times."""
        lane, result = context.request.lane, ending.result
        error = ending.event.error
        self.metrics.count(
            catalogue.ATTEMPTS,
            lane=lane,
            backend=(result.backend if result else None) or "",
            outcome=ending.verdict or "lost",
            code=error.code if error else "",
        )
        self.metrics.observe(catalogue.QUEUE_WAIT, context.queue_wait_s, lane=lane)
        if result is not None and result.status == "completed":
            self._completed(lane, result)

    def _completed(self, lane: str, result: Result) -> None:
        timings, backend = result.timings, result.backend or ""
        both = {"lane": lane, "backend": backend}
        self.metrics.count(catalogue.AUDIO, result.duration or 0.0, **both)
        self.metrics.observe(catalogue.DECODE, timings.decode_s, lane=lane)
        self.metrics.observe(catalogue.INFERENCE, timings.inference_s, **both)
        self.metrics.observe(catalogue.TOTAL, timings.total_s, **both)
        self.metrics.observe(catalogue.RTFX, timings.rtfx, **both)
        self.metrics.observe(catalogue.BATCH, timings.batch_size, backend=backend)
        self.metrics.observe(catalogue.BATCH_WAIT, timings.batch_wait_s, **both)
        if result.cached:
            self.metrics.count(catalogue.CACHED, lane=lane)
        if result.fallback_from:
            self.metrics.count(catalogue.FALLBACKS, backend=result.fallback_from, stand_in=backend)

    def served(self, backend: str, outcome: BackendOutcome) -> None:
        """Count what a backend did with a job."""
        self.metrics.count(catalogue.SERVED, backend=backend, code=outcome.code or "")

    def alive(self) -> Health:
        """Whether nothing is wrong that a restart would fix."""
        state = self._state()
        hanging = [member.name for member in self._fleet.members() if self._hangs(member)]
        return health.worker_lives(state, hanging=hanging, ended=supervision.missing())

    def ready(self) -> Health:
        """Whether the worker takes jobs, and can do them."""
        policy = self._policy()
        serving = [name for name in (policy.backend, policy.fallback) if name]
        warm = {member.name for member in self._fleet.members() if member.engine.state is EngineState.READY}
        return health.worker_serves(
            self._state(),
            serving=serving,
            warm=warm,
            blocked=self._blocked(),
            redis_error=self._probe.error(),
        )

    def close(self) -> None:
        """Close the connection to Redis."""
        self._probe.close()

    def _hangs(self, member: Member) -> bool:
        """Whether an engine is past its deadlines, or was killed and never came back."""
        engine = member.engine
        if engine.final:  # given up; a restart of the worker would not fix it
            return False
        lost = engine.loaded is not None and engine.down_s() > self._settings.engine_start_s + _RECOVERY_S
        return lost or not engine.within_limits()

    def _leases(self) -> _Values:
        held = self._keeper.held()
        now = Counter(
            (execution.lane, "moving" if control.moving() else "stalled") for execution, control in held.items()
        )
        return {
            (lane, progress): now[lane, progress] for lane in self._settings.slots for progress in ("moving", "stalled")
        }

    def _engine_states(self) -> _Values:
        engines = {member.name: member.engine.state for member in self._fleet.members()}
        return {(name, state.value): float(state is now) for name, now in engines.items() for state in EngineState}

    def _counted(self, usual: Sequence[str], of: Callable[[Member], Counter[Any]]) -> _Values:
        """Read a counter by reasons; the usual ones are there at 0, so that the first increase is seen as one."""
        counts = {member.name: dict.fromkeys(usual, 0) | dict(of(member)) for member in self._fleet.members()}
        return {(name, str(reason)): float(n) for name, found in counts.items() for reason, n in found.items()}

    def _engine_memory(self) -> _Values:
        memory = {member.name: member.engine.memory_mb() for member in self._fleet.members()}
        return {(name,): float(taken << 20) for name, taken in memory.items() if taken is not None}

    def _model_loads(self) -> _Values:
        loaded = {member.name: member.engine.loaded for member in self._fleet.members()}
        return {(name, _last_part(what.identity.model)): what.load_s for name, what in loaded.items() if what}

    def _circuits(self) -> _Values:
        return {(b.name,): float(b.breaker.state is not BreakerState.CLOSED) for b in self._fleet.members()}


def _last_part(model: str) -> str:
    """Return the name of a model that is a path, without the folders."""
    return model.replace("\\", "/").rpartition("/")[2]
