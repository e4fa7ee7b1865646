"""Hosts with the code that production runs: slots, leases, reaper and courier. Only the transcription is scripted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.client import Pipeline as RedisPipeline
from redis.exceptions import RedisError
from simulation.connection import client
from simulation.dictation import heard, said
from simulation.facts import Facts
from simulation.invariants import Ledger
from simulation.scheduler import Host, Scheduler
from simulation.uploads import text_key

from asrq_jobs import keys
from asrq_jobs.errors import AsrqError, AudioUnreadableError, CanceledError, EngineCrashedError, ShutdownError
from asrq_jobs.events import Event
from asrq_jobs.request import BlobAudio, LiveAudio, Request
from asrq_jobs.result import Result, Timings, WorkerInfo
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Transcript
from asrq_worker.job import cache
from asrq_worker.job.attempt import Task
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.process.supervision import wait_while_busy
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.loop import end
from asrq_worker.queue.router import Router
from asrq_worker.queue.slot import Slot
from asrq_worker.reaper.courier import Courier
from asrq_worker.reaper.reaper import Reaper
from asrq_worker.routing.offers import Offer

_BEATS_S = 0.5  # how often a job at work looks whether it is to stop


@dataclass(frozen=True)
class Script:
    """How a job goes: what each of its chunks takes in seconds, and how its first attempts end: bad, again or well."""

    chunks: tuple[float, ...] = (1.0,)
    attempts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What comes of it in the end."""
        return " ".join(f"chunk{number}" for number in range(len(self.chunks)))


class Scripted:
    """Stands where the pipeline stands, and keeps to the script of each job."""

    def __init__(self, scene: Scene, redis: Redis) -> None:
        self._scheduler = scene.scheduler
        self._scripts = scene.scripts
        self._settings = scene.settings
        self._redis = redis

    def run(self, request: Request, control: JobControl, journal: Journal) -> Result:
        """Do a job, chunk by chunk; chunks of an attempt before are not done again."""
        script, key = self._scripts[request.id], None
        if isinstance(request.audio, BlobAudio):
            key = text_key(request.audio)
            if earlier := cache.reuse(key, control, journal):
                return earlier.model_copy(update={"id": request.id, "cached": True})
        found = journal.load()
        journal.event(Event(type="progress", at=self._scheduler.now, stage="inference"))
        for number, seconds in enumerate(script.chunks):
            if str(number) not in found:
                until = self._scheduler.now + seconds
                while self._scheduler.now < until:
                    control.check()
                    self._scheduler.pause(seconds=min(_BEATS_S, until - self._scheduler.now))
                found[str(number)] = Transcript(text=f"chunk{number}", language="en")
                if 0 < number == len(script.chunks) - 1:
                    journal.conclude(Event(type="chunk", at=self._scheduler.now, text=f"chunk{number}"))
                else:
                    journal.save(str(number), found[str(number)])
        control.check()
        if isinstance(request.audio, LiveAudio):
            recording = heard(self._redis, request, control, journal, self._settings.live_idle_s)
            self._fail(request)
            warnings = recording.whole()[1].warnings
            return Result(id=request.id, status="completed", text=said(recording), duration=1.0, warnings=warnings)
        self._fail(request)
        text = " ".join(found[str(number)].text for number in range(len(script.chunks)))
        timings = Timings(rtfx=1.0, total_s=sum(script.chunks))
        return Result(id=request.id, status="completed", text=text, duration=1.0, timings=timings, cache_key=key)

    def _fail(self, request: Request) -> None:
        script = self._scripts[request.id]
        if not script.attempts:
            return
        how, self._scripts[request.id] = script.attempts[0], Script(script.chunks, script.attempts[1:])
        if how == "bad":
            raise AudioUnreadableError("It is no audio.")
        if how == "again":
            raise EngineCrashedError("The engine is gone.")

    def failure(self, request: Request, error: AsrqError) -> Result:
        """The result of a job that ended badly."""
        status = "canceled" if isinstance(error, CanceledError) else "failed"
        return Result(id=request.id, status=status, error=error.info())


@dataclass
class Scene:
    """What all hosts of a run share: jobs by id, what receivers of webhooks were told, and who sets a clock."""

    scheduler: Scheduler
    settings: Settings
    ledger: Ledger
    scripts: dict[str, Script] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    ahead_s: Callable[[], float] = lambda: 0.0
    look: Callable[[], Facts | None] = lambda: None
    """What there is in Redis."""


