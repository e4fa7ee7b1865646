"""Engines on the fake backend, and chunks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from asrq_worker.backends.base import BackendConfig, ChunkOptions
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import ChunkRef
from asrq_worker.engine.out_of_memory import Step
from asrq_worker.engine.scheduler import Scheduler

MakeEngine = Callable[..., Engine]
MakeScheduler = Callable[..., Scheduler]
Submit = Callable[..., Future[ChunkDone]]


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spool file with 60 s of noise."""
    path = tmp_path_factory.mktemp("spool") / "noise.f32"
    np.random.default_rng(1).normal(scale=0.1, size=16_000 * 60).astype("<f4").tofile(path)
    return path


@pytest.fixture
def ref(spoken: Path) -> Callable[..., ChunkRef]:
    """Make a chunk reference: seconds from the start of the noise, with commands for the fake backend."""

    def make(command: str | None = None, seconds: float = 1.0) -> ChunkRef:
        return ChunkRef(spoken, 0, round(seconds * 16_000), ChunkOptions(language="en", prompt=command))

    return make


@pytest.fixture
def make_engine(tmp_path: Path) -> Iterator[MakeEngine]:
    """Start engines on the fake backend; afterwards each is closed and its child must be gone."""
    engines: list[Engine] = []

    def make(model: str = "fake", *, parallel: int = 1, options: dict[str, Any] | None = None, **limits: Any) -> Engine:
        config = BackendConfig(model, tmp_path, parallel=parallel, options=options or {})
        engine = Engine("fake", config, **limits)
        engines.append(engine)
        engine.start()
        return engine

    yield make
    for engine in engines:
        pid = engine.pid
        engine.close()
        assert engine.pid is None
        assert pid is None or not psutil.pid_exists(pid)


@pytest.fixture
def make_scheduler(make_engine: MakeEngine) -> Iterator[MakeScheduler]:
    """Make a scheduler on an engine of its own that is ready."""
    schedulers: list[Scheduler] = []

    def make(*, max_kills: int = 2, unavailable_after_s: float = 120.0, **engine: Any) -> Scheduler:
        started = make_engine(**engine)
        started.wait_ready(120)
        scheduler = Scheduler(started, max_kills=max_kills, unavailable_after_s=unavailable_after_s)
        schedulers.append(scheduler)
        return scheduler

    yield make
    for scheduler in schedulers:
        scheduler.close()


@pytest.fixture
def submit(spoken: Path) -> Submit:
    """Queue a chunk of the noise with commands for the fake backend."""

    def queue(
        scheduler: Scheduler,
        flow: str,
        command: str | None = None,
        *,
        lane: str = "batch",
        seconds: float = 1.0,
        start: float = 0.0,
        told: Callable[[Step], None] | None = None,
    ) -> Future[ChunkDone]:
        first, last = round(start * 16_000), round((start + seconds) * 16_000)
        heard = (told,) if told else ()
        task = ChunkTask(flow, lane, spoken, first, last, ChunkOptions("en", prompt=command), *heard)
        return scheduler.submit([task])[0]

    return queue
