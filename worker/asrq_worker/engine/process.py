"""One process that holds the model: what it has loaded, what it works on, until when."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import psutil

from asrq_jobs.errors import AsrqError, EngineCrashedError, EngineTimeoutError
from asrq_worker.backends.base import BackendConfig, Transcript
from asrq_worker.engine import messages
from asrq_worker.engine.messages import ChunkRef, Loaded
from asrq_worker.process import heap
from asrq_worker.process.environment import RESTING, TO_COMPUTE, TO_REACH_OTHERS, computing_on, handed_on
from asrq_worker.process.exits import describe_exit
from asrq_worker.process.stdio import Message
from asrq_worker.process.supervisor import ChildProcess, Supervisor
from asrq_worker.telemetry import reports

SLOWER = 10.0
"""A batch may be so many times slower than the slowest so far, for each second of audio…"""
MEASURED_BATCHES = 20
"""…once there were so many."""


@dataclass(frozen=True)
class TimeLimits:
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
    process: EngineProcess
    """That did it."""
    idle_s: float = 0.0


@dataclass
class _Batch:
    future: Future[BatchDone]
    seconds: float
    size: int
    since: float
    """Its time counts from here, on the monotonic clock."""
    deadline: float = 0.0


class EngineProcess(ChildProcess):
    """A process of an engine. `send`, too, is called without the lock."""

    def __init__(
        self,
        supervisor: Supervisor[EngineProcess],
        backend: str,
        config: BackendConfig,
        limits: TimeLimits,
        *,
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the process and have it load; `on_done` is called with the lock held after each batch.

        Raises:
            EngineCrashedError: no memory or no process slot for it now.
        """
        self._backend = backend
        self._limits = limits
        self._on_done = on_done
        self._batches: dict[int, _Batch] = {}
        self._number = 0
        self._load_took_s = 0.0
        self._slowest = 0.0
        self.loaded: Loaded | None = None
        self.batches_done = 0
        self.fresh_mb = 0
        others = TO_REACH_OTHERS if config.download or backend == "server" else ()
        env = heap.KEPT | RESTING | handed_on(*TO_COMPUTE, *others) | computing_on(config.cpu_threads)
        if not config.download:
            env["HF_HUB_OFFLINE"] = "1"
        try:
            super().__init__(supervisor, "asrq_worker.engine.child", start_s=limits.start_s, env=env)
        except OSError as error:
            raise EngineCrashedError(f"The engine process could not be started: {error}.") from error
        self._child.send(messages.load(backend, config))

    @property
    def on_gpu(self) -> bool:
        """Whether the model is in the memory of a device, of which nothing is known here."""
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
        self._child.send(messages.batch(number, chunks))  # if it is gone, `on_gone` fails the future

    def number_of(self, outcome: Future[BatchDone]) -> int | None:
        """Return the number of a batch in flight."""
        return next((number for number, batch in self._batches.items() if batch.future is outcome), None)

    def drop(self, number: int) -> None:
        """Say, without the lock, that nobody waits for a batch; it ends all the same, but perhaps sooner."""
        self._child.send(messages.drop(number))

    def work_deadline(self) -> float:
        """Return when the first batch will be late."""
        return min((batch.deadline for batch in self._batches.values()), default=math.inf)

    def extend(self, now: float) -> None:
        """Give a load its time anew, and each batch as long as one without audio may take."""
        super().extend(now)
        for batch in self._batches.values():
            batch.deadline = max(batch.deadline, now + self._limits.stall_s)

    def late(self, now: float) -> AsrqError:
        """Return what took too long."""
        if self.loaded is None:
            return EngineTimeoutError(f"The model was not loaded within {self._limits.start_s:g} s.")
        batch = next(batch for batch in self._batches.values() if batch.deadline <= now)
        return EngineTimeoutError(
            f"The engine did not finish {batch.size} chunk(s) of {batch.seconds:.1f} s in time and was killed."
        )

    def on_death(self, code: int) -> AsrqError:
        """Return how it died."""
        return EngineCrashedError(f"The engine process died ({describe_exit(code)}).")

    def _slowness(self) -> float:
        """Return how many seconds a second of audio may take."""
        if self.batches_done < MEASURED_BATCHES:
            return self._limits.slowness
        return min(self._limits.slowness, SLOWER * self._slowest)

    # The child's reader thread

    def on_message(self, message: Message) -> None:
        """Take what the child says."""
        match message.get("op"):
            case "loaded":
                with self._lock:
                    if self.reason is not None:  # too late
                        return
                    self.loaded = messages.read_loaded(message)
                    self.fresh_mb = self.memory_mb()
                    self._load_took_s = time.monotonic() - self.started_at
                    self.has_become_ready()
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
                batch.future.set_result(done)
                with self._lock:  # after those who wait for the text
                    self._on_done()
            case "log":
                logging.getLogger(message["logger"]).log(message["level"], "%s", message["message"])

    def on_gone(self) -> None:
        """Fail what was in flight."""
        assert self.reason is not None  # noqa: S101  # it is gone
        with self._lock:
            lost, self._batches = list(self._batches.values()), {}
        for batch in lost:
            batch.future.set_exception(self.reason)
        reports.capture(self.reason, backend=self._backend)
