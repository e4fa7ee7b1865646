"""The engine as the parent sees it: one child process with the model, watched, killed when it hangs, restarted.

    stopped ──start──► loading ──► ready ──┐
                         ▲  │              │ died, or killed at a deadline
                  backoff│  ▼              │
                         └─ failed ◄───────┘

An engine that never became ready fails for good on a setup error (a restart would not mend it) or after
`FIRST_LOAD_TRIES` tries; one that was ready is restarted for ever: at once, then after 1, 2, 4 … 30 s.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import psutil

from asrq_jobs.errors import (
    AsrqError,
    EngineCrashedError,
    EngineTimeoutError,
    EngineUnavailableError,
    SetupError,
    ShutdownError,
)
from asrq_worker.backends.base import BackendConfig, Transcript
from asrq_worker.engine import messages
from asrq_worker.engine.life import State, backoff_s, describe_exit
from asrq_worker.engine.messages import ChunkRef, Loaded, Message
from asrq_worker.process.child import Child

log = logging.getLogger(__name__)

FIRST_LOAD_TRIES = 3
OVERSLEPT_S = 1.0
"""A watchdog that wakes this much late was stopped itself (a suspended host): the child gets another chance."""
KILL_MARGIN_S = 5.0
"""How long after a deadline the watchdog may take to act before work counts as stuck."""


@dataclass(frozen=True)
class BatchDone:
    """A finished batch: an outcome for each chunk in order, and the seconds that the backend took for all."""

    items: tuple[Transcript | AsrqError, ...]
    inference_s: float


@dataclass
class _Batch:
    future: Future[BatchDone]
    seconds: float
    size: int
    deadline: float


class Engine:
    """Supervises one child. Thread-safe; `listeners` are called, without locks held, after each change of state."""

    def __init__(
        self,
        backend: str,
        config: BackendConfig,
        *,
        start_timeout_s: float = 600.0,
        stall_s: float = 60.0,
        slowness: float = 10.0,
    ) -> None:
        self._backend = backend
        self._config = config
        self._start_timeout_s = start_timeout_s
        self._stall_s = stall_s
        self._slowness = slowness
        self.listeners: list[Callable[[State], None]] = []
        self._changed = threading.Condition()
        self._state = State.STOPPED
        self._child: Child | None = None
        self._loaded: Loaded | None = None
        self._batches: dict[int, _Batch] = {}
        self._number = 0
        self._load_deadline = 0.0
        self._start_at = 0.0
        self._down_since = time.monotonic()
        self._failures = 0
        self._restarts = 0
        self._error: AsrqError | None = None
        self._final = False
        self._reason: AsrqError | None = None
        self._closing = False
        self._watchdog = threading.Thread(target=self._watch, name="engine-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to load the model; `wait_ready` tells the outcome."""
        self._watchdog.start()

    def wait_ready(self, timeout_s: float) -> Loaded:
        """Wait until the model is loaded and warm.

        Raises:
            SetupError, EngineError: it could not be loaded, or not in time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._state is State.READY or self._final or self._closing, timeout_s)
            if self._state is State.READY and self._loaded is not None:
                return self._loaded
            if self._closing:
                raise ShutdownError("The engine is closing.")
            raise self._error or EngineUnavailableError(f"The engine was not ready within {timeout_s:g} s.")

    def submit(self, chunks: Sequence[ChunkRef]) -> Future[BatchDone]:
        """Transcribe a batch.

        The future fails with EngineCrashedError or EngineTimeoutError if the child dies or is killed meanwhile, and
        with EngineUnavailableError if it is not ready now.
        """
        future: Future[BatchDone] = Future()
        seconds = sum(chunk.seconds for chunk in chunks)
        with self._changed:
            child = self._child
            if self._state is not State.READY or child is None:
                future.set_exception(EngineUnavailableError("The engine is not ready."))
                return future
            self._number += 1
            number = self._number
            # Batches in flight share the cores, so each may take as long as all of them together.
            shared = seconds + sum(batch.seconds for batch in self._batches.values())
            deadline = time.monotonic() + self._stall_s + self._slowness * shared
            self._batches[number] = _Batch(future, seconds, len(chunks), deadline)
            self._changed.notify_all()
        child.send(messages.batch(number, chunks))  # a child that is gone fails the future from `_on_exit`
        return future

    @property
    def state(self) -> State:
        """Where the engine is in its life."""
        return self._state

    @property
    def loaded(self) -> Loaded | None:
        """Identity, capabilities and load times of what was loaded last; None before the first time."""
        return self._loaded

    @property
    def error(self) -> AsrqError | None:
        """Why the child failed last; None once it is ready again."""
        return self._error

    @property
    def final(self) -> bool:
        """Whether the engine has failed for good."""
        return self._final

    @property
    def restarts(self) -> int:
        """How often a child was started again."""
        return self._restarts

    @property
    def pid(self) -> int | None:
        """Process id of the child, if there is one."""
        child = self._child
        return child.pid if child else None

    def down_s(self) -> float:
        """Seconds since the engine was last ready; 0 while it is."""
        with self._changed:
            return 0.0 if self._state is State.READY else time.monotonic() - self._down_since

    def memory_mb(self) -> int | None:
        """Resident memory of the child in MiB, or None if there is no child."""
        pid = self.pid
        try:
            return int(psutil.Process(pid).memory_info().rss) >> 20 if pid else None
        except psutil.Error:
            return None

    def within_limits(self) -> bool:
        """Whether nothing that the child is doing is past its deadline: true work, not just a live process."""
        with self._changed:
            return not self._closing and not self._final and time.monotonic() < self._next_deadline() + KILL_MARGIN_S

    def close(self) -> None:
        """End the child and wait until it is gone; batches in flight fail with ShutdownError."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._watchdog.ident is not None:
            self._watchdog.join()
        if (child := self._child) is not None:
            child.close()
        self._tell(State.STOPPED)

    # The watchdog's thread

    def _watch(self) -> None:
        told = State.STOPPED
        while True:
            with self._changed:
                while not self._closing and self._state is told:
                    self._changed.wait(self._act())
                if self._closing:
                    return
                told = self._state
            self._tell(told)

    def _act(self) -> float:
        """Do what is due now and return for how long, in seconds, nothing else will be."""
        now = time.monotonic()
        if self._child is None:
            due = float("inf") if self._final else self._start_at
            if now >= due:
                self._launch()
                due = now
        else:
            due = self._next_deadline()
            if now - due > OVERSLEPT_S:
                self._extend(now)
            elif now >= due:
                self._kill_overdue(now)
        return min(max(due - now, 0.0), threading.TIMEOUT_MAX)

    def _launch(self) -> None:
        self._load_deadline = time.monotonic() + self._start_timeout_s
        self._reason = None
        threads = str(self._config.cpu_threads)
        env = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        if not self._config.download:
            env["HF_HUB_OFFLINE"] = "1"
        try:
            self._child = Child("asrq_worker.engine.child", on_message=self._on_message, on_exit=self._on_exit, env=env)
        except OSError as error:  # no memory or no process slot for it now
            self._plan_restart(EngineCrashedError(f"The engine process could not be started: {error}."))
            return
        self._child.send(messages.load(self._backend, self._config))
        self._enter(State.LOADING)

    def _next_deadline(self) -> float:
        if self._child is None:
            return float("inf")
        if self._state is State.LOADING:
            return self._load_deadline
        if self._state is not State.READY:  # killed, about to be reaped
            return float("inf")
        return min((batch.deadline for batch in self._batches.values()), default=float("inf"))

    def _extend(self, now: float) -> None:
        self._load_deadline = now + self._start_timeout_s
        for batch in self._batches.values():
            batch.deadline = max(batch.deadline, now + self._stall_s)

    def _kill_overdue(self, now: float) -> None:
        assert self._child is not None  # noqa: S101  # only a child has deadlines
        if self._state is State.LOADING:
            self._reason = EngineTimeoutError(f"The model was not loaded within {self._start_timeout_s:g} s.")
        else:
            overdue = next(batch for batch in self._batches.values() if batch.deadline <= now)
            self._reason = EngineTimeoutError(
                f"The engine did not finish {overdue.size} chunk(s) of {overdue.seconds:.1f} s in time and was killed."
            )
        self._enter(State.FAILED)  # takes no more work; `_on_exit` goes on from here
        self._child.kill()

    # The child's reader thread

    def _on_message(self, message: Message) -> None:
        match message.get("op"):
            case "loaded":
                self._on_loaded(messages.read_loaded(message))
            case "failed":
                with self._changed:
                    self._reason = messages.read_failed(message)
            case "done":
                with self._changed:
                    batch = self._batches.pop(message["id"])
                    self._failures = 0
                    self._changed.notify_all()
                batch.future.set_result(BatchDone(tuple(messages.read_items(message)), message["inference_s"]))
            case "log":
                logging.getLogger(message["logger"]).log(message["level"], "%s", message["message"])

    def _on_loaded(self, loaded: Loaded) -> None:
        with self._changed:
            self._loaded = loaded
            self._error = None
            self._enter(State.READY)

    def _on_exit(self, code: int) -> None:
        with self._changed:
            lost, self._batches = list(self._batches.values()), {}
            self._child = None
            if self._closing:
                self._enter(State.STOPPED)
                error: AsrqError = ShutdownError("The engine is closing.")
            else:
                error = self._reason or EngineCrashedError(f"The engine process died ({describe_exit(code)}).")
                self._plan_restart(error)
        for batch in lost:
            batch.future.set_exception(error)

    def _plan_restart(self, error: AsrqError) -> None:
        self._error = error
        self._failures += 1
        self._final = self._loaded is None and (isinstance(error, SetupError) or self._failures >= FIRST_LOAD_TRIES)
        delay = backoff_s(self._failures)
        self._start_at = time.monotonic() + delay
        self._restarts += not self._final
        log.error("%s %s", error.message, "Giving up." if self._final else f"Starting it again in {delay:g} s.")
        self._enter(State.FAILED)

    def _enter(self, state: State) -> None:
        if self._state is State.READY:
            self._down_since = time.monotonic()
        self._state = state
        self._changed.notify_all()

    def _tell(self, state: State) -> None:
        for listener in self.listeners:
            listener(state)
