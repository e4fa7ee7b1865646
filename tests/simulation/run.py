"""One run: a scenario, a schedule, and whether what must hold did."""

from __future__ import annotations

import copy
import functools
import logging
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from typing import Any
from unittest.mock import patch

from redis import Redis
from simulation.choosers import Recorded
from simulation.clients import Caller
from simulation.connection import SERVER, Unit
from simulation.facts import Facts, asking, facts
from simulation.hosts import ReaperHost, Receiver, Scene, WorkerHost
from simulation.invariants import Broken, Ledger, after_step, at_rest
from simulation.leases import Leases
from simulation.scenario import AHEAD_S, Scenario
from simulation.scheduler import START, Actor, Host, Scheduler, Stuck
from simulation.server import Change, World, changed
from simulation.sounds import Sounds
from simulation.standins import simulated

from asrq_jobs import keys
from asrq_jobs.request import BlobAudio, LiveAudio
from asrq_jobs.settings import Settings
from asrq_worker.backends.base import Capabilities
from asrq_worker.job import cache
from asrq_worker.queue import slot
from asrq_worker.reaper import courier
from asrq_worker.routing.offers import Offer

_ACT_S = 300.0  # in which clients do what they do, and faults come
_END_S = 900.0  # in which all jobs are to have ended then
_REST_S = 60.0  # until nothing is left over
_STOP_S = 120.0
_DOWN_S = 3.0  # from the crash of a host until it starts again
_SAVE_S = 1.0  # between two states that a server which loses writes may go back to
_IDLE_S = 4.0  # how long an idle slot and an idle courier wait


@dataclass(frozen=True)
class RunResult:
    """What came of a run: what was wrong (None: nothing), the choices that led there and what happened."""

    wrong: str | None
    choices: tuple[int, ...]
    trace: tuple[str, ...]
    steps: int


