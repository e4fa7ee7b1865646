"""A process of an engine that takes the place of another: beside it, or after it, without a job noticing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import wait
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.waiting import until

from asrq_jobs.errors import EngineCrashedError
from asrq_worker.backends.base import Transcript
from asrq_worker.engine import engine as engine_module
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import ChunkRef
from asrq_worker.engine.recycling import NEVER, Recycling
from asrq_worker.engine.state import EngineState
from asrq_worker.process import supervisor
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.child import Child

Ref = Callable[..., ChunkRef]
MakeEngine = Callable[..., Engine]


def interruptions(engine: Engine) -> list[EngineState]:
    """A list that grows with each state other than ready, from now on."""
    heard: list[EngineState] = []
    engine.listeners.append(lambda state: None if state is EngineState.READY else heard.append(state))
    return heard


def transcribes(engine: Engine, ref: ChunkRef) -> bool:
    return isinstance(engine.submit([ref]).result(120).items[0], Transcript)


@pytest.mark.parametrize(
    ("recycling", "served", "reason"),
    [
        (NEVER, {"batches": 10**9, "rss_mb": 10**6, "fresh_mb": 100}, None),
        (Recycling(max_batches=5), {"batches": 4, "rss_mb": 10**6, "fresh_mb": 100}, None),
        (Recycling(max_batches=5), {"batches": 5, "rss_mb": 100, "fresh_mb": 100}, "batches"),
        (Recycling(max_rss_mb=200), {"batches": 10**9, "rss_mb": 200, "fresh_mb": 100}, None),
        (Recycling(max_rss_mb=200), {"batches": 0, "rss_mb": 201, "fresh_mb": 100}, "memory"),
        (Recycling(max_rss_mb=200), {"batches": 9, "rss_mb": 300, "fresh_mb": 201}, None),
    ],
)
def test_when_a_process_has_served_enough(recycling: Recycling, served: dict[str, int], reason: str | None) -> None:
    assert recycling.due(**served) == reason


def test_the_next_process_is_warm_before_the_old_one_goes(make_engine: MakeEngine, ref: Ref, tmp_path: Path) -> None:
    """The old one still works on a batch when the new one takes over; both serve, nothing fails, nothing waits."""
    engine = make_engine(parallel=2, recycling=Recycling(max_batches=3))
    engine.wait_ready(120)
    old = engine.pid
    heard = interruptions(engine)
    in_flight = engine.submit([ref(f"until:{tmp_path / 'go'}")])
    reference = engine.submit([ref()]).result(120).items
    served = 1
    while engine.pid == old:  # from the third batch on, the successor loads
        assert engine.submit([ref()]).result(120).items == reference
        served += 1
    assert served >= 3
    assert engine.submit([ref()]).result(120).items == reference
    assert not in_flight.done()
    assert psutil.pid_exists(old)
    (tmp_path / "go").touch()
    assert isinstance(in_flight.result(120).items[0], Transcript)
    until(lambda: not psutil.pid_exists(old))
    assert heard == []
    assert engine.replacements["batches"] >= 1
    assert (engine.restarts, engine.error) == (0, None)


def test_a_process_that_grew_too_large_is_replaced(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine(recycling=Recycling(max_rss_mb=160))
    engine.wait_ready(120)
    old = engine.pid
    assert transcribes(engine, ref())
    assert engine.replacements == {}
    assert transcribes(engine, ref("grow:150"))
    until(lambda: engine.pid != old)
    until(lambda: not psutil.pid_exists(old))
    assert engine.memory_mb() < 160
    assert engine.replacements == {"memory": 1}


def test_where_there_is_no_room_for_two_the_old_one_ends_first(
    make_engine: MakeEngine, ref: Ref, tmp_path: Path
) -> None:
    engine = make_engine(parallel=2, recycling=Recycling(max_batches=1), room_mb=lambda: 1)
    engine.wait_ready(120)
    old = engine.pid
    in_flight = engine.submit([ref(f"until:{tmp_path / 'go'}")])
    assert transcribes(engine, ref())
    until(lambda: engine.state is EngineState.LOADING)
    assert engine.pid is None
    assert engine.within_limits()
    assert psutil.pid_exists(old), "it has a batch to finish"
    (tmp_path / "go").touch()
    assert isinstance(in_flight.result(120).items[0], Transcript)
    until(lambda: engine.pid is not None)
    assert not psutil.pid_exists(old)
    assert engine.wait_ready(120)
    assert (engine.restarts, engine.error) == (0, None)


def test_a_replacement_that_does_not_load_leaves_the_old_one_serving(
    make_engine: MakeEngine, ref: Ref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_REPLACEMENTS", Backoff(0.2, 300.0))
    loads = tmp_path / "loads"
    loads.touch()
    engine = make_engine(f"crash-unless:{loads}", recycling=Recycling(max_batches=1))
    engine.wait_ready(120)
    loads.unlink()
    old, heard = engine.pid, interruptions(engine)
    assert transcribes(engine, ref())
    until(lambda: engine.replacements["batches"] == 2)  # the first has failed, the second is on its way
    assert transcribes(engine, ref())
    assert (engine.pid, engine.state, engine.error, engine.restarts) == (old, EngineState.READY, None, 0)
    loads.touch()
    until(lambda: engine.pid != old)
    assert transcribes(engine, ref())
    assert heard == []


def test_a_replacement_that_cannot_be_started_is_tried_again_ever_later(
    make_engine: MakeEngine, ref: Ref, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_REPLACEMENTS", Backoff(0.05, 300.0))
    engine = make_engine(recycling=Recycling(max_batches=1))
    engine.wait_ready(120)
    old, heard = engine.pid, interruptions(engine)
    start, tries = supervisor.Child, []

    def short_of_processes(*given: Any, **more: Any) -> Child:
        tries.append(time.monotonic())
        if len(tries) < 4:
            raise OSError("Resource temporarily unavailable")
        return start(*given, **more)

    monkeypatch.setattr(supervisor, "Child", short_of_processes)
    assert transcribes(engine, ref())
    until(lambda: engine.pid != old)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert all(pause >= at_least for pause, at_least in zip(pauses, [0.05, 0.1, 0.2], strict=True))
    assert transcribes(engine, ref())
    assert (heard, engine.replacements, engine.restarts, engine.error) == ([], {"batches": 1}, 0, None)


def test_a_replacement_that_failed_is_put_off_for_longer_each_time() -> None:
    pauses = [engine_module._REPLACEMENTS.pause_s(failures) for failures in range(1, 8)]
    assert pauses == [10, 20, 40, 80, 160, 300, 300]


def test_an_idle_engine_is_renewed_at_once_and_a_process_that_is_gone_is_not_renewed_again(
    make_engine: MakeEngine, ref: Ref
) -> None:
    engine = make_engine()
    engine.wait_ready(120)
    old = engine.submit([ref()]).result(120).process
    engine.renew(old, "out_of_memory")
    until(lambda: engine.pid not in {None, old.pid})
    engine.wait_ready(120)
    fresh = engine.pid
    engine.renew(old, "out_of_memory")
    assert transcribes(engine, ref())
    assert (engine.pid, engine.replacements) == (fresh, {"out_of_memory": 1})


def test_one_that_dies_while_its_successor_loads_is_followed_by_it(
    make_engine: MakeEngine, ref: Ref, tmp_path: Path
) -> None:
    loads = tmp_path / "loads"
    loads.touch()
    engine = make_engine(f"until:{loads}", parallel=2, recycling=Recycling(max_batches=2))
    engine.wait_ready(120)
    old = engine.pid
    lost = engine.submit([ref("hang")])
    loads.unlink()
    assert all(transcribes(engine, ref()) for _ in range(2))
    until(lambda: engine.replacements["batches"] == 1)
    psutil.Process(old).kill()
    assert isinstance(lost.exception(10), EngineCrashedError)
    until(lambda: engine.pid not in {None, old})
    successor = engine.pid
    assert engine.state is EngineState.LOADING
    loads.touch()
    engine.wait_ready(120)
    assert engine.pid == successor
    assert engine.failures.restarts == {"engine_crashed": 1}


def test_closing_ends_every_process(make_engine: MakeEngine, ref: Ref, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    loads.touch()
    engine = make_engine(f"until:{loads}", recycling=Recycling(max_batches=1))
    engine.wait_ready(120)
    loads.unlink()
    assert transcribes(engine, ref())
    mine = psutil.Process()
    until(lambda: engine.replacements["batches"] == 1)
    until(lambda: len([c for c in mine.children() if "asrq_worker.engine.child" in c.cmdline()]) >= 2)
    children = mine.children()
    engine.close()
    assert not [child for child in children if child.is_running() and "asrq_worker.engine.child" in child.cmdline()]


def test_replaced_again_and_again_under_load(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine(parallel=4, recycling=Recycling(max_batches=20))
    engine.wait_ready(120)
    pids = {engine.pid}
    deadline = time.monotonic() + 20
    while len(pids) < 4:
        futures = [engine.submit([ref(seconds=0.01 * n)]) for n in range(1, 21)]
        wait(futures, 30)
        for n, future in enumerate(futures, 1):
            assert future.result().items[0].segments[0].end == pytest.approx(0.01 * n)
        pids.add(engine.pid)
        assert time.monotonic() < deadline
    assert engine.restarts == 0
    until(lambda: len(engine.processes) == 1)
