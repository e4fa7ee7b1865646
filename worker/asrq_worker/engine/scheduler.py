"""The scheduler: chunks of many jobs in, transcripts out. Feeds the engine and survives its deaths.

When the engine dies, whatever was in flight becomes suspect and runs again alone, so that the chunk that kills the
engine is found, and only its own job fails: after `max_kills` lone kills it is poisoned. Waiting chunks wait.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    EngineUnavailableError,
    OutOfMemoryError,
    PoisonedError,
    ShutdownError,
)
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Transcript
from asrq_worker.engine.batching import Waiting, next_batch
from asrq_worker.engine.engine import BatchDone, Engine
from asrq_worker.engine.life import State
from asrq_worker.engine.messages import ChunkRef

_DOWN_POLL_S = 0.5


@dataclass(frozen=True)
class ChunkTask:
    """A chunk of a job: samples [start, stop) of a file of raw float32 little-endian mono 16 kHz."""

    job_id: str
    lane: str
    path: Path
    start: int
    stop: int
    options: ChunkOptions


@dataclass(frozen=True)
class ChunkDone:
    """A transcribed chunk."""

    transcript: Transcript
    inference_s: float
    """Its share, by length, of the engine's time for its batch."""
    wait_s: float
    """From submission until the engine got it (the last time, if it ran again)."""
    batch_size: int
    retries: int
    """How often it ran again because the engine died or ran out of memory."""


@dataclass
class _Item:
    waiting: Waiting
    task: ChunkTask
    future: Future[ChunkDone]
    submitted: float
    dispatched: float = 0.0
    kills: int = 0
    retries: int = 0
    settled: bool = False


@dataclass
class _Running:
    items: list[_Item]
    alone: bool
    """One chunk, and nothing else was in flight at any moment: if the engine dies, this chunk did it."""


_Settle = Callable[[], None]


