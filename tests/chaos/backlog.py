"""What many jobs that wait cost: memory for each, a round of the reaper, a look at a job, submitting and taking one.

The figures of docs/explanation/decisions/0027: `PYTHONPATH=tests python -m chaos.backlog --jobs 100000`.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from chaos.server import SERVERS, Server
from redis import Redis

from asrq_jobs import Client, keys, scripts
from asrq_jobs.request import Request
from asrq_jobs.settings import Settings
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.reaper import Reaper

_LOOKS = 9
_AT_ONCE = 1000


def main() -> None:
    """Fill each kind of server, and print a line of a table for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    jobs = parser.parse_args().jobs
    for kind, found in SERVERS.items():
        if (binary := found()) is None:
            continue
        with TemporaryDirectory() as folder, Server(binary, Path(folder), appendonly="no") as url:
            for what, figure in _measured(url, jobs).items():
                print(f"{kind:8} {what:32} {figure}")


def _measured(url: str, jobs: int) -> dict[str, str]:
    settings = Settings(redis_url=url, lane_depth=2 * jobs)
    with Client(settings) as client:
        client.redis.hset(keys.LIMITS, "depth:batch", 2 * jobs)
        blob = client.upload(b"audio", name="recording.mp3")
        before = _used(client.redis)
        ids = [uuid.uuid4().hex for _ in range(jobs)]
        for start in range(0, jobs, _AT_ONCE):
            _submit(
                client.redis, [Request.build(id=job_id, audio=blob, language="ru") for job_id in ids[start:][:_AT_ONCE]]
            )
        figures = {"memory for each job": f"{(_used(client.redis) - before) / jobs:.0f} bytes"}
        reaper, middle = Reaper(client.redis, settings), iter(ids[jobs // 2 :])
        timed: dict[str, Callable[[], object]] = {
            "a round of the reaper": reaper.run_once,
            "a look at the first job": lambda: client.state(ids[0]),
            "a look at one in the middle": lambda: client.state(ids[jobs // 2]),
            "a look at the last job": lambda: client.state(ids[-1]),
            "submitting one more": lambda: client.submit(blob, id=uuid.uuid4().hex, lane="batch"),
            "taking and beginning one": lambda: _take(client.redis),
            "canceling one in the middle": lambda: client.cancel(next(middle)),
        }
        return figures | {what: f"{1000 * _time_of(step):.1f} ms" for what, step in timed.items()}


def _submit(redis: Redis, requests: list[Request]) -> None:
    submit, pipe = scripts.load(redis, "submit"), redis.pipeline(transaction=False)
    for request in requests:
        named = [keys.job(request.id), keys.queue(request.lane), keys.RQ_QUEUES, keys.events(request.id),
                 keys.result(request.id), keys.LIMITS, keys.blob(request.audio.sha256)]  # type: ignore[union-attr]  # all are blobs  # fmt: skip
        submit(named, [request.id, request.lane, request.to_json()], client=pipe)
    pipe.execute()


def _take(redis: Redis) -> None:
    taken = redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    Execution(taken.decode(), uuid.uuid4().hex, "batch", "host.fake.batch.1").begin(redis, lease_s=60)  # type: ignore[union-attr]  # many wait


def _used(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def _time_of(step: Callable[[], object]) -> float:
    """The median of some times, s."""
    took = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return median(took)


if __name__ == "__main__":
    main()
