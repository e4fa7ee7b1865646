"""The scheduler on a real engine child: fairness, cancellation, and finding the chunk that kills."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.waiting import until

from asrq_jobs.errors import (
    CanceledError,
    EngineUnavailableError,
    InferenceError,
    ModelMissingError,
    OutOfMemoryError,
    PoisonedError,
    ShutdownError,
)
from asrq_worker.engine.chunks import ChunkDone
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import ChunkRef
from asrq_worker.engine.out_of_memory import Step
from asrq_worker.engine.process import BatchDone
from asrq_worker.engine.recycling import Recycling
from asrq_worker.engine.scheduler import Scheduler

MakeEngine = Callable[..., Engine]
MakeScheduler = Callable[..., Scheduler]
Submit = Callable[..., Future[ChunkDone]]


def finish_order(futures: dict[str, Future[ChunkDone]]) -> tuple[list[str], threading.Event]:
    """Return a list that grows as futures finish, and an event set when all have."""
    order: list[str] = []
    all_done = threading.Event()

    def finished(name: str) -> None:
        order.append(name)
        if len(order) == len(futures):
            all_done.set()

    for name, future in futures.items():
        future.add_done_callback(lambda _, name=name: finished(name))
    return order, all_done


def hold(
    scheduler: Scheduler, submit: Submit, flow: str, folder: Path, then: str = "", **more: Any
) -> tuple[Future[ChunkDone], Path]:
    """Keep the engine busy with a chunk, from now on and until the returned file exists; `then` it does that."""
    began, go = folder / f"{flow}-began", folder / "go"
    future = submit(scheduler, flow, f"touch:{began} until:{go} {then}", **more)
    wait_for(began)
    return future, go


def wait_for(file: Path) -> None:
    """Wait until another process has made a file."""
    until(file.exists)


def test_a_chunk_comes_back_with_what_it_took(make_scheduler: MakeScheduler, submit: Submit) -> None:
    done = submit(make_scheduler(), "job", "sleep:0.05").result(120)
    assert done.transcript.text
    assert done.inference_s >= 0.05
    assert 0 <= done.wait_s < 5
    assert (done.batch_size, done.retries) == (1, 0)


def test_a_chunk_knows_how_long_it_waited_for_an_idle_engine(make_scheduler: MakeScheduler, submit: Submit) -> None:
    scheduler = make_scheduler()
    assert submit(scheduler, "job").result(120).idle_s == 0, "the thread was new"
    began = time.monotonic()
    lone = submit(scheduler, "job").result(120)
    assert 0 < lone.idle_s < time.monotonic() - began
    first, second = (submit(scheduler, "job", "sleep:1") for _ in range(2))
    first.result(120)
    assert second.result(120).idle_s < second.result(120).wait_s, "it waited for the first rather than for the engine"


def test_a_long_job_does_not_block_a_clip(make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path) -> None:
    scheduler = make_scheduler()
    first, go = hold(scheduler, submit, "long", tmp_path)
    futures = {"long0": first}
    futures |= {f"long{n}": submit(scheduler, "long") for n in range(1, 5)}
    futures |= {"clip": submit(scheduler, "clip"), "dictation": submit(scheduler, "now", lane="interactive")}
    order, all_done = finish_order(futures)
    go.touch()
    assert all_done.wait(10)
    assert order == ["long0", "dictation", "clip", "long1", "long2", "long3", "long4"]


def test_batches_form_by_themselves_when_the_engine_is_busy(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler(options={"max_batch": 4})
    first, go = hold(scheduler, submit, "first", tmp_path)
    others = [submit(scheduler, f"job{n}") for n in range(4)]
    go.touch()
    assert first.result(120).batch_size == 1
    assert [future.result(120).batch_size for future in others] == [4, 4, 4, 4]
    total = sum(future.result().inference_s for future in others)
    assert total == pytest.approx(4 * others[0].result().inference_s)


def test_an_error_of_one_chunk_is_its_own(make_scheduler: MakeScheduler, submit: Submit) -> None:
    scheduler = make_scheduler()
    bad, good = submit(scheduler, "bad", "fail"), submit(scheduler, "good")
    assert isinstance(bad.exception(10), InferenceError)
    assert good.result(120).retries == 0


def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler(options={"max_batch": 4})
    blocker, go = hold(scheduler, submit, "first", tmp_path)
    futures = [submit(scheduler, f"job{n}", f"oom-batch:{fits}") for n, fits in enumerate((2, 2, 2, 1))]
    small = [submit(scheduler, f"small{n}") for n in range(4)]
    go.touch()
    blocker.result(120)
    assert [(future.result(120).batch_size, future.result().retries) for future in futures] == [
        (2, 1), (2, 1), (2, 1), (1, 2),
    ]  # fmt: skip
    assert max(future.result(120).batch_size for future in small) <= 2, "what did not fit is not tried again at once"
    assert scheduler.steps == {Step.HALVE: 5}


def test_a_chunk_that_does_not_fit_beside_others_runs_alone(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler(parallel=2)
    held, go = hold(scheduler, submit, "first", tmp_path)
    told: list[Step] = []
    large = submit(scheduler, "large", f"oom-in:{tmp_path / 'pid'}", told=told.append)
    wait_for(tmp_path / "pid")
    (tmp_path / "pid").write_text("there is room now")
    go.touch()
    assert large.result(120).retries == 1
    assert held.result(120).retries == 0
    assert told == [Step.HALVE]


def test_dictation_does_not_wait_for_files_that_have_taken_all_places(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler(options={"spare": 1})
    file, go = hold(scheduler, submit, "file", tmp_path)
    other = submit(scheduler, "other")
    assert submit(scheduler, "now", lane="interactive").result(120).transcript.text
    assert not file.done()
    assert not other.done()
    go.touch()
    assert other.result(120).transcript.text


def test_where_memory_is_short_dictation_waits_all_the_same(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler(parallel=2, options={"spare": 1})
    file, go = hold(scheduler, submit, "file", tmp_path)
    large = submit(scheduler, "large", f"oom-in:{tmp_path / 'pid'}")
    until(lambda: scheduler.steps[Step.HALVE] == 1)
    (tmp_path / "pid").write_text("there is room now")
    dictation = submit(scheduler, "now", lane="interactive")
    with scheduler._changed:
        assert not scheduler._choose()
    go.touch()
    assert [future.result(120).retries for future in (file, large, dictation)] == [0, 1, 0]


def test_a_long_chunk_that_does_not_fit_alone_is_given_back_to_be_split(
    make_scheduler: MakeScheduler, submit: Submit
) -> None:
    scheduler = make_scheduler()
    told: list[Step] = []
    error = submit(scheduler, "long", "oom-over:9", seconds=10, told=told.append).exception(10)
    assert isinstance(error, OutOfMemoryError)
    assert told == [Step.SPLIT]
    assert submit(scheduler, "long", "oom-over:9", seconds=5).result(120).retries == 0


def test_a_short_chunk_that_does_not_fit_gets_a_fresh_process(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    """Its neighbours wait meanwhile; nothing is taken for a failure of the engine."""
    scheduler = make_scheduler()
    pid = scheduler._engine.pid
    told: list[Step] = []
    chunk = submit(scheduler, "short", f"oom-in:{tmp_path / 'pid'}", told=told.append)
    others = [submit(scheduler, f"other{n}") for n in range(3)]
    assert chunk.result(120).retries == 1
    assert all(other.result(120).retries == 0 for other in others)
    assert told == [Step.RESTART]
    assert scheduler._engine.pid != pid
    assert not psutil.pid_exists(pid)
    assert scheduler._engine.restarts == 0
    assert scheduler._engine.replacements == {"out_of_memory": 1}


def test_a_chunk_that_does_not_fit_into_a_fresh_process_either_fails(
    make_scheduler: MakeScheduler, submit: Submit
) -> None:
    scheduler = make_scheduler()
    told: list[Step] = []
    hopeless, other = submit(scheduler, "hopeless", "oom", told=told.append), submit(scheduler, "other")
    assert isinstance(hopeless.exception(30), OutOfMemoryError)
    assert told == [Step.RESTART, Step.GIVE_UP]
    assert other.result(120).retries == 0


def test_chunks_that_run_out_of_memory_together_share_one_fresh_process(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler(parallel=2)
    first, go = hold(scheduler, submit, "first", tmp_path, "oom")
    second, _ = hold(scheduler, submit, "second", tmp_path, "oom")
    go.touch()
    hopeless = [first, second]
    wait(hopeless, 30)
    assert all(isinstance(future.exception(), OutOfMemoryError) for future in hopeless)
    assert scheduler.steps == {Step.HALVE: 2, Step.RESTART: 1, Step.GIVE_UP: 2}
    assert scheduler._engine.replacements == {"out_of_memory": 1}


def test_a_chunk_that_kills_the_engine_is_found_and_its_neighbours_finish(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler(parallel=3)
    first, go = hold(scheduler, submit, "first", tmp_path)
    second, _ = hold(scheduler, submit, "second", tmp_path)
    crashes = tmp_path / "crashes"
    poison = submit(scheduler, "poison", f"touch:{crashes} crash", start=7, seconds=2)
    wait_for(crashes)
    waiting = submit(scheduler, "waiting")
    go.touch()
    assert isinstance(poison.exception(30), PoisonedError)
    assert "7.0 to 9.0 s" in str(poison.exception())
    assert all(future.result(120).transcript.text for future in [first, second, waiting])


def test_a_chunk_that_hangs_the_engine_is_found_too(make_scheduler: MakeScheduler, submit: Submit) -> None:
    scheduler = make_scheduler(parallel=2, stall_s=0.2, slowness=0.1)
    poison, innocent = submit(scheduler, "poison", "hang"), submit(scheduler, "innocent")
    assert innocent.result(120).transcript.text
    assert isinstance(poison.exception(30), PoisonedError)


def test_one_crash_costs_nothing_but_time(make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path) -> None:
    done = submit(make_scheduler(), "job", f"crash-once:{tmp_path / 'crashed'}").result(120)
    assert done.retries == 1


def test_many_poisoned_and_many_innocent(make_scheduler: MakeScheduler, submit: Submit) -> None:
    scheduler = make_scheduler(parallel=2, max_kills=1)
    poison = [submit(scheduler, f"bad{n}", "crash") for n in range(2)]
    innocent = [submit(scheduler, f"good{n}", start=n) for n in range(20)]
    wait([*poison, *innocent], 60)
    assert all(isinstance(future.exception(), PoisonedError) for future in poison)
    assert all(future.exception() is None for future in innocent)


def test_cancel_drops_what_waits_and_ignores_what_runs(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler()
    running, go = hold(scheduler, submit, "job", tmp_path)
    queued = submit(scheduler, "job")
    other = submit(scheduler, "other")
    assert scheduler.alive("job")
    scheduler.cancel("job")
    assert isinstance(running.exception(1), CanceledError)
    assert isinstance(queued.exception(1), CanceledError)
    assert not scheduler.alive("job")
    go.touch()
    assert other.result(120).transcript.text


def test_a_canceled_poison_is_not_tried_again(make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path) -> None:
    scheduler = make_scheduler()
    poison, go = hold(scheduler, submit, "poison", tmp_path, then="crash")
    scheduler.cancel("poison")
    assert isinstance(poison.exception(1), CanceledError)
    queued = submit(scheduler, "next")
    go.touch()
    assert queued.result(120).transcript.text
    assert scheduler._engine.restarts == 1


def test_a_canceled_chunk_that_does_not_fit_takes_no_step(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler()
    told: list[Step] = []
    _, go = hold(scheduler, submit, "large", tmp_path, then="oom", told=told.append)
    scheduler.cancel("large")
    queued = submit(scheduler, "next")
    go.touch()
    assert queued.result(120).transcript.text
    assert (told, scheduler.steps, scheduler._engine.replacements) == ([], {}, {})


def test_a_batch_that_comes_while_the_engine_is_replaced_waits_for_the_next_process(
    make_scheduler: MakeScheduler, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler()
    engine, accept, refused = scheduler._engine, scheduler._engine.submit, []

    def not_ready_at_first(refs: list[ChunkRef]) -> Future[BatchDone]:
        if len(refused) == 2:
            return accept(refs)
        refused.append(refs)
        future: Future[BatchDone] = Future()
        future.set_exception(EngineUnavailableError("The engine is not ready."))
        return future

    monkeypatch.setattr(engine, "submit", not_ready_at_first)
    assert submit(scheduler, "job").result(120).retries == 0
    assert len(refused) == 2


class Flood:
    """Jobs of a lane that never cease: for each that is done another comes, until it is stopped."""

    def __init__(self, scheduler: Scheduler, submit: Submit, *, lane: str, jobs: int) -> None:
        self._submit = lambda name: submit(scheduler, name, lane=lane)
        self._numbers = itertools.count()
        self.ends: list[str] = []
        self.stopped = False
        for _ in range(jobs):
            self._come()

    def _come(self) -> None:
        self._submit(f"flood{next(self._numbers)}").add_done_callback(self._go)

    def _go(self, done: Future[ChunkDone]) -> None:
        self.ends.append("flood" if done.exception() is None else "failed")
        if not self.stopped:
            self._come()


@pytest.fixture
def flood(submit: Submit) -> Iterator[Callable[..., Flood]]:
    """Begin floods that are stopped in the end."""
    floods: list[Flood] = []

    def begin(scheduler: Scheduler, *, lane: str, jobs: int) -> Flood:
        floods.append(Flood(scheduler, submit, lane=lane, jobs=jobs))
        return floods[-1]

    yield begin
    for each in floods:
        each.stopped = True


def test_a_file_ends_though_dictation_never_does(
    make_scheduler: MakeScheduler, submit: Submit, flood: Callable[..., Flood], tmp_path: Path
) -> None:
    """It gets a fifth of the places."""
    scheduler = make_scheduler()
    _, go = hold(scheduler, submit, "first", tmp_path)
    ends = flood(scheduler, lane="interactive", jobs=3).ends
    for _ in range(4):
        submit(scheduler, "file").add_done_callback(lambda _: ends.append("file"))
    go.touch()
    until(lambda: len(ends) >= 4 * 5)
    assert ends[: 4 * 5] == [*["flood"] * 4, "file"] * 4


def test_a_file_ends_though_clips_of_its_lane_never_do(
    make_scheduler: MakeScheduler, submit: Submit, flood: Callable[..., Flood]
) -> None:
    scheduler = make_scheduler(parallel=2)
    flood(scheduler, lane="batch", jobs=6)
    file = [submit(scheduler, "file") for _ in range(4)]
    assert all(chunk.result(120).retries == 0 for chunk in file)


def test_what_killed_the_engine_gets_its_turn_alone_though_dictation_never_ceases(
    make_scheduler: MakeScheduler, submit: Submit, flood: Callable[..., Flood], tmp_path: Path
) -> None:
    scheduler = make_scheduler(parallel=3)
    ends = flood(scheduler, lane="interactive", jobs=6).ends
    innocent = submit(scheduler, "file", f"crash-once:{tmp_path / 'crashed'}")
    poison = submit(scheduler, "other", "crash")
    assert innocent.result(120).retries >= 1
    assert isinstance(poison.exception(60), PoisonedError)
    assert "failed" not in ends


def test_an_engine_is_replaced_though_work_never_ceases(
    make_scheduler: MakeScheduler, flood: Callable[..., Flood]
) -> None:
    """Where there is no room for two it takes nothing until the next one has loaded, and nothing fails."""
    scheduler = make_scheduler(parallel=2, recycling=Recycling(max_batches=20), room_mb=lambda: 0)
    ends = flood(scheduler, lane="interactive", jobs=6).ends
    until(lambda: scheduler._engine.replacements["batches"] == 2)
    assert len(ends) >= 2 * 20
    assert "failed" not in ends
    assert scheduler._engine.restarts == 0


def test_chunks_wait_for_a_killed_engine(make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path) -> None:
    scheduler = make_scheduler()
    running, go = hold(scheduler, submit, "job", tmp_path)
    psutil.Process(scheduler._engine.pid).kill()
    queued = submit(scheduler, "other")
    go.touch()
    assert running.result(120).transcript == queued.result(120).transcript


def test_a_job_is_alive_while_its_work_is_within_limits(
    make_scheduler: MakeScheduler, submit: Submit, tmp_path: Path
) -> None:
    scheduler = make_scheduler()
    assert not scheduler.alive("job")
    future = submit(scheduler, "job", f"until:{tmp_path / 'go'}")
    assert scheduler.alive("job")
    assert not scheduler.alive("other")
    (tmp_path / "go").touch()
    future.result(120)
    assert not scheduler.alive("job")


def test_an_engine_that_stays_away_fails_what_waits(make_engine: MakeEngine, submit: Submit, tmp_path: Path) -> None:
    """It loads once; from then on each start crashes, as the file that kept it from crashing is gone."""
    loads = tmp_path / "loads"
    loads.touch()
    engine = make_engine(f"crash-unless:{loads}")
    engine.wait_ready(120)
    loads.unlink()
    scheduler = Scheduler(engine, unavailable_after_s=0.0)
    try:
        psutil.Process(engine.pid).kill()
        assert isinstance(submit(scheduler, "job", "hang").exception(30), EngineUnavailableError)
        assert not engine.final
    finally:
        scheduler.close()


def test_an_engine_that_cannot_start_fails_chunks_with_the_reason(make_engine: MakeEngine, submit: Submit) -> None:
    engine = make_engine("missing")
    scheduler = Scheduler(engine)
    try:
        assert isinstance(submit(scheduler, "job").exception(30), ModelMissingError)
        assert isinstance(submit(scheduler, "later").exception(30), ModelMissingError)
    finally:
        scheduler.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_nobody_waits_for_an_engine_that_takes_no_batch(make_scheduler: MakeScheduler, submit: Submit) -> None:
    """A stopped process reads nothing, and a batch with many hotwords is more than fits into a pipe."""
    scheduler = make_scheduler()
    psutil.Process(scheduler._engine.pid).suspend()
    began = time.monotonic()
    stuck = submit(scheduler, "job", "x" * 10**6)  # which does not wait either
    until(lambda: not scheduler._pending)  # the engine has it
    scheduler.close()
    assert time.monotonic() - began < 10
    assert isinstance(stuck.exception(1), ShutdownError)


def test_closing_hands_everything_back(make_scheduler: MakeScheduler, submit: Submit) -> None:
    scheduler = make_scheduler()
    running, queued = submit(scheduler, "a", "hang"), submit(scheduler, "b")
    scheduler.close()
    assert isinstance(running.exception(1), ShutdownError)
    assert isinstance(queued.exception(1), ShutdownError)
    assert isinstance(submit(scheduler, "c").exception(1), ShutdownError)
