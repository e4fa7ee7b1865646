"""The scheduler: chunks of many jobs in, transcripts out. Feeds the engine and survives its deaths.

When the engine dies, whatever was in flight becomes suspect and runs again alone, so that the chunk that kills the
engine is found, and only its own job fails: after `max_kills` lone kills it is poisoned. Waiting chunks wait.

When memory runs out, it does what `out_of_memory` decides, but for cutting a chunk in two: its submitter does that.
"""

from __future__ import annotations

import functools
import math
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    EngineUnavailableError,
    OutOfMemoryError,
    ShutdownError,
    StorageError,
)
from asrq_worker.backends.base import WARM_UP_S, Transcript
from asrq_worker.engine.batching import BatchLimits
from asrq_worker.engine.chunks import ChunkDone, ChunkTask, QueuedChunk, Running, Tell
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import ChunkRef
from asrq_worker.engine.out_of_memory import Allowance, Step, next_step
from asrq_worker.engine.pace import Pace
from asrq_worker.engine.pending import PendingChunks
from asrq_worker.engine.process import BatchDone, EngineProcess
from asrq_worker.engine.state import EngineState
from asrq_worker.process.supervision import Supervised

_DOWN_POLL_S = 0.5
_SHORT = 4096  # characters of prompts and hotwords: such batches fit into a pipe, though the engine may not read it