class WorkerHost:
    """A host with slots: started, drained, killed and started again under a new name."""

    def __init__(self, scene: Scene, place: str, lanes: Sequence[str], offers: Sequence[Offer]) -> None:
        self._scene = scene
        self._place = place
        self._lanes = tuple(lanes)
        self._offers = tuple(offers)
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start, as a new process would."""
        scene, settings = self._scene, self._scene.settings
        self._starts += 1
        self.host = host = Host(f"{self._place}{self._starts}", scene.ahead_s())
        self._redis = redis = client(settings, self._place)
        self.keeper = LeaseKeeper(redis, lease_s=settings.lease_s, heartbeats=[self._beat])
        router = Router(redis, host.name, lambda: self._offers, lambda _backend: None)
        info = WorkerInfo(name=host.name, host=host.name, pid=1, version="0")
        pipeline: Any = Scripted(scene, redis)
        task = Task(pipeline, settings, info, router.hands_back)
        self._slots = [
            Slot(lane, f"{host.name}.fake.{lane}.{number}", redis, task, self.keeper, router, settings)
            for number, lane in enumerate(self._lanes, 1)
        ]
        self._state = "ready"
        self._draining = False
        scene.scheduler.spawn(host, f"{host.name}.main", self._main)

    def _main(self) -> None:
        self.keeper.loop.start()
        for slot in self._slots:
            slot.loop.start()
        self._scene.scheduler.pause(ready=lambda: self._draining, seconds=1e9)
        self._drain()

    def drain(self) -> None:
        """Have it end in good order."""
        self._draining = True

    @property
    def drained(self) -> bool:
        """Whether it has."""
        return self._draining and all(actor.over for actor in self.host.actors)

    def _drain(self) -> None:
        """As `asrq_worker.programs.worker` does."""
        loops = [slot.loop for slot in self._slots]
        for loop in loops:
            loop.stop()
        if not wait_while_busy(loops, self._scene.settings.grace_s):
            for slot in self._slots:
                slot.hurry()
            self.keeper.stop_all(ShutdownError("The worker is stopping."))
            wait_while_busy(loops, 10.0)
        self.host.disturbed_at = float("inf")
        end([*loops, self.keeper.loop], self._redis, self._scene.settings)
        with suppress(RedisError):
            self._redis.hdel(keys.WORKERS, self.host.name)

    def _beat(self, pipe: RedisPipeline) -> None:
        for slot in self._slots:
            slot.beat(pipe)
        serves = [offer.model_dump(mode="json", exclude_none=True) for offer in self._offers]
        lanes = ",".join(f"{lane}:1" for lane in sorted(set(self._lanes)))
        status = {"state": self._state, "at": self._scene.scheduler.now, "lanes": lanes, "serves": serves}
        pipe.hset(keys.WORKERS, self.host.name, json.dumps(status))


class ReaperHost:
    """A host with a reaper, which may also deliver webhooks."""

    def __init__(self, scene: Scene, place: str, *, delivers: bool) -> None:
        self._scene = scene
        self._place = place
        self._delivers = delivers
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start, as a new process would."""
        self._starts += 1
        self.host = host = Host(f"{self._place}{self._starts}", self._scene.ahead_s())
        redis = client(self._scene.settings, self._place)
        self._reaper = Reaper(redis, self._scene.settings)
        self._courier = Courier(redis, self._scene.settings)
        self._scene.scheduler.spawn(host, f"{host.name}.main", self._main)

    def _main(self) -> None:
        self._reaper.start()
        if self._delivers:
            self._courier.loops[0].start()


class Receiver:
    """Stands where the courier reaches for the web: the receiver of all webhooks, which may be away."""

    def __init__(self, scene: Scene, *, fails: int) -> None:
        self._scene = scene
        self._fails = fails

    def parse(self, url: str, _schemes: object) -> str:
        return url

    def target(self, parts: str) -> str:
        return parts

    @contextmanager
    def cut_off(self, _sock: object, _seconds: float) -> Any:
        yield

    def connect(self, _parts: str, _private: object, *, timeout_s: float) -> Any:
        return self

    sock = None
    status = 204

    def request(self, _verb: str, _target: str, *, body: bytes, headers: dict[str, str]) -> None:
        self._scene.scheduler.pause()
        if self._fails > 0:
            self._fails -= 1
            raise OSError("away")
        self._scene.told.append(json.loads(body))

    def getresponse(self) -> Receiver:
        return self

    def close(self) -> None:
        return
