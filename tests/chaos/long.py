"""A very long dictation, handed over faster than it could be spoken: what it takes in memory, and that nothing is lost.

    PYTHONPATH=tests python -m chaos.long --hours 4
    PYTHONPATH=tests python -m chaos.long --hours 1 --silent

A line for each tenth of it, and one at the end, as JSON: memory in MiB of the worker's processes and of the server, the
number of events in their stream. The backend is the fake one, whose text says what it was given.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from support.processes import Process
from support.server import Server, valkey
from support.speaking import RATE, spoken

from asrq_jobs import Client, keys
from asrq_jobs.settings import Settings

_FRAME_S = 2
_LEAD_S = 100_000  # so long ago was it submitted, as far as append.lua knows: or it would take a tenth of real time
_END_S = 3600.0


def run(hours: float, folder: Path, *, silent: bool) -> list[dict[str, Any]]:
    """Dictate, and return what was seen at each tenth and at the end."""
    binary = valkey()
    if binary is None:
        raise SystemExit("This machine lacks a Valkey server.")
    with Server(binary, folder / "data") as url, Client(Settings(redis_url=url)) as client:
        env = {
            "ASRQ_REDIS_URL": url, "ASRQ_BACKEND": "fake", "ASRQ_FALLBACK": "none", "ASRQ_MODEL": "m",
            "ASRQ_LANES": "interactive:1", "ASRQ_SPOOL_DIR": str(folder / "spool"),
        }  # fmt: skip
        worker = Process("worker", env=env)
        try:
            worker.wait_for("worker.ready", 300)
            return _dictate(client, worker, hours, silent=silent)
        finally:
            worker.process.kill()
            worker.process.wait(60)


def _dictate(client: Client, worker: Process, hours: float, *, silent: bool) -> list[dict[str, Any]]:
    sound, began, seen = bytes(RATE * 2 * _FRAME_S) if silent else spoken("hello-en", "hello-ru"), time.monotonic(), []
    live = client.live(language="en")
    meta = json.loads(client.redis.hget(keys.job(live.id), "meta") or b"{}")
    meta["live"]["since"] -= _LEAD_S
    client.redis.hset(keys.job(live.id), "meta", json.dumps(meta))
    total = round(hours * 3600 * RATE * 2)
    at, step, next_look = 0, RATE * 2 * _FRAME_S, 0
    while at < total:
        start = at % len(sound)
        at += len(frame := sound[start : start + min(step, total - at)])
        live.append(frame)
        if at >= next_look:
            next_look += total // 10
            seen.append(_look(client, worker, live.id, began, at))
            print(json.dumps(seen[-1]), flush=True)
    live.end()
    result = live.wait(timeout_s=_END_S)
    seen.append(_look(client, worker, live.id, began, at))
    seen[-1] |= {"status": result.status, "duration": result.duration, "words": len((result.text or "").split())}
    seen[-1] |= {"warnings": result.warnings, "error": result.error and result.error.code}
    seen[-1] |= {"sound_left": client.redis.exists(keys.live(live.id)), "chunks": len(result.segments)}
    return seen


def _look(client: Client, worker: Process, job_id: str, began: float, at: int) -> dict[str, Any]:
    memory = {"parent": _mb(psutil.Process(worker.process.pid))}
    for child in worker.children():
        kind = "engine" if "engine.child" in " ".join(child.cmdline()) else "decoder"
        memory[kind] = max(memory.get(kind, 0), _mb(child))
    info: Any = client.redis.info("memory")
    events = client.redis.xlen(keys.events(job_id))
    seconds = round(time.monotonic() - began)
    return {
        "minutes": at // (RATE * 2 * 60),
        "s": seconds,
        "server": info["used_memory"] >> 20,
        "events": events,
    } | memory


def _mb(process: psutil.Process) -> int:
    return int(process.memory_info().rss) >> 20


def main() -> None:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--silent", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(given.hours, Path(folder), silent=given.silent)[-1]))


if __name__ == "__main__":
    main()