class _Listener(logging.Handler):
    """Hears what the program logs: a defect is a finding."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.INFO)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if self._run.scheduler.closed:
            return
        said = record.getMessage()
        fields = {name: value for name, value in getattr(record, "asrq_fields", {}).items() if value is not None}
        self._run.scheduler.note(f"  says {said} {fields}")
        actor = self._run.scheduler.actor
        if said == "commit.fenced" and actor is not None:
            self._run.fenced(actor.host, str(fields["id"]))
        lives = actor is None or actor.host.alive
        refused = fields.get("reason") == "ResponseError"  # outages are of other types
        if lives and (said.endswith(".defect") or said == "thread.ended" or refused):
            self._run.wrong.append(f"{said}: {record.exc_info and record.exc_info[1]!r} {fields}")


@functools.cache  # reading and checking them takes as long as a twentieth of a run
def _settings(url: str, blob_ttl_s: int) -> Settings:
    """Leases are renewed and looked at in time also where the actors take turns slowly."""
    return Settings(
        redis_url=url,
        lease_s=15.0,
        reaper_interval_s=4.0,
        retry_delay_s=1.0,
        grace_s=5.0,
        redis_timeout_s=10.0,
        webhook_secret="secret",
        live_idle_s=6.0,
        blob_ttl_s=blob_ttl_s,
        cache_ttl_s=3600,
    )


class Run:
    """Lets a scenario happen once."""

    def __init__(self, redis: Redis, url: str, scenario: Scenario, chooser: Recorded, seed: int) -> None:
        self._redis = redis
        self._scenario = scenario
        self._chooser = chooser
        self._source = random.Random(seed)
        self.settings = _settings(url, scenario.blob_ttl_s)
        self.scheduler = Scheduler(chooser)
        self.world = World(redis)
        self.wrong: list[str] = []
        self._scene = Scene(
            self.scheduler, self.settings, Ledger(), dict(scenario.scripts),
            ahead_s=self._ahead_s, look=lambda: self._facts,
        )  # fmt: skip
        self._faults_left = scenario.most_faults
        self._down_until = -inf
        self._saved: list[tuple[tuple[float, list[Any]], Ledger]] = []
        self._leases = Leases(self.settings)
        self._sounds = Sounds(
            frozenset(each.id for each in scenario.requests if isinstance(each.audio, LiveAudio)),
            self.settings.live_idle_s,
        )
        self._answer: str | bytes = b""
        self._facts: Facts | None = None
        """What the last answer to `look` says."""
        self._steps = 0

    # The run

    def go(self, change: Change | None = None) -> RunResult:
        """Let it happen."""
        logger = logging.getLogger("asrq")
        listener, level = _Listener(self), logger.level
        with ExitStack() as stack:
            self.world.begin()
            stack.enter_context(changed(self._redis, self.settings.redis_url, change))
            stack.enter_context(simulated(self.scheduler, self._source))
            receiver = Receiver(self._scene, fails=self._scenario.receiver_fails)
            stack.enter_context(patch.object(courier, "web", receiver))
            idle = ((slot, "_BLOCK_S"), (courier, "_POLL_S"), (cache, "_POLL_S"))
            for module, pause in idle:  # idle steps only cost time
                assert hasattr(module, pause)
                stack.enter_context(patch.object(module, pause, _IDLE_S))
            stack.callback(logger.removeHandler, listener)
            stack.callback(logger.setLevel, level)
            stack.callback(setattr, logger, "propagate", logger.propagate)
            logger.addHandler(listener)
            logger.setLevel(logging.INFO)
            logger.propagate = False
            SERVER.scheduler, SERVER.waits, SERVER.news = self.scheduler, self._waits, self._news
            SERVER.faults, SERVER.done, SERVER.before = self._fault, self._done, self.world.before
            self.scheduler.moved, self.scheduler.between = self.world.moved, self._look_at_leases
            stack.callback(self._forget)
            try:
                self._play()
            except (Broken, Stuck) as broken:
                self.wrong.append(str(broken))
        choices = self._chooser.choices
        while choices and choices[-1] == 0:
            choices.pop()
        return RunResult(
            self.wrong[0] if self.wrong else None, tuple(choices), tuple(self.scheduler.trace), self._steps
        )

    def _forget(self) -> None:
        self.scheduler.close()  # while nothing is sent any more: connections stay for the next run
        SERVER.scheduler = None

    def _play(self) -> None:
        scenario, scheduler = self._scenario, self.scheduler
        self._scene.ledger.requests = {request.id: request for request in scenario.requests}
        named = [request.audio.sha256 for request in scenario.requests if isinstance(request.audio, BlobAudio)]
        SERVER.look = asking(self._redis, self._scene.ledger.requests, sorted(set(named)))
        self._redis.hset(keys.LIMITS, "blob_ttl", scenario.blob_ttl_s)  # as workers do when they start
        self._scene.ledger.texts = {  # jobs of one upload may have each other's text
            request.id: {
                scenario.scripts[other.id].text
                for other in scenario.requests
                if other is request or (isinstance(other.audio, BlobAudio) and other.audio == request.audio)
            }
            for request in scenario.requests
            if not isinstance(request.audio, LiveAudio)
        }
        self._look()
        self._workers = [
            WorkerHost(self._scene, f"w{number}", lanes, _offers(special))
            for number, (lanes, special) in enumerate(zip(scenario.workers, scenario.special, strict=True), 1)
        ]
        self._reapers = [
            ReaperHost(self._scene, f"r{number}", delivers=True) for number in range(1, scenario.reapers + 1)
        ]
        clients = [
            scheduler.spawn(
                Host(f"c{number}", self._ahead_s()),
                f"c{number} {job_id}",
                Caller(self._scene, number, job_id, steps).act,
            )
            for number, (job_id, steps) in enumerate(scenario.clients, 1)
        ]
        scheduler.spawn(Host("nature"), "nature", self._nature)
        self._until(lambda: all(actor.over for actor in clients) and self._all_ended(), _ACT_S)
        self._faults_left = 0
        scheduler.note("no more faults")
        self._until(self._all_ended, _END_S)
        for worker in self._workers:
            worker.drain()
        self._until(lambda: all(worker.drained for worker in self._workers), _STOP_S)
        rest = scheduler.now + _REST_S
        while claims := self._claims():
            if scheduler.now >= rest:
                raise Broken(claims[0])
            self._until(lambda: False, self.settings.reaper_interval_s)

    def _claims(self) -> list[str]:
        self._look()
        assert self._facts is not None
        return list(at_rest(self._scene.ledger, self._facts, self._redis, self._scene.told))

    def _until(self, condition: Callable[[], bool], most_s: float) -> bool:
        return self.scheduler.run(lambda: bool(self.wrong) or condition(), most_s=most_s) and self._stop_if_wrong()

    def _stop_if_wrong(self) -> bool:
        if self.wrong:
            raise Broken(self.wrong.pop())
        return True

    def _all_ended(self) -> bool:
        now = self._facts
        assert now is not None
        return not now.webhooks and not now.leases and all(job.ended or not job.status for job in now.jobs.values())

    # What is looked at

    def _done(self, actor: Actor, unit: Unit, seen: Any) -> None:
        self._steps += 1
        if not unit.matters or seen == self._answer:
            return
        before, after = self._facts, self._take(seen)
        if after == before:
            return
        now, told = self.scheduler.now, SERVER.told(unit)
        self.scheduler.note(f"{told}: {_shown(before, after)}")
        if before is not None:
            self.wrong += self._leases.step(before, after, actor.host, told, now)
        for job_id, job in after.jobs.items():
            was = before.jobs.get(job_id) if before else None
            if was != job and job_id not in self._scene.ledger.tampered:
                self.wrong += self._sounds.step(job_id, was, job, told, now)
        self.wrong += after_step(self._scene.ledger, before, after, script=told, now=now, settings=self.settings)

    def fenced(self, host: Host, job_id: str) -> None:
        """A worker says that somebody else has the job."""
        self.wrong += self._leases.fenced(host, job_id)

    def _look(self) -> None:
        self.world.flush()
        self._take(self._redis.execute_command(*SERVER.look))  # type: ignore[no-untyped-call]  # redis-py's gap

    def _take(self, answer: str | bytes) -> Facts:
        self._answer, self._facts = answer, facts(answer)
        return self._facts

    def _waits(self, name: str) -> bool:
        return self._facts is not None and bool(self._facts.lists.get(name))

    def _news(self, stream: str) -> int:
        jobs = self._facts.jobs if self._facts else {}
        if stream.startswith(keys.live("")):
            return len(jobs[stream.removeprefix(keys.live(""))].frames)
        job = jobs.get(stream.removeprefix(keys.events("")))
        return job.events if job else 0

    def _look_at_leases(self) -> None:
        assert self._facts is not None
        self.wrong += self._leases.look(self._scene.ledger, self._facts, self._workers, self.scheduler.now)

    # What goes wrong

    def _fault(self, actor: Actor, unit: Unit) -> str:
        now = self.scheduler.now
        if now < max(actor.host.away_until, self._down_until):
            return "unsent"
        told, at = SERVER.told(unit), self._scenario.at
        if not (self._faults_left and self._scenario.faults and unit.matters and self._finds_something(unit, told)):
            return "none"
        if at and not told.startswith(at):
            return "none"
        kinds = ["none", *self._scenario.faults]
        kind = kinds[self._chooser.choose("fault there" if at else "fault", kinds)]
        if kind == "none" or (kind == "lost writes" and not self._saved):
            return "none"
        self._faults_left -= 1
        return self._happens(kind, actor.host)

    def _happens(self, kind: str, host: Host) -> str:
        until = self.scheduler.now + (length_s := self._source.choice(self._scenario.lengths_s))
        match kind:
            case "still":
                self.scheduler.note(f"{host.name} stands still for {length_s} s")
                host.still_until = until
                self._disturb(host, until)
                self.scheduler.pause()
                return "none"
            case "away":
                self.scheduler.note(f"{host.name} is cut off for {length_s} s")
                host.away_until = until
                self._disturb(host, until)
            case "outage":
                self.scheduler.note(f"the server is away for {length_s} s")
                self._down_until = until
                for worker in self._workers:
                    self._disturb(worker.host, until)
            case "jump":
                host.ahead_s = self._ahead_s()
                self.scheduler.note(f"the clock of {host.name} is {host.ahead_s} s ahead now")
                return "none"
            case "lost writes":
                self._lose()
            case "unsent" | "unheard":
                self._leases.lost(host, self.scheduler.now)
                return kind
            case _:
                return kind
        return "unsent"

    def _ahead_s(self) -> float:
        return self._source.choice(AHEAD_S)

    def _finds_something(self, unit: Unit, told: str) -> bool:
        """Whether it is not one of those that look again and again."""
        assert self._facts is not None
        if told == "claim_webhook.lua":
            return bool(self._facts.webhooks)
        return unit.verb != "LMOVE" or self._waits(str(unit.first[1]))

    def _disturb(self, host: Host, until: float) -> None:
        host.disturbed_at = max(host.disturbed_at, until + self.settings.lease_s)

    def _lose(self) -> None:
        saved, ledger = self._saved[0]
        self.scheduler.note(f"the server loses what was written since {saved[0] - START:.2f}")
        self.world.restore(saved)
        before = self._scene.ledger
        self._scene.ledger = copy.deepcopy(ledger)
        self._scene.ledger.ended |= before.ended
        self._scene.ledger.group_ends |= before.group_ends
        self._look()
        self._leases.forget()
        self._sounds.forget(saved[0])
        for worker in self._workers:
            self._disturb(worker.host, self.scheduler.now + self.settings.lease_s)

    def _nature(self) -> None:
        """Start hosts again that have crashed, and remember what a server that loses writes may go back to."""
        down: dict[str, float] = {}
        while True:
            self.scheduler.pause(seconds=_SAVE_S)
            now = self.scheduler.now
            if "lost writes" in self._scenario.faults and self._faults_left:
                self._saved = [*self._saved[-1:], (self.world.save(), copy.deepcopy(self._scene.ledger))]
            for place in (*self._workers, *self._reapers):
                if not place.host.alive and now >= down.setdefault(place.host.name, now + _DOWN_S):
                    self.scheduler.note(f"{place.host.name} starts again")
                    place.start()


def _shown(before: Facts | None, after: Facts) -> str:
    """What a step has changed, in words."""
    parts = []
    for job_id, job in after.jobs.items():
        was = before.jobs.get(job_id) if before else None
        if was is None or was != job:
            parts.append(f"{job_id} {was.status if was and was.status != job.status else ''}→{job.status or 'none'}")
    if before is None or before.lists != after.lists:
        parts += [f"{name.removeprefix('rq:queue:asrq-')}={ids}" for name, ids in after.lists.items() if ids]
    if before is None or before.leases.keys() != after.leases.keys():
        parts.append(f"leases={sorted(after.leases)}")
    return " ".join(parts)


def _offers(special: bool) -> tuple[Offer, ...]:
    if not special:
        return (Offer(backend="fake", model="m"),)
    return (Offer(backend="fake", model="m", capabilities=Capabilities(frozenset({"en"}))),)
