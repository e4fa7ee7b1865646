"""What a job costs beside its work: jobs that do nothing through asrq's slots, and through RQ's SimpleWorker.

The figures of docs/explanation/quality-and-speed.md: `PYTHONPATH=tests python -m chaos.noop --jobs 500 --rounds 5`.
Each round runs both, one after the other, on the same server. A job of asrq is everything but its audio: admission,
lease, events, result, commit; one of RQ calls a function that does nothing.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from redis import Redis
from rq import Queue, SimpleWorker
from support.host import serving, transcribed
from support.server import SERVERS, Server

from asrq_jobs import Client, keys
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.settings import Settings
from asrq_worker.telemetry import logs

_LANE = "batch"


def main() -> None:
    """Run rounds, or, as a process of its own, one contender; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contender", choices=_CONTENDERS)
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.contender:
        with Redis.from_url(given.url) as redis:
            print(json.dumps(_CONTENDERS[given.contender](redis, given.url)))
        return
    binary = SERVERS["valkey"]()
    if binary is None:
        raise SystemExit("no server for this platform")
    with TemporaryDirectory() as folder, Server(binary, Path(folder), appendonly="no") as url:
        rounds = [{name: _measured(name, url, given.jobs) for name in _CONTENDERS} for _ in range(given.rounds)]
    print(json.dumps(_summary(rounds, given.jobs)))


def _measured(name: str, url: str, jobs: int) -> dict[str, float]:
    with Client(Settings(redis_url=url)) as client:
        client.redis.flushall()
        queue = Queue(connection=client.redis)
        queue.enqueue_many([Queue.prepare_data(operator.truth, args=(0,)) for _ in range(jobs)])
        requests = (Request.build(id=f"job{number}", audio=PathAudio(path="/a.wav")) for number in range(jobs))
        assert all(isinstance(answer.created, bool) for answer in client.submit_many(requests))
    command = [sys.executable, "-m", "chaos.noop", "--contender", name, "--url", url]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=env)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _rq(redis: Redis, _url: str) -> dict[str, float]:
    took = _stopwatch()
    SimpleWorker([Queue(connection=redis)], connection=redis).work(burst=True, logging_level="ERROR")
    return took()


def _asrq(redis: Redis, url: str, slots: int) -> dict[str, float]:
    settings = Settings(redis_url=url, log_level="error")
    logs.configure(settings)
    took = _stopwatch()
    with serving(redis, settings, lambda request, *_: transcribed(request), slots=slots):
        while redis.llen(keys.queue(_LANE)) or redis.zcard(keys.LEASES):
            time.sleep(0.01)
        return took()


def _stopwatch() -> Callable[[], dict[str, float]]:
    began, busy = time.perf_counter(), time.process_time()
    return lambda: {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - busy}


def _summary(rounds: list[dict[str, dict[str, float]]], jobs: int) -> dict[str, object]:
    per_s = {name: [round(jobs / each[name]["wall_s"]) for each in rounds] for name in _CONTENDERS}
    cpu_ms = {name: round(1000 * median(each[name]["cpu_s"] for each in rounds) / jobs, 2) for name in _CONTENDERS}
    ratios = {
        name: [round(own / rq, 2) for own, rq in zip(per_s[name], per_s["rq"], strict=True)]
        for name in _CONTENDERS
        if name != "rq"
    }
    return {"jobs_per_s": per_s, "cpu_ms_per_job": cpu_ms, "ratio_to_rq": ratios}


_CONTENDERS = {
    "rq": _rq,
    "asrq, 1 slot": lambda redis, url: _asrq(redis, url, 1),
    "asrq, 6 slots": lambda redis, url: _asrq(redis, url, 6),
}


if __name__ == "__main__":
    main()
