"""The processes of a chaos run, and what is done to them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import cast

import psutil
from chaos.receiver import SECRET
from redis import Redis
from support.processes import Process, all_gone
from support.server import Server
from support.subjects import Subject

from asrq_jobs.settings import PREFIX

_MARK = "_ASRQ_CHAOS"
_READY_S = 60.0
_REAPER_PAUSE_S = 12.0  # at most: long enough to lose the lead
_LEADERLESS_S = 10.0  # how long at most nobody leads after the reaper that led was killed
_TELLING = {  # which field of a line says more
    "engine.failed": "code",
    "engine.replacing": "reason",
    "job.out_of_memory": "step",
    "commit.fenced": "verdict",
}


class Fleet:
    """Workers and two reapers over one server. `strike` does one random bad thing to them."""

    def __init__(
        self, server: Server, backend: str, subject: Subject, folder: Path, rng: random.Random, *, lease_s: float
    ) -> None:
        self._server = server
        self._subject = subject
        self._rng = rng
        self._lease_s = lease_s
        self._spool = folder / "spool"
        self._mark = uuid.uuid4().hex
        settings = {
            "REDIS_URL": server.url,
            "BACKEND": backend,
            "FALLBACK": "none",
            "LANES": "interactive:3,batch:5",
            "DECODERS": "1",
            # The long clips are several chunks, one of which is long enough to be split where memory is short.
            "CHUNK_S": "14",
            "LEASE_S": str(lease_s),
            "SPOOL_DIR": str(self._spool),
            "RETRY_DELAY_S": "0.2",
            "GRACE_S": "1",
            "SERVER_TIMEOUT_S": "3",
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_PRIVATE_HOSTS": "true",
        }
        self._env = {_MARK: self._mark} | _variables(settings | subject.settings)
        self._workers: list[Process] = []
        self._former: list[Process] = []
        self._reapers: list[Process] = []
        self._leaving: list[Process] = []
        self._to_undo: list[tuple[float, Callable[[], object]]] = []
        self.strikes: Counter[str] = Counter()
        self.killed_at: dict[str, float] = {}
        """When each worker (by name) was killed at work."""
        self.disturbed: list[tuple[float, float]] = []
        """From when until when the server or the reapers could not be relied on."""
        self.failed_starts = 0
        self.odd_ends: list[str] = []
        self._actions: dict[Callable[[], bool], float] = {
            self._kill_worker: 4,
            self._kill_engine: 4,
            self._kill_decoder: 3,
            self._pause_worker: 2,
            self._pause_child: 1,
            self._drain_worker: 2,
            self._kill_reaper: 1,
            self._pause_reaper: 0.5,
            self._kill_server: 0.7,
            self._fill_server: 0.7,
        }

    @property
    def kills(self) -> int:
        """How many processes were sent SIGKILL."""
        return sum(count for name, count in self.strikes.items() if name.startswith("kill"))

    def start(self, workers: int) -> None:
        """Start everything; returns when all take jobs."""
        self._workers = [self._worker(at) for at in range(workers)]
        self._reapers = [Process("reaper", env=self._env) for _ in range(2)]
        for worker in self._workers:
            worker.wait_for("worker.ready", _READY_S)

    def strike(self) -> None:
        """Do one bad thing, each once before any is repeated; in the place of what cannot be done now, another."""
        self._undo(time.monotonic())
        # The first of exponential times is that of each with the probability of its weight.
        drawn = {action: self._rng.expovariate(weight) for action, weight in self._actions.items()}
        for action in sorted(drawn, key=lambda action: (self.strikes[_name(action)] > 0, drawn[action])):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):  # it ended while we looked
                if action():
                    self.strikes[_name(action)] += 1
                    return

    def supervise(self) -> None:
        """Start again what has ended by itself, as a service manager does."""
        for at, reaper in enumerate(self._reapers):
            if reaper.process.poll() is not None:
                self.odd_ends.append(f"a reaper ended by itself with code {reaper.ended(10)}: {_said(reaper)[-5:]}")
                self._replace_reaper(at)
        for at, worker in enumerate(self._workers):
            if worker.process.poll() is None:
                continue
            code, said = worker.ended(10), _said(worker)
            if "worker.ready" in said or not any(line.startswith("asrq: error:") for line in said):
                self.odd_ends.append(f"a worker ended by itself with code {code}: {said[-5:]}")
            self.failed_starts += 1
            self._replace(at)

    def fix(self) -> None:
        """Let what is stopped go on; from now on nothing bad is done."""
        self._undo(float("inf"))

    def logged(self) -> Counter[str]:
        """How often the workers wrote each of the lines that tell how they met what was done to them."""
        told = [
            (line["event"], line.get(_TELLING[str(line["event"])])) for line in self._log() if line["event"] in _TELLING
        ]
        return Counter(f"{event} {how}" for event, how in told)

    def defects(self) -> list[str]:
        """What was written that no fault from outside explains."""
        lines = [line for line in self._log() if str(line["event"]).endswith((".defect", "(most recent call last):"))]
        return sorted({f"a process logged {line['event']} {line.get('error', '')}" for line in lines})

    def drain(self) -> None:
        """End everything in good order."""
        for process in [*self._workers, *self._reapers]:
            process.process.send_signal(signal.SIGTERM)
        for process in [*self._workers, *self._reapers, *self._leaving]:
            code = process.ended(60)
            if code and not (code == -signal.SIGTERM and not process.lines):  # it came before the program could listen
                self.odd_ends.append(f"a process that was to end did so with code {code}: {_said(process)[-5:]}")

    def everyone(self) -> list[psutil.Process]:
        """Every process of this run that is alive, children of the dead included."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill_all(self) -> None:
        """Leave nothing behind, whatever has happened."""
        for process in self.everyone():
            process.kill()
        for own in [*self._workers, *self._reapers]:
            own.process.wait(60)

    def age_spools(self) -> None:
        """Spools made a moment ago are spared by the sweep: their owner may not have locked them yet."""
        for left in self._spool.glob("*"):
            os.utime(left, (0, 0))

    def _worker(self, at: int) -> Process:
        wear = self._subject.wear[at % len(self._subject.wear)]
        return Process("worker", env=self._env | _variables(wear))

    def _replace(self, at: int) -> None:
        self._former.append(self._workers[at])
        self._workers[at] = self._worker(at)

    def _replace_reaper(self, at: int) -> None:
        self._former.append(self._reapers[at])
        self._reapers[at] = Process("reaper", env=self._env)

    def _log(self) -> list[dict[str, object]]:
        return [line for process in [*self._former, *self._workers, *self._reapers] for line in process.lines]

    def _undo(self, now: float) -> None:
        for due, undo in list(self._to_undo):
            if due <= now:
                self._to_undo.remove((due, undo))
                with contextlib.suppress(psutil.NoSuchProcess):
                    undo()

    def _undo_within(self, longest_s: float, undo: Callable[[], object]) -> None:
        self._to_undo.append((time.monotonic() + self._rng.uniform(0.1, longest_s), undo))

    def _some_worker(self) -> int:
        return self._rng.randrange(len(self._workers))

    def _kill_worker(self) -> bool:
        at = self._some_worker()
        victim = self._workers[at]
        children = victim.children()
        at_work = not _is_stopped(victim)
        victim.process.kill()
        if at_work:
            ready = [line for line in victim.lines if line["event"] == "worker.ready"]
            self.killed_at |= {str(line["name"]): time.time() for line in ready}
        victim.process.wait(60)
        for child in children:  # one that was stopped before it could ask to die with its parent does so now
            with contextlib.suppress(psutil.NoSuchProcess):
                child.resume()
        if not all_gone(children):
            self.odd_ends.append(f"children outlive their killed worker: {[str(child) for child in children]}")
        self._replace(at)
        return True

    def _drain_worker(self) -> bool:
        at = self._some_worker()
        leaving = self._workers[at]
        if _is_stopped(leaving):
            return False
        leaving.process.send_signal(signal.SIGTERM)
        threading.Thread(target=leaving.process.wait, daemon=True).start()  # reaps it
        self._leaving.append(leaving)
        self._replace(at)
        return True

    def _kill_child(self, module: str) -> bool:
        children = self._workers[self._some_worker()].children()
        victims = [child for child in children if module in " ".join(child.cmdline())]
        for victim in victims:
            victim.kill()
        return bool(victims)

    def _kill_engine(self) -> bool:
        return self._kill_child("engine.child")

    def _kill_decoder(self) -> bool:
        return self._kill_child("decode_child")

    def _pause(self, process: psutil.Process, longest_s: float) -> bool:
        process.suspend()
        self._undo_within(longest_s, process.resume)
        return True

    def _pause_worker(self) -> bool:
        return self._pause(psutil.Process(self._workers[self._some_worker()].process.pid), self._lease_s * 1.5)

    def _pause_child(self) -> bool:
        children = self._workers[self._some_worker()].children()
        return bool(children) and self._pause(self._rng.choice(children), self._subject.child_pause_s)

    def _kill_reaper(self) -> bool:
        at = self._rng.randrange(len(self._reapers))
        self._reapers[at].process.kill()
        self._reapers[at].process.wait(60)
        self.disturbed.append((time.time(), time.time() + _LEADERLESS_S))
        self._replace_reaper(at)
        return True

    def _pause_reaper(self) -> bool:
        self.disturbed.append((time.time(), time.time() + _REAPER_PAUSE_S))
        return self._pause(psutil.Process(self._rng.choice(self._reapers).process.pid), _REAPER_PAUSE_S)

    def _kill_server(self) -> bool:
        since = time.time()
        self._server.kill()
        time.sleep(self._rng.uniform(0, 2))
        self._server.start()
        self.disturbed.append((since, time.time()))
        return True

    def _fill_server(self) -> bool:
        """Full to the brim, so that some of what is written still fits, or beyond."""
        with Redis.from_url(self._server.url) as redis:
            used = cast("dict[str, int]", redis.info("memory"))["used_memory"]
            redis.config_set("maxmemory", int(used * self._rng.uniform(0.7, 1.0)))
        since = time.time()
        self._undo_within(4.0, lambda: self._empty_server(since))
        return True

    def _empty_server(self, full_since: float) -> None:
        with Redis.from_url(self._server.url) as redis:
            redis.config_set("maxmemory", 0)
        self.disturbed.append((full_since, time.time()))


def _name(action: Callable[[], bool]) -> str:
    return action.__name__.removeprefix("_")


def _is_stopped(process: Process) -> bool:
    return psutil.Process(process.process.pid).status() == psutil.STATUS_STOPPED


def _said(process: Process) -> list[str]:
    return [str(line["event"]) for line in process.lines]


def _variables(settings: dict[str, str]) -> dict[str, str]:
    return {f"{PREFIX}{name}": value for name, value in settings.items()}
