"""Chunks that nobody waits for: heard while the engine has nothing else to do, and never before anybody's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from support.waiting import until

from asrq_jobs.errors import CanceledError, EngineCrashedError, OutOfMemoryError
from asrq_worker.backends.base import ChunkOptions
from asrq_worker.engine.chunks import ChunkDone, ChunkTask
from asrq_worker.engine.scheduler import Scheduler

MakeScheduler = Callable[..., Scheduler]
Submit = Callable[..., Future[ChunkDone]]
Task = Callable[..., ChunkTask]


@pytest.fixture
def task(spoken: Path) -> Task:
    """Make a chunk of the noise with commands for the fake backend."""

    def make(flow: str, command: str | None = None, *, draft: bool = False) -> ChunkTask:
        return ChunkTask(flow, "interactive", spoken, 0, 16_000, ChunkOptions("en", prompt=command, draft=draft))

    return make


def offered(scheduler: Scheduler, task: ChunkTask) -> Future[ChunkDone]:
    future = scheduler.offer(task)
    assert future is not None
    return future


def test_an_engine_with_nothing_else_to_do_hears_them_in_turn(make_scheduler: MakeScheduler, task: Task) -> None:
    scheduler = make_scheduler(parallel=2)
    futures = [offered(scheduler, task(flow)) for flow in ("one", "other")]
    assert [future.result(120).batch_size for future in futures] == [1, 1]


def test_they_are_dropped_at_once_when_there_is_work(
    make_scheduler: MakeScheduler, submit: Submit, task: Task, tmp_path: Path
) -> None:
    scheduler, go = make_scheduler(), tmp_path / "go"
    heard = offered(scheduler, task("one", f"touch:{tmp_path / 'began'} until:{go}"))
    until((tmp_path / "began").exists)
    waits = offered(scheduler, task("other"))
    file = submit(scheduler, "file", f"until:{go}")
    assert isinstance(waits.exception(0), CanceledError)
    assert scheduler.offer(task("other")) is None, "a file waits"
    go.touch()
    assert heard.result(120).transcript.text == file.result(120).transcript.text
    until(lambda: scheduler.offer(task("other")) is not None)


def test_dictation_need_not_wait_for_one_where_there_is_a_spare_place(
    make_scheduler: MakeScheduler, submit: Submit, task: Task, tmp_path: Path
) -> None:
    scheduler, go = make_scheduler(options={"spare": 1}), tmp_path / "go"
    heard = offered(scheduler, task("one", f"touch:{tmp_path / 'began'} until:{go}"))
    until((tmp_path / "began").exists)
    assert submit(scheduler, "now", lane="interactive").result(120).transcript.text
    assert not heard.done()
    go.touch()


@pytest.mark.parametrize(("flow", "draft"), [("one", True), ("file", False)])
def test_one_that_is_of_no_use_any_more_is_left_unfinished(
    make_scheduler: MakeScheduler, submit: Submit, task: Task, tmp_path: Path, flow: str, draft: bool
) -> None:
    scheduler, began = make_scheduler(), tmp_path / "began"
    runs = offered(scheduler, task(flow, f"touch:{began} unwanted", draft=draft))
    until(began.exists)
    file = submit(scheduler, "file")
    assert isinstance(runs.exception(0), CanceledError)
    assert not scheduler.want(runs)
    assert file.result(120).transcript.text


def test_one_that_is_the_last_of_its_job_is_left_with_it(
    make_scheduler: MakeScheduler, submit: Submit, task: Task, tmp_path: Path
) -> None:
    scheduler, began = make_scheduler(), tmp_path / "began"
    offered(scheduler, task("one", f"touch:{began} unwanted"))
    until(began.exists)
    scheduler.cancel("one")
    assert submit(scheduler, "file").result(120).transcript.text


def test_one_that_somebody_wants_after_all_is_as_any_other(
    make_scheduler: MakeScheduler, submit: Submit, task: Task, tmp_path: Path
) -> None:
    scheduler, go = make_scheduler(), tmp_path / "go"
    runs = offered(scheduler, task("one", f"touch:{tmp_path / 'began'} until:{go}"))
    until((tmp_path / "began").exists)
    waits = offered(scheduler, task("one"))
    assert scheduler.want(runs)
    assert scheduler.want(waits)
    rest = submit(scheduler, "one")
    go.touch()
    assert all(future.result(120).transcript.text for future in (runs, waits, rest))
    assert scheduler.want(runs), "it is done"
    again, die = tmp_path / "again", tmp_path / "die"
    killed = offered(scheduler, task("one", f"touch:{again} until:{die} crash-once:{tmp_path / 'once'}"))
    until(again.exists)
    assert scheduler.want(killed)
    die.touch()
    assert killed.result(120).retries == 1


def test_one_that_kills_the_engine_or_fits_in_no_memory_is_not_tried_again(
    make_scheduler: MakeScheduler, submit: Submit, task: Task
) -> None:
    scheduler = make_scheduler()
    assert isinstance(offered(scheduler, task("one", "oom")).exception(30), OutOfMemoryError)
    assert not scheduler.steps
    assert isinstance(offered(scheduler, task("one", "crash")).exception(30), EngineCrashedError)
    done = submit(scheduler, "file").result(120)
    assert done.retries == 0
    assert offered(scheduler, task("one")).result(120).transcript.text


def test_none_is_taken_when_the_worker_stops(make_scheduler: MakeScheduler, task: Task) -> None:
    scheduler = make_scheduler()
    scheduler.close()
    assert scheduler.offer(task("one")) is None
