"""Dictation beside files: a real scheduler, and an engine that takes no time but tells what it would have taken."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from asrq_jobs.errors import AsrqError
from asrq_worker.backends.base import SAMPLE_RATE, Capabilities, ChunkOptions, Identity, Transcript
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import ChunkRef, Loaded
from asrq_worker.engine.process import BatchDone
from asrq_worker.engine.scheduler import Scheduler
from asrq_worker.engine.state import EngineState

PARALLEL, MAX_BATCH, SLOTS, BATCH_S = 2, 8, 6, 2.0
CLIP_S = 5.0


def compute_s(seconds: float) -> float:
    """What a chunk takes: some 15 times as fast as it is spoken, with windows that are 3 s longer than it."""
    return (seconds + 3.0) * 0.06


class FakeEngine:
    """What a scheduler sees of an engine; `next` ends the batch that is done first."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.now = rng, 0.0
        self.state, self.error, self.final = EngineState.READY, None, False
        self.listeners: list[Callable[[EngineState], None]] = []
        identity = Identity("fake", "1", "fake", None, "cpu", "none")
        can = Capabilities(frozenset({"en"}), max_batch=MAX_BATCH, parallel=PARALLEL)
        self.loaded = Loaded(identity, can, load_s=1.0, warm_s=0.3)
        self.running: list[tuple[float, int, float, Future[BatchDone], int]] = []
        self.numbers = itertools.count()
        self.handed = threading.Event()
        """Set when a batch comes."""
        self.took: list[tuple[int, float]] = []
        """Chunks and seconds of each batch."""

    def submit(self, refs: Sequence[ChunkRef]) -> Future[BatchDone]:
        future: Future[BatchDone] = Future()
        took_s = sum(compute_s(ref.seconds) for ref in refs) * self.rng.uniform(0.8, 1.25)
        heapq.heappush(self.running, (self.now + took_s, next(self.numbers), took_s, future, len(refs)))
        self.handed.set()
        return future

    def next(self) -> None:
        self.now, _, took_s, future, size = heapq.heappop(self.running)
        self.took.append((size, took_s))
        items: tuple[Transcript | AsrqError, ...] = (Transcript("text", "en"),) * size
        future.set_result(BatchDone(items, took_s, cast("Any", None)))


class Host:
    """A scheduler, its engine, and what came of the jobs that were submitted."""

    def __init__(self, seed: int, *, batch_s: float = BATCH_S) -> None:
        self.rng = random.Random(seed)  # noqa: S311  # no secret
        self.engine = FakeEngine(self.rng)
        self.scheduler = Scheduler(cast("Engine", self.engine), batch_s=batch_s)
        self.audio_s: Counter[str] = Counter()
        self.totals: list[float] = []
        """Seconds from the submission of each clip to its text."""

    def submit(self, flow: str, lane: str, lengths: Sequence[float], done: Callable[[], None]) -> None:
        left = len(lengths)

        def one_done(seconds: float, future: Future[ChunkDone]) -> None:
            nonlocal left
            future.result()
            self.audio_s[flow] += round(seconds)
            left -= 1
            if not left:
                done()

        tasks = [
            ChunkTask(flow, lane, Path("none"), 0, round(seconds * SAMPLE_RATE), ChunkOptions("en"))
            for seconds in lengths
        ]
        for seconds, future in zip(lengths, self.scheduler.submit(tasks), strict=True):
            future.add_done_callback(lambda future, s=seconds: one_done(s, future))

    def file(self) -> list[float]:
        """Return the lengths of the chunks of a quarter of an hour: choosing takes the longer, the more wait."""
        return [self.rng.uniform(15, 28) for _ in range(42)]

    def dictate(self) -> None:
        began, name = self.engine.now, f"clip{len(self.totals)}"
        self.submit(name, "interactive", [CLIP_S], lambda: self.totals.append(self.engine.now - began))

    def go_on(self, *, until_s: float) -> None:
        """Let the time pass."""
        self.settle()
        while self.engine.running and self.engine.running[0][0] <= until_s:
            self.engine.next()
            self.settle()
        self.engine.now = max(self.engine.now, until_s)

    def settle(self) -> None:
        """Wait until the scheduler's thread has handed out what can go now."""

        while not self.settled():
            self.engine.handed.wait()

    def settled(self) -> bool:
        with self.scheduler._changed:
            self.engine.handed.clear()
            return len(self.scheduler._pending.running) == len(self.engine.running) and not self.scheduler._choose()


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """Make hosts whose schedulers end."""
    hosts: list[Host] = []

    def make(seed: int, **options: Any) -> Host:
        hosts.append(Host(seed, **options))
        return hosts[-1]

    yield make
    for each in hosts:
        each.scheduler.close()


def beside_files(host: Host, clips: int) -> float:
    """Dictate beside 80 files and return the 95th percentile of the times that clips took."""
    files = iter([host.file() for _ in range(80)])

    def next_file() -> None:
        if lengths := next(files, None):
            host.submit(f"file{len(host.audio_s)}.{len(lengths)}", "batch", lengths, next_file)

    for _ in range(SLOTS):
        next_file()
    now = 60.0
    for number in range(clips):
        host.go_on(until_s=now)
        host.dictate()
        now += host.rng.uniform(2, 12)
        while len(host.totals) <= number:
            host.settle()
            host.engine.next()
    return statistics.quantiles(host.totals, n=20)[-1]


@pytest.mark.parametrize("seed", range(2))
def test_a_clip_waits_for_at_most_one_batch_of_files(host: Callable[..., Host], seed: int) -> None:
    p95 = beside_files(host(seed), clips=60)
    one_batch = max(BATCH_S, compute_s(28))
    assert p95 <= 1.5 * compute_s(CLIP_S) + one_batch


def test_without_a_bound_it_waits_for_long(host: Callable[..., Host]) -> None:
    p95 = beside_files(host(0, batch_s=math.inf), clips=60)
    assert p95 > 1.5 * compute_s(CLIP_S) + 2 * BATCH_S


def test_batches_are_filled_as_far_as_their_time_goes(host: Callable[..., Host]) -> None:
    """Clips of 5 s take 0.5 s each, of which four fit into 2 s; the first batches, of a pace unknown, are smaller."""
    clips = host(4)
    for number in range(240):
        clips.submit(f"clip{number}", "batch", [CLIP_S], lambda: None)
    clips.go_on(until_s=1000.0)
    sizes = [size for size, _ in clips.engine.took]
    assert sizes[0] == 1
    assert statistics.mean(sizes[4:]) >= 3.5
    assert statistics.mean(took_s for _, took_s in clips.engine.took[4:]) <= BATCH_S


def test_jobs_of_a_lane_share_by_audio(host: Callable[..., Host]) -> None:
    """One has long chunks, one short ones, and one comes later."""
    shared = host(5)
    shared.submit("long", "batch", [28.0] * 120, lambda: None)
    shared.submit("short", "batch", [7.0] * 480, lambda: None)
    shared.go_on(until_s=100.0)
    before = Counter(shared.audio_s)
    assert before["long"] == pytest.approx(before["short"], abs=100)
    shared.submit("late", "batch", [14.0] * 120, lambda: None)
    shared.go_on(until_s=200.0)
    got = [shared.audio_s[flow] - before[flow] for flow in ("long", "short", "late")]
    assert max(got) - min(got) <= 150
    assert min(got) > 500
