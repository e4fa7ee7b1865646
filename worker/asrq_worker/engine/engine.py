"""The engine as the parent sees it: a process with the model, watched, killed when it hangs, restarted, replaced.

    stopped ──start──► loading ──► ready ──┐
                         ▲  │              │ died, or killed at a deadline
                  backoff│  ▼              │
                         └─ failed ◄───────┘

An engine that never became ready is given up after some tries; one that was ready is restarted forever: at once, then
after 1, 2, 4 … 30 s.

A process that has served long enough (`Wear`) is replaced: its successor loads beside it, and when that is warm, new
batches go there, while the old one finishes its own and ends. Where memory does not allow two, the old one finishes
and ends first; the engine is `loading` meanwhile, and chunks wait.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from asrq_jobs.errors import AsrqError, EngineCrashedError, EngineUnavailableError, ShutdownError, StorageError
from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.incarnation import BatchDone, Incarnation, Limits
from asrq_worker.engine.life import NEVER, Failures, State, Wear, plenty
from asrq_worker.engine.messages import ChunkRef, Loaded
from asrq_worker.engine.succession import Succession
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.supervision import Supervised
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.engine")

_WATCHDOG_S = 5.0  # it may be starting a process
_REPLACEMENTS = Backoff(10.0, 300.0)  # each try shares the cores with the process that serves on


class Engine:
    """Keeps a process serving. Thread-safe; `listeners` are called, without locks held, after each change of state."""

    def __init__(
        self,
        backend: str,
        config: BackendConfig,
        *,
        start_timeout_s: float = 600.0,
        stall_s: float = 60.0,
        slowness: float = 10.0,
        wear: Wear = NEVER,
        room_mb: Callable[[], float] = plenty,
    ) -> None:
        """`room_mb` says how much memory, in MiB, a second process may take while the first one lives."""
        self._backend = backend
        self._config = config
        self._limits = Limits(start_timeout_s, stall_s, slowness)
        self._wear = wear
        self._room_mb = room_mb
        self.state = State.STOPPED
        """Where the engine is in its life."""
        self.loaded: Loaded | None = None
        """Identity, capabilities and load times of what was loaded last; None before the first time."""
        self.failures = Failures()
        self.replacements: Counter[str] = Counter()
        """How often one was begun to be replaced while it served, by reason: batches, memory, out_of_memory."""
        self.listeners: list[Callable[[State], None]] = []
        self._changed = threading.Condition()
        self._processes = Succession()
        self._start_at = 0.0
        self._replace_at = 0.0
        self._not_replaced = 0
        self._down_since = time.monotonic()
        self._closing = False
        self._watchdog = Supervised("engine-watchdog", self._watch)

    def start(self) -> None:
        """Begin to load the model; `wait_ready` tells the outcome."""
        self._watchdog.start()

    def wait_ready(self, timeout_s: float) -> Loaded:
        """Wait until the model is loaded and warm.

        Raises:
            SetupError, EngineError: it could not be loaded, or not in time.
            StorageError: there was no room to load it; it is tried again and again.
        """

        def decided() -> bool:
            without_room = isinstance(self.error, StorageError)
            return self.state is State.READY or self.final or self._closing or without_room

        with self._changed:
            self._changed.wait_for(decided, timeout_s)
            if self.state is State.READY and self.loaded is not None:
                return self.loaded
            if self._closing:
                raise ShutdownError("The engine is closing.")
            raise self.error or EngineUnavailableError(f"The engine was not ready within {timeout_s:g} s.")

    def submit(self, chunks: Sequence[ChunkRef]) -> Future[BatchDone]:
        """Transcribe a batch.

        The future fails with EngineCrashedError or EngineTimeoutError if the process dies or is killed meanwhile, and
        with EngineUnavailableError if none is ready now.
        """
        with self._changed:
            serving = self._processes.serving
            if self.state is not State.READY or serving is None:
                refused: Future[BatchDone] = Future()
                refused.set_exception(EngineUnavailableError("The engine is not ready."))
                return refused
            number, future = serving.begin(chunks, beside_load=self._processes.successor is not None)
            self._changed.notify_all()
        serving.send(number, chunks)
        return future

    def renew(self, seen: Incarnation, reason: str) -> None:
        """Put a fresh process in the place of `seen` once that has finished its batches, if it still serves."""
        with self._changed:
            if seen is self._processes.serving and self.state is State.READY and not self._closing:
                self._retire(seen, reason)

    @property
    def error(self) -> AsrqError | None:
        """Why the process failed last; None once it is ready again."""
        return self.failures.last

    @property
    def final(self) -> bool:
        """Whether the engine has failed for good."""
        return self.failures.final

    @property
    def restarts(self) -> int:
        """How often a process was started again because one had failed."""
        return self.failures.restarts.total()

    @property
    def pid(self) -> int | None:
        """Id of the process that serves or is to serve, if there is one."""
        serving = self._processes.serving
        return serving.pid if serving else None

    def down_s(self) -> float:
        """Seconds since the engine was last ready; 0 while it is."""
        with self._changed:
            return 0.0 if self.state is State.READY else time.monotonic() - self._down_since

    def memory_mb(self) -> int | None:
        """Resident memory of its processes in MiB, or None if there is none. Takes no lock."""
        processes = list(self._processes)
        return sum(each.memory_mb() for each in processes) if processes else None

    def within_limits(self) -> bool:
        """Whether nothing that jobs wait for is past its deadline: true work, not just a live process."""
        with self._changed:
            now, awaited = time.monotonic(), (self._processes.serving, *self._processes.retiring)
            return not (self._closing or self.final or any(each.stuck(now) for each in awaited if each))

    def close(self) -> None:
        """End the processes and wait until they are gone; batches in flight fail with ShutdownError."""
        with self._changed:
            self._closing = True
            self._watchdog.stop()
            self._changed.notify_all()
        self._watchdog.join(_WATCHDOG_S)
        with self._changed:
            processes = list(self._processes)
            for each in processes:
                each.kill(ShutdownError("The engine is closing."))
        for each in processes:
            each.close()
        with self._changed:
            self._enter(State.STOPPED)
        self._tell(State.STOPPED)

    # The watchdog's thread

    def _watch(self) -> None:
        told = State.STOPPED
        while True:
            with self._changed:
                while not self._closing:
                    pause_s = self._act()
                    if self.state is not told:
                        break
                    self._changed.wait(pause_s)
                if self._closing:
                    return
                told = self.state
            self._tell(told)

    def _act(self) -> float:
        """Do what is due now and return for how long, in seconds, nothing else will be."""
        now = time.monotonic()
        processes = self._processes
        for each in processes:
            if each.enforce(now) and each is processes.serving:
                self._enter(State.FAILED)  # takes no more work; `_on_end` goes on from here
        self._replace_if_worn(now)
        for each in processes.retiring:
            if each.idle:
                each.kill(ShutdownError("Another process has taken over."))
        dues = [self._replace_at] if self._replace_at > now else []
        if processes.serving is None and not processes.retiring:
            if now >= self._start_at:
                self._start()
            if processes.serving is None:
                dues.append(self._start_at)
        dues += [each.deadline() for each in processes]
        return min(max(min(dues, default=math.inf) - now, 0.0), threading.TIMEOUT_MAX)

    def _start(self) -> None:
        try:
            self._processes.serving = self._launch()
        except EngineCrashedError as error:
            self._plan_restart(error)
        else:
            self._enter(State.LOADING)

    def _replace_if_worn(self, now: float) -> None:
        processes, serving = self._processes, self._processes.serving
        busy = processes.successor is not None or processes.retiring or now < self._replace_at
        if self._wear == NEVER or serving is None or self.state is not State.READY or busy:
            return
        memory_mb = serving.memory_mb()
        reason = self._wear.reached(batches=serving.batches_done, rss_mb=memory_mb, fresh_mb=serving.fresh_mb)
        if reason is None:
            return
        if serving.on_gpu or self._room_mb() < memory_mb:
            self._retire(serving, reason)
            return
        try:
            processes.successor = self._launch()
        except EngineCrashedError as error:
            self._put_off(error)
        else:
            serving.share_with_load()
            self._note_replacement(reason, serving)

    def _retire(self, serving: Incarnation, reason: str) -> None:
        """Let the one that serves finish its batches and end; then, if none is on its way, `_act` starts the next."""
        self._note_replacement(reason, serving)
        self._processes.retire(serving)
        self._start_at = 0.0
        self._enter(State.LOADING)

    def _launch(self) -> Incarnation:
        return Incarnation(
            self._backend,
            self._config,
            self._limits,
            lock=self._changed,
            on_loaded=self._on_loaded,
            on_done=self._on_done,
            on_end=self._on_end,
        )

    # The processes' reader threads; all with the lock held

    def _on_loaded(self, process: Incarnation) -> None:
        serving = self._processes.serving
        if serving is not None and process is not serving:
            self._processes.retire(serving)
        self.loaded = process.loaded
        self.failures.loaded()
        self._not_replaced = 0
        self._enter(State.READY)

    def _on_done(self) -> None:
        self.failures.in_a_row = 0
        self._changed.notify_all()

    def _on_end(self, process: Incarnation, error: AsrqError) -> None:
        served, followed = process is self._processes.serving, process is self._processes.successor
        self._processes.remove(process)
        if served and not self._closing:
            self._plan_restart(error)
        elif followed and not self._closing:
            self._put_off(error)
        self._changed.notify_all()

    def _plan_restart(self, error: AsrqError) -> None:
        """Start another process after a pause, unless a successor is on its way."""
        pause_s = self.failures.note(error, has_loaded=self.loaded is not None)
        again_in_s = None if self.failures.final else pause_s
        _log.error(
            "engine.failed", backend=self._backend, code=error.code, reason=error.message, hint=error.hint,
            again_in_s=again_in_s,
        )  # fmt: skip
        self._start_at = time.monotonic() + pause_s
        self._enter(State.FAILED if self._processes.serving is None else State.LOADING)

    def _put_off(self, error: AsrqError) -> None:
        """Try again to replace the one that serves after a pause; meanwhile it serves on."""
        self._not_replaced += 1
        pause_s = _REPLACEMENTS.pause_s(self._not_replaced)
        self._replace_at = time.monotonic() + pause_s
        _log.warning("engine.not_replaced", backend=self._backend, code=error.code, again_in_s=pause_s)

    def _note_replacement(self, reason: str, old: Incarnation) -> None:
        self.replacements[reason] += 1
        _log.info("engine.replacing", backend=self._backend, reason=reason, memory_mb=old.memory_mb())

    def _enter(self, state: State) -> None:
        if self.state is State.READY:
            self._down_since = time.monotonic()
        self.state = state
        self._changed.notify_all()

    def _tell(self, state: State) -> None:
        for listener in self.listeners:
            listener(state)