class Scheduler:
    """Thread-safe. `close` it before the engine."""

    def __init__(self, engine: Engine, *, max_kills: int = 2, unavailable_after_s: float = 120.0) -> None:
        self._engine = engine
        self._max_kills = max_kills
        self._unavailable_after_s = unavailable_after_s
        self._changed = threading.Condition()
        self._queue: dict[int, _Item] = {}
        self._running: dict[int, _Running] = {}
        self._served: dict[str, int] = {}
        self._number = 0
        self._closing = False
        engine.listeners.append(self._wake)
        self._thread = threading.Thread(target=self._dispatch, name="scheduler", daemon=True)
        self._thread.start()

    def submit(self, task: ChunkTask) -> Future[ChunkDone]:
        """Queue a chunk.

        The future fails with an `AsrqError`: the backend's own for this chunk, or PoisonedError, CanceledError,
        EngineUnavailableError, SetupError (no engine can start) or ShutdownError.
        """
        future: Future[ChunkDone] = Future()
        future.set_running_or_notify_cancel()  # only `cancel` takes it back
        with self._changed:
            if self._closing:
                future.set_exception(ShutdownError("The worker is stopping."))
                return future
            self._number += 1
            seconds = (task.stop - task.start) / SAMPLE_RATE
            waiting = Waiting(self._number, task.job_id, task.lane, seconds, task.options)
            self._queue[self._number] = _Item(waiting, task, future, time.monotonic())
            self._changed.notify_all()
        return future

    def cancel(self, job_id: str) -> None:
        """Drop a job's chunks: their futures fail with CanceledError, and what already runs is ignored."""
        with self._changed:
            dropped = [item for item in self._items() if item.task.job_id == job_id]
            settle = [self._fail(item, CanceledError("The job was canceled.")) for item in dropped]
            for item in dropped:
                self._queue.pop(item.waiting.number, None)
            self._forget_served()
        _call(settle)

    def alive(self, job_id: str) -> bool:
        """Whether the job has chunks here, and the engine is within the limits of what it is doing."""
        with self._changed:
            here = any(item.task.job_id == job_id and not item.settled for item in self._items())
        return here and self._thread.is_alive() and self._engine.within_limits()

    def close(self) -> None:
        """Fail everything that is not done with ShutdownError."""
        with self._changed:
            self._closing = True
            settle = [self._fail(item, ShutdownError("The worker is stopping.")) for item in self._items()]
            self._queue.clear()
            self._changed.notify_all()
        _call(settle)
        self._thread.join()

    def _items(self) -> list[_Item]:
        return [*self._queue.values(), *(item for running in self._running.values() for item in running.items)]

    def _wake(self, _state: State) -> None:
        with self._changed:
            self._changed.notify_all()

    # The dispatching thread

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                settle = self._fail_if_down()
                chosen = self._choose()
                if self._closing:
                    return
                if not settle and not chosen:
                    down = bool(self._queue) and self._engine.state is not State.READY
                    self._changed.wait(_DOWN_POLL_S if down else None)
                    continue
                number = self._begin(chosen) if chosen else 0
            _call(settle)
            if chosen:
                refs = [ChunkRef(i.task.path, i.task.start, i.task.stop, i.task.options) for i in chosen]
                self._engine.submit(refs).add_done_callback(functools.partial(self._end, number))

    def _choose(self) -> list[_Item]:
        loaded = self._engine.loaded
        if self._engine.state is not State.READY or loaded is None:
            return []
        chosen = next_batch(
            [item.waiting for item in self._queue.values()],
            [running.items[0].waiting for running in self._running.values()],
            self._served,
            max_batch=loaded.capabilities.max_batch,
            parallel=loaded.capabilities.parallel,
        )
        return [self._queue[chunk.number] for chunk in chosen]

    def _begin(self, items: list[_Item]) -> int:
        now = time.monotonic()
        for other in self._running.values():
            other.alone = False
        alone = len(items) == 1 and not self._running
        for item in items:
            del self._queue[item.waiting.number]
            item.dispatched = now
            self._number += 1
            self._served[item.task.job_id] = self._number
        self._number += 1
        self._running[self._number] = _Running(items, alone)
        return self._number

    def _fail_if_down(self) -> list[_Settle]:
        engine = self._engine
        if engine.final and engine.error is not None:
            error: AsrqError = engine.error
        elif engine.state is State.FAILED and engine.down_s() > self._unavailable_after_s:
            because = f" ({engine.error.message})" if engine.error else ""
            error = EngineUnavailableError(
                f"The engine did not come back within {self._unavailable_after_s:g} s{because}."
            )
        else:
            return []
        settle = [self._fail(item, error) for item in self._queue.values()]
        self._queue.clear()
        return settle

    # The engine's threads

    def _end(self, number: int, outcome: Future[BatchDone]) -> None:
        error = outcome.exception()
        with self._changed:
            running = self._running.pop(number)
            if error is None:
                settle = self._succeeded(running.items, outcome.result())
            elif isinstance(error, EngineUnavailableError):  # it never began
                settle = []
                for item in running.items:
                    self._requeue(item)
            elif isinstance(error, ShutdownError):
                settle = [self._fail(item, error) for item in running.items]
            else:
                settle = self._killed(running, error)
            self._forget_served()
            self._changed.notify_all()
        _call(settle)

    def _succeeded(self, items: list[_Item], done: BatchDone) -> list[_Settle]:
        settle: list[_Settle] = []
        total = sum(item.waiting.seconds for item in items) or 1.0
        for item, outcome in zip(items, done.items, strict=True):
            if isinstance(outcome, OutOfMemoryError) and len(items) > 1:
                item.retries += 1
                item.waiting = replace(item.waiting, single=True)
                self._requeue(item)
            elif isinstance(outcome, AsrqError):
                settle.append(self._fail(item, outcome))
            else:
                share = done.inference_s * item.waiting.seconds / total
                chunk = ChunkDone(outcome, share, item.dispatched - item.submitted, len(items), item.retries)
                settle.append(self._settle(item, functools.partial(item.future.set_result, chunk)))
        return settle

    def _killed(self, running: _Running, error: BaseException) -> list[_Settle]:
        settle: list[_Settle] = []
        for item in running.items:
            item.retries += 1
            item.kills += running.alone
            if item.kills >= self._max_kills:
                settle.append(self._fail(item, _poisoned(item, error)))
            else:
                item.waiting = replace(item.waiting, suspect=True)
                self._requeue(item)
        return settle

    def _requeue(self, item: _Item) -> None:
        if not item.settled:
            self._queue[item.waiting.number] = item

    def _fail(self, item: _Item, error: AsrqError) -> _Settle:
        return self._settle(item, functools.partial(item.future.set_exception, error))

    def _settle(self, item: _Item, how: _Settle) -> _Settle:
        """Return what tells the future, to be called without our lock; nothing if it was told before."""
        if item.settled:
            return lambda: None
        item.settled = True
        return how

    def _forget_served(self) -> None:
        here = {item.task.job_id for item in self._items()}
        self._served = {job_id: last for job_id, last in self._served.items() if job_id in here}


def _call(settle: list[_Settle]) -> None:
    for tell in settle:
        tell()


def _poisoned(item: _Item, error: BaseException) -> PoisonedError:
    start, stop = item.task.start / SAMPLE_RATE, item.task.stop / SAMPLE_RATE
    return PoisonedError(
        f"The audio from {start:.1f} to {stop:.1f} s stopped the engine {item.kills} times, with nothing else running: "
        f"{error}",
        hint="Try another model, or leave that stretch out; the audio is worth reporting.",
    )
