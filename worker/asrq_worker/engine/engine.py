"""The engine as the parent sees it: a process with the model, kept ready, and replaced when it has served enough.

An engine that never became ready is given up after some tries; one that was ready is restarted forever: at once, then
after 1, 2, 4 … 30 s.

A process that has served enough (`Recycling`) is replaced: its successor loads beside it, and when that is warm, new
batches go there, while the old one finishes its own and ends. Where memory does not allow two, the old one finishes
and ends first; the engine is `loading` meanwhile, and chunks wait.
"""

from __future__ import annotations

import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from asrq_jobs.errors import AsrqError, EngineCrashedError, EngineUnavailableError, ShutdownError, StorageError
from asrq_worker.backends.base import BackendConfig
from asrq_worker.engine.messages import ChunkRef, Loaded
from asrq_worker.engine.process import BatchDone, EngineProcess, TimeLimits
from asrq_worker.engine.recycling import NEVER, Recycling, plenty
from asrq_worker.engine.state import EngineState, Failures
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.supervisor import Supervisor
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.engine")

_REPLACEMENTS = Backoff(10.0, 300.0)  # each try shares the cores with the process that serves on


class Engine(Supervisor[EngineProcess]):
    """Keeps a process serving. Thread-safe; `listeners` are called, without locks held, after each change of state."""

    def __init__(
        self,
        backend: str,
        config: BackendConfig,
        *,
        start_timeout_s: float = 600.0,
        stall_s: float = 60.0,
        slowness: float = 10.0,
        recycling: Recycling = NEVER,
        room_mb: Callable[[], float] = plenty,
    ) -> None:
        """`room_mb` says how much memory, in MiB, a second process may take while the first one lives."""
        super().__init__("engine")
        self._backend = backend
        self._config = config
        self._limits = TimeLimits(start_timeout_s, stall_s, slowness)
        self._recycling = recycling
        self._room_mb = room_mb
        self.state = EngineState.STOPPED
        """Where the engine is in its life."""
        self.loaded: Loaded | None = None
        """Identity, capabilities and load times of what was loaded last; None before the first time."""
        self.failures = Failures()
        self.replacements: Counter[str] = Counter()
        """How often one was begun to be replaced while it served, by reason: batches, memory, out_of_memory."""
        self.listeners: list[Callable[[EngineState], None]] = []
        self._told = EngineState.STOPPED
        self._replace_at = 0.0
        self._not_replaced = 0
        self._down_since = time.monotonic()

    def wait_ready(self, timeout_s: float) -> Loaded:
        """Wait until the model is loaded and warm.

        Raises:
            SetupError, EngineError: it could not be loaded, or not in time.
            StorageError: there was no room to load it; it is tried again and again.
        """

        def decided() -> bool:
            without_room = isinstance(self.error, StorageError)
            return self.state is EngineState.READY or self.final or self._closing or without_room

        with self.changed:
            self.changed.wait_for(decided, timeout_s)
            if self.state is EngineState.READY and self.loaded is not None:
                return self.loaded
            if self._closing:
                raise ShutdownError("The engine is closing.")
            raise self.error or EngineUnavailableError(f"The engine was not ready within {timeout_s:g} s.")

    def submit(self, chunks: Sequence[ChunkRef]) -> Future[BatchDone]:
        """Transcribe a batch.

        The future fails with EngineCrashedError or EngineTimeoutError if the process dies or is killed meanwhile, and
        with EngineUnavailableError if none is ready now.
        """
        with self.changed:
            serving = self._serving
            if self.state is not EngineState.READY or serving is None:
                refused: Future[BatchDone] = Future()
                refused.set_exception(EngineUnavailableError("The engine is not ready."))
                return refused
            number, future = serving.begin(chunks, beside_load=self._successor is not None)
            self.look_by(serving.work_deadline())
        serving.send(number, chunks)
        return future

    def drop(self, outcome: Future[BatchDone]) -> None:
        """Let a batch that nobody waits for end soon, if it has not ended: its chunks may fail with CanceledError."""
        with self.changed:
            found = [(process, process.number_of(outcome)) for process in self.processes]
        for process, number in found:
            if number is not None:
                process.drop(number)

    def renew(self, seen: EngineProcess, reason: str) -> None:
        """Put a fresh process in the place of `seen` once that has finished its batches, if it still serves."""
        with self.changed:
            if seen is self._serving and self.state is EngineState.READY and not self._closing:
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
        serving = self._serving
        return serving.pid if serving else None

    def down_s(self) -> float:
        """Seconds since the engine was last ready; 0 while it is."""
        with self.changed:
            return 0.0 if self.state is EngineState.READY else time.monotonic() - self._down_since

    def memory_mb(self) -> int | None:
        """Resident memory of its processes in MiB, or None if there is none. Takes no lock."""
        processes = list(self.processes)
        return sum(each.memory_mb() for each in processes) if processes else None

    def within_limits(self) -> bool:
        """Whether nothing that jobs wait for is past its deadline: true work, not just a live process."""
        with self.changed:
            now, successor = time.monotonic(), self._successor
            awaited = [process for process in self.processes if process is not successor]
            return not (self._closing or self.final or any(process.stuck(now) for process in awaited))

    def close(self) -> None:
        """End the processes and wait until they are gone; batches in flight fail with ShutdownError."""
        super().close()
        with self.changed:
            self._enter(EngineState.STOPPED)
        self._tell(EngineState.STOPPED)

    # The processes and the part that each plays: one serves, one may be loading to follow it, some finish

    def _part(self, place: int) -> EngineProcess | None:
        staying = [process for process in list(self.processes) if not process.retiring]
        return staying[place] if place < len(staying) else None

    @property
    def _serving(self) -> EngineProcess | None:
        """The one that gets the batches, or will when it is loaded."""
        return self._part(0)

    @property
    def _successor(self) -> EngineProcess | None:
        """The one that loads beside the one that serves."""
        return self._part(1)

    def launch(self) -> EngineProcess:
        """Start a process, which loads."""
        return EngineProcess(self, self._backend, self._config, self._limits, on_done=self._on_done)

    def on_ready(self, process: EngineProcess) -> None:
        """Have a process that has loaded serve; the one before it gets no more batches, and ends with the last one."""
        for other in self.processes:
            other.retiring = other is not process
        self.loaded = process.loaded
        self.failures.loaded()
        self._not_replaced = 0
        self._look()

    def on_end(self, process: EngineProcess, reason: AsrqError) -> None:
        """Forget a process that is gone; the successor follows the one that served."""
        super().on_end(process, reason)
        self._look()

    def failed(self, reason: AsrqError, process: EngineProcess | None) -> float:
        """Note a failure; that of a successor changes nothing for the one that serves."""
        if process is not None and process is not self._serving:
            self._put_off(reason)
            return 0.0
        pause_s = super().failed(reason, process)
        self.failures.note(reason, self.failures_in_a_row, has_loaded=self.loaded is not None)
        _log.error(
            "engine.failed", backend=self._backend, code=reason.code, reason=reason.message, hint=reason.hint,
            again_in_s=None if self.failures.final else pause_s,
        )  # fmt: skip
        return math.inf if self.failures.final else pause_s

    def _on_done(self) -> None:
        self.failures_in_a_row = 0
        if self._recycling != NEVER or any(process.retiring for process in self.processes):
            self.changed.notify_all()

    # The watchdog's thread

    def _act(self, now: float) -> float:
        self._recycle(now)
        for process in self.processes:
            if process.retiring and process.idle:
                process.kill(ShutdownError("Another process has taken over."))
        due = super()._act(now)
        self._look()
        return min(due, self._replace_at) if self._replace_at > now else due

    def _news(self) -> Callable[[], None] | None:
        if self.state is self._told:
            return None
        self._told = self.state
        return functools.partial(self._tell, self.state)

    def _recycle(self, now: float) -> None:
        """Begin to replace the one that serves if it has served enough: beside it, if there is room for two."""
        serving = self._serving
        if serving is None or self.state is not EngineState.READY or len(self.processes) > 1 or now < self._replace_at:
            return
        memory_mb = serving.memory_mb() if self._recycling != NEVER else 0
        reason = self._recycling.due(batches=serving.batches_done, rss_mb=memory_mb, fresh_mb=serving.fresh_mb)
        if reason is None:
            return
        if serving.on_gpu or self._room_mb() < memory_mb:
            self._retire(serving, reason)
            return
        try:
            self.processes.append(self.launch())
        except EngineCrashedError as error:
            self._put_off(error)
        else:
            serving.share_with_load()
            self._note_replacement(reason, serving)

    def _retire(self, serving: EngineProcess, reason: str) -> None:
        """Let the one that serves finish its batches and end; then, if none is on its way, the next one is started."""
        self._note_replacement(reason, serving)
        serving.retiring = True
        self._start_at = 0.0
        self._look()

    def _put_off(self, error: AsrqError) -> None:
        """Try again to replace the one that serves after a pause; meanwhile it serves on."""
        self._not_replaced += 1
        pause_s = _REPLACEMENTS.pause_s(self._not_replaced)
        self._replace_at = time.monotonic() + pause_s
        _log.warning("engine.not_replaced", backend=self._backend, code=error.code, again_in_s=pause_s)

    def _note_replacement(self, reason: str, old: EngineProcess) -> None:
        self.replacements[reason] += 1
        _log.info("engine.replacing", backend=self._backend, reason=reason, memory_mb=old.memory_mb())

    def _look(self) -> None:
        """Enter the state that follows from the process that serves."""
        serving = self._serving
        if serving is None:
            self._enter(EngineState.FAILED if self.error else EngineState.LOADING)
        elif serving.reason is not None:
            self._enter(EngineState.FAILED)
        else:
            self._enter(EngineState.READY if serving.ready else EngineState.LOADING)

    def _enter(self, state: EngineState) -> None:
        if state is self.state:
            return
        if self.state is EngineState.READY:
            self._down_since = time.monotonic()
        self.state = state
        self.changed.notify_all()

    def _tell(self, state: EngineState) -> None:
        for listener in self.listeners:
            listener(state)
