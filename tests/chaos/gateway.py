"""Requests over HTTP while gateways, workers and engines are killed and Redis is killed and started again: each client
repeats its request with its `Idempotency-Key` until it is answered, and asks once more after each has been killed.

    PYTHONPATH=tests python -m chaos.gateway --requests 1000
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx
from conftest import free_port
from support.ledger import contradictions
from support.processes import Process
from support.server import Server, valkey

from asrq_jobs import Client
from asrq_jobs.settings import Settings

_DATA = Path(__file__).resolve().parents[1] / "data"
_CLIENTS = 16
_AGAIN_S = 0.2
_START_S = 300.0
_AGAIN = {404, 429, 500, 502, 503, 504}
"""Answers after which a client repeats its request; 404: Redis was killed, and has lost the job's last second."""


@dataclass
class Found:
    """What came of it: requests that were `lost`, `changed` (a second answer, another text) or answered with the text
    of `another` recording; what else was wrong; and what was killed how often."""

    answered: int = 0
    repeated: int = 0
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    another: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)

    @property
    def problems(self) -> list[str]:
        """All of them."""
        return [*self.lost, *self.changed, *self.another, *self.wrong]


class _Fleet:
    """Two gateways, two workers, a reaper and a server."""

    def __init__(self, server: Server, folder: Path, source: random.Random) -> None:
        self._server = server
        self._source = source
        self.ports = [free_port(), free_port()]
        self._env = {
            "ASRQ_REDIS_URL": server.url, "ASRQ_BACKEND": "fake", "ASRQ_FALLBACK": "none", "ASRQ_MODEL": "m",
            "ASRQ_LANES": "interactive:4", "ASRQ_DECODERS": "1", "ASRQ_LEASE_S": "3", "ASRQ_DECODER_STALL_S": "3",
            "ASRQ_MAX_ATTEMPTS": "21", "ASRQ_RETRY_DELAY_S": "0.1", "ASRQ_SPOOL_DIR": str(folder / "spool"),
            "ASRQ_GRACE_S": "1",
        }  # fmt: skip
        self._gateways = [self._gateway(port) for port in self.ports]
        self._workers = [self._start("worker") for _ in range(2)]
        self._reaper = self._start("reaper")
        for worker in self._workers:
            worker.wait_for("worker.ready", _START_S)

    def _start(self, *arguments: str) -> Process:
        return Process(*arguments, env=self._env)

    def _gateway(self, port: int) -> Process:
        return self._start("http", "--port", str(port))

    def strike(self, what: str) -> None:
        """Kill something, and start it again until it serves: a slow machine is not to be killed in its start."""
        at = self._source.randrange(2)
        match what:
            case "gateway":
                self._gateways[at].end(signal.SIGKILL)
                self._gateways[at] = self._gateway(self.ports[at])
            case "worker":
                self._workers[at].end(signal.SIGKILL)
                self._workers[at] = self._start("worker")
                self._workers[at].wait_for("worker.ready", _START_S)
            case "engine":
                for child in self._workers[at].children():
                    if "engine.child" in " ".join(child.cmdline()):
                        child.kill()
            case _:
                self._server.kill()
                self._server.start()

    def close(self) -> None:
        """End all of it."""
        for process in (*self._gateways, *self._workers, self._reaper):
            process.process.kill()
            process.process.wait(60)


def run(requests: int, folder: Path, *, every_s: float = 2.0, patience_s: float = 900.0, seed: int = 1) -> Found:
    """Make so many requests, and kill something every few seconds until all are answered."""
    binary = valkey()
    if binary is None:
        raise SystemExit("This machine lacks a Valkey server.")
    found, source, over, struck = Found(), random.Random(seed), Event(), Event()  # noqa: S311  # to be repeated, not secret
    server = Server(binary, folder / "data")
    clips = [(_DATA / name).read_bytes() for name in ("hello-en.flac", "hello-ru.flac")]
    with server as url, Client(Settings(redis_url=url)) as client:
        fleet = _Fleet(server, folder, source)
        try:
            right = [_asked(fleet, clip, f"right-{number}", Found(), patience_s) for number, clip in enumerate(clips)]
            killing = Thread(target=_kill, args=(fleet, found, over, struck, every_s), daemon=True)
            killing.start()

            def request(number: int) -> None:
                name, which = f"request-{number}", number % len(clips)
                first = _asked(fleet, clips[which], name, found, patience_s)
                struck.wait(patience_s)
                answers = [first, _asked(fleet, clips[which], name, found, patience_s)]
                if None in answers:
                    found.lost.append(f"{name}: no answer")
                elif answers[0] != answers[1]:
                    found.changed.append(f"{name}: {answers}")
                elif answers[0] != right[which]:
                    found.another.append(f"{name}: {answers[0]}")
                else:
                    found.answered += 1

            with ThreadPoolExecutor(_CLIENTS) as pool:
                list(pool.map(request, range(requests)))
            over.set()
            killing.join(120)
            found.wrong += [
                wrong for number in range(requests) for wrong in contradictions(client, f"request-{number}")
            ]
        finally:
            over.set()
            fleet.close()
    return found


def _kill(fleet: _Fleet, found: Found, over: Event, struck: Event, every_s: float) -> None:
    kinds = ("gateway", "worker", "engine", "server")
    number = 0
    while not over.wait(every_s):
        what = kinds[number % len(kinds)]
        number += 1
        fleet.strike(what)
        found.killed[what] += 1
        if len(found.killed) == len(kinds):
            struck.set()


def _asked(fleet: _Fleet, clip: bytes, name: str, found: Found, patience_s: float) -> str | None:
    """Return the text, whatever it takes; None if it takes too long."""
    end, tries = time.monotonic() + patience_s, 0
    while time.monotonic() < end:
        port = fleet.ports[tries % 2]
        tries += 1
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/audio/transcriptions",
                data={"model": "whisper-1"},
                files={"file": ("clip.flac", clip)},
                headers={"Idempotency-Key": name},
                timeout=120,
            )
        except httpx.TransportError:
            found.repeated += 1
            time.sleep(_AGAIN_S)
            continue
        if answer.status_code == 200:
            if answer.headers["X-Asrq-Job"] != name:
                found.another.append(f"{name}: the job {answer.headers['X-Asrq-Job']}")
            return str(answer.json()["text"])
        if answer.status_code not in _AGAIN:
            found.wrong.append(f"{name}: {answer.status_code} {answer.text}")
            return None
        found.repeated += 1
        time.sleep(_AGAIN_S)
    return None


def main() -> int:
    """Run it, and say what came of it."""
    parser = argparse.ArgumentParser(prog="chaos.gateway", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = run(asked.requests, Path(folder), seed=asked.seed)
    print(
        f"{found.answered} of {asked.requests} requests answered in {time.monotonic() - began:.0f} s, "
        f"{found.repeated} repetitions, killed: {dict(found.killed)}; {len(found.lost)} lost, "
        f"{len(found.changed)} with two answers, {len(found.another)} with another's, "
        f"{len(found.wrong)} otherwise wrong"
    )
    print(*found.problems, sep="\n")
    return int(bool(found.problems))


if __name__ == "__main__":
    sys.exit(main())
