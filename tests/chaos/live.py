"""Dictation while workers, engines, decoders and the server are killed: each recording ends with the text that the same
sound has as a file, where nothing is disturbed.

    PYTHONPATH=tests python -m chaos.live --kills 200
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event

import psutil
from support.processes import Process
from support.server import Server, valkey
from support.speaking import file_of, frames, spoken

from asrq_jobs import Client, Live
from asrq_jobs.errors import JobNotFoundError, JobStateError, QueueError, WaitTimeoutError
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings

_START_S = 300.0
_SPEAKERS = 3
_SPEED = 3.0  # times real time: what is being said at a kill is heard anew
_FRAME_S = 0.2
_AGAIN_S = 5.0
_OPTIONS = {"language": "en", "retries": 20}
_CHILDREN = {"engine": "engine.child", "decoder": "decode_child"}


@dataclass
class Found:
    """What came of it. `lost` are words of the undisturbed text that were not in the text of a recording, and
    `different` the recordings whose text was another; `again`: those whose submission the server had lost."""

    kills: Counter[str] = field(default_factory=Counter)
    recordings: int = 0
    attempts: int = 0
    words: int = 0
    lost: int = 0
    again: int = 0
    different: list[str] = field(default_factory=list)


class _Fleet:
    """Two workers, a reaper and a server."""

    def __init__(self, server: Server, folder: Path, source: random.Random) -> None:
        self._server = server
        self._source = source
        self._env = {
            "ASRQ_REDIS_URL": server.url, "ASRQ_BACKEND": "fake", "ASRQ_FALLBACK": "none", "ASRQ_MODEL": "m",
            "ASRQ_LANES": "interactive:3", "ASRQ_DECODERS": "1", "ASRQ_LEASE_S": "5", "ASRQ_RETRY_DELAY_S": "0.1",
            "ASRQ_SPOOL_DIR": str(folder / "spool"),
        }  # fmt: skip
        self._workers = [Process("worker", env=self._env) for _ in range(2)]
        self._reaper = Process("reaper", env=self._env)
        for worker in self._workers:
            worker.wait_for("worker.ready", _START_S)

    def strike(self, what: str) -> bool:
        """Kill something, and start it again until it serves; return whether there was something."""
        at = self._source.randrange(2)
        if what == "server":
            self._server.kill()
            self._server.start()
            return True
        if what == "worker":
            self._workers[at].end(signal.SIGKILL)
            self._workers[at] = Process("worker", env=self._env)
            self._workers[at].wait_for("worker.ready", _START_S)
            return True
        killed = False
        for child in self._workers[at].children():
            with suppress(psutil.NoSuchProcess):  # it has just been replaced
                if _CHILDREN[what] in " ".join(child.cmdline()):
                    child.kill()
                    killed = True
        return killed

    def close(self) -> None:
        """End all of it."""
        for process in (*self._workers, self._reaper):
            process.process.kill()
            process.process.wait(60)


def run(kills: int, folder: Path, *, every_s: float = 1.0, seed: int = 1) -> Found:
    """Let some people dictate one recording after another until so many kills have been done."""
    binary = valkey()
    if binary is None:
        raise SystemExit("This machine lacks a Valkey server.")
    found, source, over = Found(), random.Random(seed), Event()  # noqa: S311  # to be repeated, not secret
    sound = spoken("hello-en", "hello-ru", "hello-en")
    server = Server(binary, folder / "data")
    with server as url, Client(Settings(redis_url=url, redis_retry_s=60)) as client:
        fleet = _Fleet(server, folder, source)
        try:
            file = client.submit(client.upload(file_of(sound)), lane="interactive", **_OPTIONS)
            right = client.wait(file.id, timeout_s=_START_S).text or ""

            def speak(_number: int) -> None:
                with Client(Settings(redis_url=url, redis_retry_s=60)) as own:
                    while not over.is_set():
                        _note(found, _dictated(own, sound, found), right)

            with ThreadPoolExecutor(_SPEAKERS) as pool:
                speaking = [pool.submit(speak, number) for number in range(_SPEAKERS)]
                try:
                    while found.kills.total() < kills and not any(each.done() for each in speaking):
                        what = source.choices(["worker", "engine", "decoder", "server"], [1, 3, 3, 1])[0]
                        found.kills[what] += fleet.strike(what)
                        over.wait(source.uniform(0.5, 1.5) * every_s)
                except KeyboardInterrupt:  # what was found until then is told
                    pass
                finally:
                    over.set()
                for each in speaking:
                    each.result()
        finally:
            fleet.close()
    return found


def _dictated(client: Client, sound: bytes, found: Found) -> Result:
    """Dictate, whatever happens; begin again only where the server has lost the submission itself."""
    name = uuid.uuid4().hex
    while True:
        try:
            live = client.live(id=name, **_OPTIONS)
            began = time.monotonic()
            for number, frame in enumerate(frames(sound, _FRAME_S)):
                time.sleep(max(0.0, began + number * _FRAME_S / _SPEED - time.monotonic()))
                live.append(frame)
            return _ended(client, live)
        except JobNotFoundError:
            found.again += 1


def _ended(client: Client, live: Live) -> Result:
    while True:
        try:
            live.end()  # again: the server may have lost it
            return live.wait(timeout_s=_AGAIN_S)
        except JobStateError:
            return client.wait(live.id, timeout_s=_START_S)
        except (WaitTimeoutError, QueueError) as error:
            if isinstance(error, JobNotFoundError):
                raise


def _note(found: Found, result: Result, right: str) -> None:
    found.recordings += 1
    found.attempts += len(result.attempts)
    found.words += len(right.split())
    missing = Counter(right.split()) - Counter((result.text or "").split())
    found.lost += missing.total()
    if result.text != right or result.warnings:
        found.different.append(f"{result.id}: {result.text} {result.warnings} {result.error}")


def main() -> None:
    """Run, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every-s", type=float, default=1.0, help="pause between two, on average")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(given.kills, Path(folder), every_s=given.every_s, seed=given.seed)
    print(json.dumps(asdict(found) | {"kills": dict(found.kills)}))
    sys.exit(bool(found.different))


if __name__ == "__main__":
    main()
