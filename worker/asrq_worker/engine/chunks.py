"""A chunk on its way through the scheduler: what is asked, what it went through, what came of it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from asrq_jobs.errors import PoisonedError
from asrq_worker.backends.base import SAMPLE_RATE, ChunkOptions, Transcript
from asrq_worker.engine.out_of_memory import Step
from asrq_worker.engine.process import BatchDone, EngineProcess
from asrq_worker.engine.turns import WaitingChunk

Tell = Callable[[], None]


def _unheard(_step: Step) -> None:
    pass


@dataclass(frozen=True)
class ChunkTask:
    """A chunk of a job: samples [start, stop) of a file of raw float32 little-endian mono 16 kHz.

    `on_step` is told, in a thread of the engine's, of each step that is taken for it because memory ran out.
    """

    flow: str
    lane: str
    path: Path
    start: int
    stop: int
    options: ChunkOptions
    on_step: Callable[[Step], None] = _unheard


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
    idle_s: float = 0.0
    """How long it waited though the thread that then took it had nothing to do."""


@dataclass
class QueuedChunk:
    """A chunk that is queued or runs. Its holder tells its future what became of it, once."""

    waiting: WaitingChunk
    task: ChunkTask
    future: Future[ChunkDone]
    submitted: float
    dispatched: float = 0.0
    kills: int = 0
    retries: int = 0
    short_in: EngineProcess | None = None
    """The process in whose memory it first did not fit."""
    settled: bool = False

    @property
    def idle(self) -> bool:
        """Whether nobody waits for it."""
        return self.waiting.idle

    @property
    def hints(self) -> int:
        """How many characters its prompt and hotwords have."""
        return sum(map(len, (self.task.options.prompt or "", *self.task.options.hotwords)))

    def fail(self, error: BaseException) -> Tell:
        """Return what tells the future, to be called without locks; nothing if it was told before."""
        return self._settle(functools.partial(self.future.set_exception, error))

    def succeed(self, transcript: Transcript, *, inference_s: float, batch_size: int, idle_s: float) -> Tell:
        """The same for its transcript."""
        done = ChunkDone(transcript, inference_s, self.dispatched - self.submitted, batch_size, self.retries, idle_s)
        return self._settle(functools.partial(self.future.set_result, done))

    def poisoned(self, error: BaseException) -> PoisonedError:
        """Return the error of a chunk that killed the engine each time; `error` is how it did last."""
        start, stop = self.task.start / SAMPLE_RATE, self.task.stop / SAMPLE_RATE
        return PoisonedError(
            f"The audio from {start:.1f} to {stop:.1f} s stopped the engine {self.kills} times, with nothing else "
            f"running: {error}",
            hint="Try another model, or leave that stretch out; the audio is worth reporting.",
        )

    def _settle(self, tell: Tell) -> Tell:
        if self.settled:
            return lambda: None
        self.settled = True
        return tell


@dataclass
class Running:
    """A batch in flight."""

    items: list[QueuedChunk]
    together: int
    """The most batches that were in flight at any moment of it, itself included."""
    outcome: Future[BatchDone] | None = None
    """What becomes of it, once it has been sent."""

    @property
    def audio_s(self) -> float:
        """Seconds of audio that it counts as."""
        return sum(item.waiting.weight for item in self.items)

    @property
    def alone(self) -> bool:
        """One chunk, and never anything else in flight: what happens to the engine, this chunk did."""
        return self.together == len(self.items) == 1

    def succeed(self, item: QueuedChunk, transcript: Transcript, done: BatchDone) -> Tell:
        """Return what tells a chunk of it its transcript, with its share of the engine's time."""
        size = len(self.items)
        share = done.inference_s * item.waiting.weight / self.audio_s
        idle_s = min(done.idle_s, max(0.0, time.monotonic() - item.submitted - done.inference_s))
        return item.succeed(transcript, inference_s=share, batch_size=size, idle_s=idle_s / size)
