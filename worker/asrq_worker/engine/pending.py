"""The chunks of a scheduler that are not done: those that wait, and the batches that run. Its holder has the lock."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace

from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.engine.batching import BatchLimits, admitted, next_batch
from asrq_worker.engine.chunks import ChunkDone, ChunkTask, QueuedChunk, Running, Tell
from asrq_worker.engine.turns import Turns, WaitingChunk


class PendingChunks:
    """Not thread-safe."""

    def __init__(self) -> None:
        """Nothing is there yet."""
        self.running: dict[int, Running] = {}
        self._waiting: dict[int, QueuedChunk] = {}
        self._turns = Turns()
        self._number = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, task: ChunkTask, *, idle: bool) -> Future[ChunkDone]:
        """Add a chunk; `idle`: nobody waits for it."""
        future: Future[ChunkDone] = Future()
        future.set_running_or_notify_cancel()  # so that nobody cancels it but its scheduler
        self._number += 1
        seconds = (task.stop - task.start) / SAMPLE_RATE
        waiting = WaitingChunk(self._number, task.flow, task.lane, seconds, task.options, idle=idle)
        self._waiting[self._number] = QueuedChunk(waiting, task, future, time.monotonic())
        if not idle:
            self._turns.join(task.flow, task.lane)
        return future

    def want(self, item: QueuedChunk) -> None:
        """Let somebody wait for a chunk."""
        if item.idle:
            item.waiting = replace(item.waiting, idle=False)
            self._turns.join(item.task.flow, item.task.lane)

    def items(self) -> list[QueuedChunk]:
        """Return all chunks, those that wait first."""
        return [*self._waiting.values(), *(item for running in self.running.values() for item in running.items)]

    def find(self, future: Future[ChunkDone]) -> QueuedChunk | None:
        """Return the chunk of a future, unless it is settled."""
        return next((item for item in self.items() if item.future is future and not item.settled), None)

    def of(self, flow: str) -> list[QueuedChunk]:
        """Return those of a job."""
        return [item for item in self.items() if item.task.flow == flow]

    def in_the_way(self, flow: str) -> list[QueuedChunk]:
        """Return the idle chunks that have to go when a job of this flow has more: all that wait, and of those that run
        the ones without further use, which are drafts, and chunks that were taken for a piece of the job."""
        waits = [item for item in self._waiting.values() if item.idle]
        runs = [item for running in self.running.values() for item in running.items if item.idle]
        return [*waits, *(item for item in runs if item.task.options.draft or item.task.flow == flow)]

    def choose(self, limits: BatchLimits) -> list[QueuedChunk]:
        """Return the next batch of what waits; nothing if none is to begin now."""
        running = [running.items[0].waiting for running in self.running.values()]
        if any(item.idle for item in self._waiting.values()):  # then there is nothing else
            return [] if running else [next(iter(self._waiting.values()))]
        waiting, limits = admitted([item.waiting for item in self._waiting.values()], running, limits)
        return [self._waiting[chunk.number] for chunk in next_batch(waiting, running, self._turns, limits)]

    def begin(self, items: list[QueuedChunk]) -> int:
        """Take a batch for one that runs, and return its number."""
        now = time.monotonic()
        together = len(self.running) + 1
        for other in self.running.values():
            other.together = max(other.together, together)
        for item in items:
            del self._waiting[item.waiting.number]
            item.dispatched = now
        if not items[0].idle:
            self._turns.give([item.waiting for item in items], [item.waiting for item in self._waiting.values()])
        self._number += 1
        self.running[self._number] = Running(items, together)
        return self._number

    def again(self, item: QueuedChunk) -> None:
        """Have a chunk wait once more, in its old place, unless it is settled."""
        if not item.settled:
            self._waiting[item.waiting.number] = item

    def fail(self, items: Iterable[QueuedChunk], error: BaseException) -> list[Tell]:
        """Settle chunks, and let none of them wait any more."""
        for item in items:
            self._waiting.pop(item.waiting.number, None)
        return [item.fail(error) for item in items]

    def fail_waiting(self, error: BaseException) -> list[Tell]:
        """Settle all that wait."""
        return self.fail(list(self._waiting.values()), error)

    def forget_flows(self) -> None:
        """Forget the turns of jobs that have nothing here."""
        self._turns.keep({item.task.flow for item in self.items()})
