"""One process that holds the model, from its start to its end: what it has loaded, what it works on, until when."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import psutil

from asrq_jobs.errors import AsrqError, EngineCrashedError, EngineTimeoutError
from asrq_worker.backends.base import BackendConfig, Transcript
from asrq_worker.engine import messages
from asrq_worker.engine.messages import ChunkRef, Loaded, Message
from asrq_worker.process.child import Child
from asrq_worker.process.environment import TO_COMPUTE, TO_REACH_OTHERS, computing_on, handed_on
from asrq_worker.process.restart import describe_exit
from asrq_worker.telemetry import reports

OVERSLEPT_S = 1.0
"""A watchdog that wakes this much late was stopped itself (a suspended host): the process gets another chance."""
STUCK_S = 5.0
"""How long after a deadline the watchdog may take to act, and the system to end a process that it has killed."""


SLOWER = 10.0
"""A batch may be so many times slower than the slowest so far, for each second of audio…"""
MEASURED_BATCHES = 20
"""…once there were so many."""


@dataclass(frozen=True)
class Limits:
    """What a process may take, in seconds: `start_s` to load; for a batch `stall_s` and `slowness` times its audio.

    What was measured counts in place of `slowness` if it allows less.
    """

    start_s: float
    stall_s: float
    slowness: float


@dataclass(frozen=True)
class BatchDone:
    """A finished batch: an outcome for each chunk in order, and the seconds that the backend took for all; `idle_s` is
    how long the thread that took it had had nothing to do."""

    items: tuple[Transcript | AsrqError, ...]
    inference_s: float
    incarnation: Incarnation
    """The process that did it."""
    idle_s: float = 0.0


@dataclass
class _Batch:
    future: Future[BatchDone]
    seconds: float
    size: int
    since: float
    """Its time counts from here, on the monotonic clock."""
    deadline: float = 0.0


class Incarnation:
    """Everything but `send` and `close` is for holders of the lock given to it, which must be re-entrant."""

    def __init__(
        self,
        backend: str,
        config: BackendConfig,
        limits: Limits,
        *,
        lock: threading.Condition,
        on_loaded: Callable[[Incarnation], None],
        on_done: Callable[[], None],
        on_end: Callable[[Incarnation, AsrqError], None],
    ) -> None:
        """Start the process and have it load. The callbacks are called in its reader thread, with the lock held.

        Raises:
            EngineCrashedError: no memory or no process slot for it now.
        """
        self._backend = backend
        self._limits = limits
        self._lock = lock
        self._on_loaded = on_loaded
        self._on_done = on_done
        self._on_end = on_end
        self._batches: dict[int, _Batch] = {}
        self._number = 0
        self._reason: AsrqError | None = None
        self._killed_at = math.inf
        self._started = time.monotonic()
        self._load_took_s = 0.0
        self._load_deadline = self._started + limits.start_s
        self.loaded: Loaded | None = None
        self.batches_done = 0
        self._slowest = 0.0
        self.fresh_mb = 0
        others = TO_REACH_OTHERS if config.download or backend == "server" else ()
        env = handed_on(*TO_COMPUTE, *others) | computing_on(config.cpu_threads)
        if not config.download:
            env["HF_HUB_OFFLINE"] = "1"
        try:
            self._child = Child("asrq_worker.engine.child", on_message=self._on_message, on_exit=self._on_exit, env=env)
        except OSError as error:
            raise EngineCrashedError(f"The engine process could not be started: {error}.") from error
        self._child.send(messages.load(backend, config))

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def on_gpu(self) -> bool:
        """Whether the model lies in the memory of a device, of which nothing is known here."""
        return self.loaded is not None and self.loaded.identity.device.startswith("cuda")

    @property
    def idle(self) -> bool:
        """Whether no batch is in flight."""
        return not self._batches

    def memory_mb(self) -> int:
        """Resident memory in MiB; 0 if it is gone."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) >> 20
        except psutil.Error:
            return 0

    def begin(self, chunks: Sequence[ChunkRef], *, beside_load: bool) -> tuple[int, Future[BatchDone]]:
        """Note a batch, to be sent with `send` under the number returned; `beside_load`: another process loads now.

        The future fails with the reason if the process ends before the batch is done.
        """
        self._number += 1
        future: Future[BatchDone] = Future()
        since = time.monotonic() + (self._load_took_s if beside_load else 0.0)
        self._batches[self._number] = _Batch(future, sum(chunk.seconds for chunk in chunks), len(chunks), since)
        # Batches in flight share the cores, so each may take as long as all of them together.
        may_take_s = self._limits.stall_s + self._slowness() * sum(each.seconds for each in self._batches.values())
        for batch in self._batches.values():
            batch.deadline = max(batch.deadline, batch.since + may_take_s)
        return self._number, future

    def share_with_load(self) -> None:
        """Give what is in flight more time: with a process that loads beside it, each has half of the cores."""
        for batch in self._batches.values():
            batch.since += self._load_took_s
            batch.deadline += self._load_took_s

    def send(self, number: int, chunks: Sequence[ChunkRef]) -> None:
        """Send a batch, without the lock: a process that does not read holds the sender up until it is killed."""
        self._child.send(messages.batch(number, chunks))  # if it is gone, `_on_exit` fails the future

    def deadline(self) -> float:
        """Return when, on the monotonic clock, something will be overdue; infinity: nothing is awaited."""
        if self._reason is not None:  # about to be reaped
            return math.inf
        if self.loaded is None:
            return self._load_deadline
        return min((batch.deadline for batch in self._batches.values()), default=math.inf)

    def stuck(self, now: float) -> bool:
        """Whether something is long overdue: a deadline, or its end (a driver that hangs keeps even the killed)."""
        return now > min(self.deadline(), self._killed_at) + STUCK_S

    def enforce(self, now: float) -> bool:
        """Kill the process if something is overdue, and say whether; a caller much too late gives it more time."""
        due = self.deadline()
        if now - due > OVERSLEPT_S:
            self._load_deadline = now + self._limits.start_s
            for batch in self._batches.values():
                batch.deadline = max(batch.deadline, now + self._limits.stall_s)
        elif now >= due:
            self.kill(self._overdue(now))
            return True
        return False

    def kill(self, reason: AsrqError) -> None:
        """End it; what is in flight fails with the reason."""
        self._reason = self._reason or reason
        self._killed_at = min(self._killed_at, time.monotonic())
        self._child.kill()

    def close(self) -> None:
        """After `kill`: wait, without the lock, until it is gone."""
        self._child.close()

    def _slowness(self) -> float:
        """Return how many seconds a second of audio may take."""
        if self.batches_done < MEASURED_BATCHES:
            return self._limits.slowness
        return min(self._limits.slowness, SLOWER * self._slowest)

    def _overdue(self, now: float) -> AsrqError:
        if self.loaded is None:
            return EngineTimeoutError(f"The model was not loaded within {self._limits.start_s:g} s.")
        batch = next(batch for batch in self._batches.values() if batch.deadline <= now)
        return EngineTimeoutError(
            f"The engine did not finish {batch.size} chunk(s) of {batch.seconds:.1f} s in time and was killed."
        )

    # The child's reader thread

    def _on_message(self, message: Message) -> None:
        match message.get("op"):
            case "loaded":
                with self._lock:
                    if self._reason is not None:  # too late
                        return
                    self.loaded = messages.read_loaded(message)
                    self.fresh_mb = self.memory_mb()
                    self._load_took_s = time.monotonic() - self._started
                    self._on_loaded(self)
            case "failed":
                with self._lock:
                    self.kill(messages.read_failed(message))
            case "done":
                items = tuple(messages.read_items(message))
                done = BatchDone(items, message["inference_s"], self, message["idle_s"])
                with self._lock:
                    batch = self._batches.pop(message["id"])
                    self.batches_done += 1
                    # What is short pays for more than its audio, and says nothing of the speed.
                    self._slowest = max(self._slowest, done.inference_s / max(batch.seconds, 1.0))
                    self._on_done()
                batch.future.set_result(done)
            case "log":
                logging.getLogger(message["logger"]).log(message["level"], "%s", message["message"])

    def _on_exit(self, code: int) -> None:
        with self._lock:
            lost, self._batches = list(self._batches.values()), {}
            self._reason = self._reason or EngineCrashedError(f"The engine process died ({describe_exit(code)}).")
            self._on_end(self, self._reason)
        for batch in lost:
            batch.future.set_exception(self._reason)
        reports.capture(self._reason, backend=self._backend)
