"""A host's queue side around a scripted task: real Valkey, real slots and leases, no model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from redis import Redis

from asrq_jobs.errors import AsrqError, CanceledError
from asrq_jobs.request import Request
from asrq_jobs.result import Result, Timings, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_worker.job.attempt import Task
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.job.pipeline import Pipeline
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.router import Router
from asrq_worker.queue.slot import Observe, Slot
from asrq_worker.routing.offers import Offer

Work = Callable[[Request, JobControl, Journal], Result]

WORKER = WorkerInfo(name="host", host="here", pid=1, version="0")


def transcribed(request: Request, text: str = "hello") -> Result:
    """The result of a pipeline that did its work."""
    return Result(
        id=request.id,
        status="completed",
        text=text,
        language="en",
        duration=2.0,
        timings=Timings(rtfx=4.0, total_s=0.5),
    )


class Scripted:
    """Stands where the pipeline stands and does what the test says."""

    def __init__(self, work: Work, offers: Sequence[Offer]) -> None:
        self.work = work
        self.offers = offers
        self.tried_anew: list[str] = []
        self.runs: list[str] = []

    def run(self, request: Request, control: JobControl, journal: Journal) -> Result:
        self.runs.append(request.id)
        return self.work(request, control, journal)

    def failure(self, request: Request, error: AsrqError) -> Result:
        status = "canceled" if isinstance(error, CanceledError) else "failed"
        return Result(id=request.id, status=status, error=error.info())


ANYTHING = (Offer(backend="fake", model="m"),)
"""What a host offers that can serve any job that names no other backend or model."""


def takes_all(redis: Redis) -> Router:
    """A router of such a host."""
    return Router(redis, "host", lambda: ANYTHING, lambda _backend: None)


def registration(settings: Settings, offers: Sequence[Offer], *, state: str = "ready") -> str:
    """What a worker announces that offers this."""
    serves = [offer.model_dump(mode="json", exclude_none=True) for offer in offers]
    return json.dumps({"state": state, "at": time.time(), "lanes": settings.lanes, "serves": serves})


@dataclass
class Host:
    """What a test holds of the running host."""

    scripted: Scripted
    keeper: LeaseKeeper
    slots: list[Slot]


@contextmanager
def serving(
    redis: Redis,
    settings: Settings,
    work: Work,
    *,
    lane: str = "batch",
    slots: int = 1,
    renew: bool = True,
    name: str = "host",
    observe: Observe = lambda _taken, _ended: None,
    offers: Sequence[Offer] = ANYTHING,
) -> Iterator[Host]:
    """Run slots until the block ends; `offers`, which the test may change, is what the host says that it can serve."""
    scripted = Scripted(work, offers)
    router = Router(redis, name, lambda: scripted.offers, scripted.tried_anew.append)
    task = Task(cast("Pipeline", scripted), settings, WORKER, router.hands_back)
    running: list[Slot] = []
    keeper = LeaseKeeper(
        redis, lease_s=settings.lease_s, heartbeats=[lambda pipe: [slot.beat(pipe) for slot in running] and None]
    )
    names = [f"{name}.{lane}.{number}" for number in range(1, slots + 1)]
    running += [Slot(lane, slot_name, redis, task, keeper, router, settings, observe) for slot_name in names]
    if renew:
        keeper.loop.start()
    for slot in running:
        slot.loop.start()
    try:
        yield Host(scripted, keeper, running)
    finally:
        for slot in running:
            slot.loop.stop()
        assert all(slot.loop.join(60) for slot in running)
        if renew:
            keeper.loop.close()


class Gate:
    """Holds a scripted pipeline inside a job until the test lets it go on."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.open = threading.Event()

    def __call__(self, request: Request, control: JobControl, journal: Journal) -> Result:
        self.inside.set()
        while not self.open.is_set():
            control.check()
            control.wake.wait(0.02)
        control.check()
        return transcribed(request)


def failing(*errors: AsrqError) -> Work:
    """Raise these errors in turn, then succeed."""
    left = list(errors)

    def work(request: Request, control: JobControl, journal: Journal) -> Result:
        del control, journal
        if left:
            raise left.pop(0)
        return transcribed(request)

    return work