class Scheduler:
    """Thread-safe. `close` it before the engine."""

    def __init__(
        self, engine: Engine, *, batch_s: float = math.inf, max_kills: int = 2, unavailable_after_s: float = 120.0
    ) -> None:
        """`batch_s` limits a batch of more than one chunk, in seconds of compute by the measured speed."""
        self._engine = engine
        self._batch_s = batch_s
        self._pace = Pace()
        self._max_kills = max_kills
        self._unavailable_after_s = unavailable_after_s
        self._changed = threading.Condition()
        self._pending = PendingChunks()
        self._batch_allowance = Allowance()
        self._parallel_allowance = Allowance()
        self.steps: Counter[Step] = Counter()
        """How often each step was taken because memory ran out."""
        self._closing = False
        self._defect: BaseException | None = None
        engine.listeners.append(self._wake)
        self._thread = Supervised("scheduler", self._dispatch)
        self._thread.start()

    def submit(self, tasks: Sequence[ChunkTask]) -> list[Future[ChunkDone]]:
        """Queue chunks, and begin what can be begun of all that waits: one thread less to wake on the way.

        A future fails with an `AsrqError`: the backend's own for this chunk, or PoisonedError, CanceledError,
        EngineUnavailableError, SetupError (no engine can start) or ShutdownError. After OutOfMemoryError, a chunk
        that can be split is to be submitted again in parts; any other does not fit.
        """
        settle: list[Tell] = []
        with self._changed:
            for flow in {task.flow for task in tasks}:
                settle += self._drop(self._pending.in_the_way(flow), CanceledError("There is other work."))
            futures = [self._pending.put(task, idle=False) for task in tasks]
            if self._closing:
                settle += self._pending.fail_waiting(ShutdownError("The worker is stopping."))
        _call(settle)
        try:
            while self._go_on():
                pass
        except BaseException as defect:  # noqa: BLE001  # the scheduler's own thread ends of it, and the process with it
            with self._changed:
                self._defect = defect
                self._changed.notify_all()
        return futures

    def offer(self, task: ChunkTask) -> Future[ChunkDone] | None:
        """Have a chunk heard that nobody waits for, if the engine has nothing else to do; None: it has.

        The future fails also with CanceledError, as soon as something else is submitted before the engine has begun; a
        draft, and one of the job that submits, also after that, and the engine leaves it unfinished if it can.
        """
        with self._changed:
            stopped = self._closing or self._engine.state is not EngineState.READY
            if stopped or not all(item.idle for item in self._pending.items()):
                return None
            future = self._pending.put(task, idle=True)
            self._changed.notify_all()
        return future

    def want(self, future: Future[ChunkDone]) -> bool:
        """Have an offered chunk heard as one that was submitted; False: it was dropped, or has failed."""
        with self._changed:
            item = self._pending.find(future)
            if item is None:
                return future.done() and future.exception() is None
            self._pending.want(item)
            self._changed.notify_all()
        return True

    def _drop(self, items: Sequence[QueuedChunk], error: CanceledError) -> list[Tell]:
        """Fail chunks, and have the engine leave batches of which none is left."""
        settle = self._pending.fail(items, error)
        return [*settle, *(tell for running in self._pending.running.values() for tell in self._left(running))]

    def _left(self, running: Running) -> list[Tell]:
        """Return what tells the engine that nobody waits for a batch; nothing if somebody does."""
        if running.outcome is None or not all(item.settled for item in running.items):
            return []
        return [functools.partial(self._engine.drop, running.outcome)]

    def cancel(self, flow: str) -> None:
        """Drop a job's chunks: their futures fail with CanceledError, and what already runs is of no use."""
        with self._changed:
            settle = self._drop(self._pending.of(flow), CanceledError("The job was canceled."))
            self._pending.forget_flows()
        _call(settle)

    def alive(self, flow: str) -> bool:
        """Whether the job has chunks here, and the engine is within the limits of what it is doing."""
        with self._changed:
            here = any(not item.settled for item in self._pending.of(flow))
        return here and self._thread.alive and self._engine.within_limits()

    def close(self) -> None:
        """Fail everything that is not done with ShutdownError, at once, even if the engine does not take its batch."""
        with self._changed:
            self._closing = True
            self._thread.stop()
            settle = self._pending.fail(self._pending.items(), ShutdownError("The worker is stopping."))
            self._changed.notify_all()
        _call(settle)

    def _wake(self, _state: EngineState) -> None:
        with self._changed:
            self._changed.notify_all()

    # The dispatching thread, and those that submit

    def _dispatch(self) -> None:
        while self._go_on(waits=True):
            pass

    def _go_on(self, *, waits: bool = False) -> bool:
        """Begin a batch, or fail what waits for an engine that is down; False if there is nothing to do.

        `waits`: then wait for something to change, and return False only at the end.
        """
        with self._changed:
            if self._defect is not None:
                raise self._defect
            settle = self._fail_if_down()
            chosen = self._choose()
            if self._closing:
                return False
            if not settle and not chosen:
                down = bool(self._pending) and self._engine.state is not EngineState.READY
                if waits:
                    self._changed.wait(_DOWN_POLL_S if down else None)
                elif down:  # the thread that waits does so for as long as it takes
                    self._changed.notify_all()
                return waits
            if not waits and sum(item.hints for item in chosen) > _SHORT:  # the submitting thread must not be held up
                self._changed.notify_all()
                return False
            number = self._pending.begin(chosen) if chosen else 0
        _call(settle)
        if chosen:
            refs = [ChunkRef(i.task.path, i.task.start, i.task.stop, i.task.options) for i in chosen]
            outcome = self._engine.submit(refs)
            _call(self._sent(number, outcome))
            outcome.add_done_callback(functools.partial(self._end, number))
        return True

    def _choose(self) -> list[QueuedChunk]:
        loaded = self._engine.loaded
        if self._engine.state is not EngineState.READY or loaded is None:
            return []
        can = loaded.capabilities
        parallel = self._parallel_allowance.of(can.parallel)
        limits = BatchLimits(
            max_batch=self._batch_allowance.of(can.max_batch),
            parallel=parallel,
            spare=can.spare if parallel == can.parallel else 0,
            audio_s=functools.partial(self._pace.audio_s, self._batch_s, unknown=loaded.warm_s / WARM_UP_S),
            similar=can.pads,
        )
        return self._pending.choose(limits)

    def _sent(self, number: int, outcome: Future[BatchDone]) -> list[Tell]:
        with self._changed:
            running = self._pending.running[number]
            running.outcome = outcome
            return self._left(running)

    def _fail_if_down(self) -> list[Tell]:
        engine = self._engine
        if engine.error is not None and (engine.final or isinstance(engine.error, StorageError)):
            error: AsrqError = engine.error
        elif engine.state is EngineState.FAILED and engine.down_s() > self._unavailable_after_s:
            because = f" ({engine.error.message})" if engine.error else ""
            error = EngineUnavailableError(
                f"The engine did not come back within {self._unavailable_after_s:g} s{because}."
            )
        else:
            return []
        return self._pending.fail_waiting(error)

    # The engine's threads

    def _end(self, number: int, outcome: Future[BatchDone]) -> None:
        error = outcome.exception()
        with self._changed:
            running = self._pending.running.pop(number)
            if error is None:
                settle = self._done(running, outcome.result())
            elif isinstance(error, EngineUnavailableError):  # it never began
                settle = [tell for item in running.items for tell in self._again(item, error)]
            elif isinstance(error, ShutdownError):
                settle = [item.fail(error) for item in running.items]
            else:
                settle = self._killed(running, error)
            self._pending.forget_flows()
            if self._pending:
                self._changed.notify_all()
        _call(settle)

    def _done(self, running: Running, done: BatchDone) -> list[Tell]:
        settle: list[Tell] = []
        if all(isinstance(outcome, Transcript) for outcome in done.items):
            self._pace.note(running.items[0].waiting.batch_key, audio_s=running.audio_s, took_s=done.inference_s)
        for item, outcome in zip(running.items, done.items, strict=True):
            if isinstance(outcome, OutOfMemoryError) and not item.idle:
                settle += self._step_down(item, running, outcome, done.process)
            elif isinstance(outcome, AsrqError):
                settle.append(item.fail(outcome))
            else:
                settle.append(running.succeed(item, outcome, done))
        return settle

    def _step_down(
        self, item: QueuedChunk, running: Running, error: OutOfMemoryError, process: EngineProcess
    ) -> list[Tell]:
        if item.settled:
            return []
        size, seconds = len(running.items), item.waiting.seconds
        item.short_in = item.short_in or process
        step = next_step(batch=size, alone=running.alone, seconds=seconds, restarted=item.short_in is not process)
        self.steps[step] += 1
        tell = functools.partial(item.task.on_step, step)
        if step in {Step.SPLIT, Step.GIVE_UP}:
            return [tell, item.fail(error)]
        if step is Step.RESTART:
            self._engine.renew(process, error.code)
        elif size > 1:
            self._batch_allowance.halve(size)
        else:
            self._parallel_allowance.halve(running.together)
        item.waiting = replace(item.waiting, most=max(size // 2, 1), suspect=size == 1)
        item.retries += 1
        self._pending.again(item)
        return [tell]

    def _killed(self, running: Running, error: BaseException) -> list[Tell]:
        settle: list[Tell] = []
        for item in running.items:
            item.retries += 1
            item.kills += running.alone
            if item.kills >= self._max_kills:
                settle.append(item.fail(item.poisoned(error)))
            else:
                item.waiting = replace(item.waiting, suspect=True)
                settle += self._again(item, error)
        return settle

    def _again(self, item: QueuedChunk, error: BaseException) -> list[Tell]:
        """Queue a chunk once more, unless nobody waits for it."""
        if item.idle:
            return [item.fail(error)]
        self._pending.again(item)
        return []


def _call(settle: list[Tell]) -> None:
    for tell in settle:
        tell()
