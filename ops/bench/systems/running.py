"""A contender that runs: its processes, what they take, and the way to it and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from systems.contender import Contender
from systems.contenders.hearing import ANSWERS, Job

_SAMPLE_S = 0.25


class DiedError(Exception):
    """A process of a contender has ended by itself."""


class Running:
    """The processes of a contender and of the one that submits to it."""

    def __init__(self, contender: Contender, env: Mapping[str, str], redis: Redis, log: Path) -> None:
        self._contender = contender
        self._env = dict(env)
        self._redis = redis
        self._log = log
        self._processes = [self._start(command) for command in contender.commands]
        self._client = self._start((sys.executable, "-m", "systems.submitter", contender.module), feed=True)
        self._peak = 0
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._sampler.start()

    def send(self, jobs: Sequence[Job]) -> None:
        """Submit jobs, in their order."""
        assert self._client.stdin is not None  # noqa: S101  # a pipe was asked for
        self._client.stdin.write("".join(json.dumps(job) + "\n" for job in jobs).encode())
        self._client.stdin.flush()

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next answer, or None if none comes in time.

        Raises:
            DiedError: and none will come.
        """
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if found := self._redis.blpop([ANSWERS], timeout=min(left, 1.0)):
                answer: dict[str, Any] = json.loads(found[1])
                return answer
            if any(process.poll() is not None for process in (*self._processes, self._client)):
                raise DiedError((self._log.read_text(errors="replace").strip().splitlines() or ["no word"])[-1])
        return None

    def cpu_s(self) -> float:
        """CPU seconds that its processes have taken so far, those that have ended included."""
        return sum(_cpu_s(each) for each in self._tree())

    @property
    def peak_mb(self) -> int:
        """The most memory that its processes took together, MiB; what they share counts once."""
        return self._peak >> 20

    def kill(self) -> None:
        """End the worker and its children at once, as a lack of memory or power would."""
        _kill(self._processes[0])

    def revive(self) -> None:
        """Start the worker again, as a supervisor would."""
        self._processes[0] = self._start(self._contender.commands[0])

    def close(self) -> None:
        """End everything at once; nobody waits for what is left."""
        self._over.set()
        self._sampler.join()
        for process in (self._client, *self._processes):
            _kill(process)

    def _start(self, command: Sequence[str], *, feed: bool = False) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # the commands of `contender`
                [sys.executable, "-m", "asrq_worker.process.tied", str(os.getpid()), *command],
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
                env=self._env,
            )

    def _tree(self) -> Iterator[psutil.Process]:
        for process in self._processes:
            with suppress(psutil.Error):
                root = psutil.Process(process.pid)
                yield from (root, *root.children(recursive=True))

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self._peak = max(self._peak, sum(_memory(each) for each in self._tree()))


@contextmanager
def running(contender: Contender, env: Mapping[str, str], redis: Redis, log: Path) -> Iterator[Running]:
    """Run a contender on an empty Valkey until the block ends."""
    redis.flushall()
    started = Running(contender, env, redis, log)
    try:
        yield started
    finally:
        started.close()


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _memory(process: psutil.Process) -> int:
    """Bytes of a process, those shared with others in part (Linux; elsewhere: resident)."""
    with suppress(psutil.Error):
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    return 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.Error):
        root = psutil.Process(process.pid)
        root.suspend()  # or a pool would start another child meanwhile
        family = [*root.children(recursive=True), root]
        for each in family:
            with suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(family[:-1])
    process.wait()
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
