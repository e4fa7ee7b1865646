"""The processes of a chaos run, and what is done to them."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from chaos.server import Server
from integration.worker.processes import Process, all_gone

_MARK = "_ASRQ_CHAOS"
_READY_S = 60.0


class Fleet:
    """Workers and two reapers over one server. `strike` does one random bad thing to them."""

    def __init__(self, url: str, server: Server, folder: Path, rng: random.Random, *, lease_s: float) -> None:
        self._server = server
        self._rng = rng
        self._lease_s = lease_s
        self._spool = folder / "spool"
        self._mark = uuid.uuid4().hex
        self._env = {
            _MARK: self._mark,
            "ASRQ_REDIS_URL": url,
            "ASRQ_BACKEND": "fake",
            "ASRQ_MODEL": "m",
            "ASRQ_FALLBACK": "none",
            "ASRQ_LANES": "interactive:1,batch:2",
            "ASRQ_DECODERS": "1",
            "ASRQ_CHUNK_S": "5",
            "ASRQ_LEASE_S": str(lease_s),
            "ASRQ_SPOOL_DIR": str(self._spool),
            "ASRQ_RETRY_DELAY_S": "0.2",
            "ASRQ_GRACE_S": "1",
            # A hung engine is to be noticed within the run.
            "ASRQ_ENGINE_STALL_S": "4",
            "ASRQ_ENGINE_SLOWNESS": "0.5",
            "ASRQ_SERVER_TIMEOUT_S": "3",
        }
        self._workers: list[Process] = []
        self._reapers: list[Process] = []
        self._stopped: list[tuple[float, psutil.Process]] = []
        self.strikes: Counter[str] = Counter()
        self.killed_at: dict[str, float] = {}
        self._actions: dict[Callable[[], bool], float] = {
            self._kill_worker: 4,
            self._kill_engine: 3,
            self._kill_decoder: 3,
            self._pause_worker: 2,
            self._pause_child: 1,
            self._drain_worker: 2,
            self._kill_reaper: 1,
            self._pause_reaper: 0.5,
            self._kill_server: 0.7,
        }

    @property
    def kills(self) -> int:
        """How many processes were sent SIGKILL."""
        return sum(count for name, count in self.strikes.items() if name.startswith("kill"))

    def start(self, workers: int) -> None:
        """Start everything; returns when all take jobs."""
        self._workers = [self._worker() for _ in range(workers)]
        self._reapers = [Process("reaper", env=self._env) for _ in range(2)]
        for worker in self._workers:
            worker.wait_for("worker.ready", _READY_S)

    def strike(self) -> None:
        """Do one bad thing; what cannot be done now is left out."""
        self._wake(time.monotonic())
        action = self._rng.choices(list(self._actions), list(self._actions.values()))[0]
        try:
            done = action()
        except (psutil.NoSuchProcess, ProcessLookupError):  # it ended while we looked
            done = False
        if done:
            self.strikes[action.__name__.removeprefix("_")] += 1

    def mend(self) -> None:
        """Let what is stopped go on; from now on nothing bad is done."""
        self._wake(float("inf"))

    def drain(self) -> None:
        """End everything in good order."""
        for process in [*self._workers, *self._reapers]:
            process.process.send_signal(signal.SIGTERM)
        for process in [*self._workers, *self._reapers]:
            process.process.wait(60)

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
            own.process.wait(10)

    def age_spools(self) -> None:
        """Spools made a moment ago are spared by the sweep: their owner may not have locked them yet."""
        for left in self._spool.glob("*"):
            os.utime(left, (0, 0))

    def _worker(self) -> Process:
        return Process("worker", env=self._env)

    def _wake(self, now: float) -> None:
        for due, process in list(self._stopped):
            if due <= now:
                self._stopped.remove((due, process))
                try:
                    process.resume()
                except psutil.NoSuchProcess:
                    continue

    def _some_worker(self) -> int:
        return self._rng.randrange(len(self._workers))

    def _kill_worker(self) -> bool:
        at = self._some_worker()
        victim = self._workers[at]
        children = victim.children()
        victim.process.kill()
        now = time.time()
        ready = [line for line in victim.lines if line["event"] == "worker.ready"]
        self.killed_at |= {str(line["name"]): now for line in ready}
        victim.process.wait(10)
        assert all_gone(children), "children outlive their killed worker"
        self._workers[at] = self._worker()
        return True

    def _drain_worker(self) -> bool:
        at = self._some_worker()
        leaving = self._workers[at].process
        if psutil.Process(leaving.pid).status() == psutil.STATUS_STOPPED:
            return False
        leaving.send_signal(signal.SIGTERM)
        threading.Thread(target=leaving.wait, daemon=True).start()  # reaps it
        self._workers[at] = self._worker()
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
        self._stopped.append((time.monotonic() + self._rng.uniform(0.1, longest_s), process))
        return True

    def _pause_worker(self) -> bool:
        return self._pause(psutil.Process(self._workers[self._some_worker()].process.pid), self._lease_s * 1.5)

    def _pause_child(self) -> bool:
        children = self._workers[self._some_worker()].children()
        return bool(children) and self._pause(self._rng.choice(children), 8.0)

    def _kill_reaper(self) -> bool:
        at = self._rng.randrange(len(self._reapers))
        self._reapers[at].process.kill()
        self._reapers[at].process.wait(10)
        self._reapers[at] = Process("reaper", env=self._env)
        return True

    def _pause_reaper(self) -> bool:
        return self._pause(psutil.Process(self._rng.choice(self._reapers).process.pid), 12.0)

    def _kill_server(self) -> bool:
        self._server.kill()
        time.sleep(self._rng.uniform(0, 2))
        self._server.start()
        return True
