"""What many jobs that wait cost: memory for each, a round of the reaper, a scrape of its metrics, looks and steps.

The figures of docs/explanation/decisions/0027: `PYTHONPATH=tests python -m chaos.backlog --jobs 100000`. What should
take the same however many wait is measured with a hundredth of the jobs, too.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from redis import Redis
from support.server import SERVERS, Server

from asrq_jobs import Client, keys
from asrq_jobs.request import BlobAudio, Request
from asrq_jobs.settings import Settings
from asrq_jobs.states import Submitted
from asrq_worker.monitor.reaper import ReaperMonitor
from asrq_worker.monitor.registry import Metrics
from asrq_worker.queue.execution import Execution
from asrq_worker.reaper.reaper import Reaper

_LOOKS = 9


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
        few = max(jobs // 100, 2 * _LOOKS)
        ids = [uuid.uuid4().hex for _ in range(jobs)]
        _submit(client, blob, ids[:few])
        with_few = _times(client, settings, blob, ids[:few])
        before, began = _used(client.redis), time.perf_counter()
        _submit(client, blob, ids[few:])
        rate = (jobs - few) / (time.perf_counter() - began)
        figures = {
            "submitting all": f"{rate:.0f} a second",
            "memory for each job": f"{(_used(client.redis) - before) / (jobs - few):.0f} bytes",
        }
        with_all = _times(client, settings, blob, ids[few:])
        return figures | {
            what: f"{1000 * with_few[what]:.1f} ms with {few} jobs, {1000 * took:.1f} ms with {jobs} jobs"
            for what, took in with_all.items()
        }


def _times(client: Client, settings: Settings, blob: BlobAudio, ids: list[str]) -> dict[str, float]:
    """The seconds that each step takes while these jobs wait."""
    reaper, middle, metrics = Reaper(client.redis, settings), iter(ids[len(ids) // 2 :]), Metrics()
    monitor = ReaperMonitor(metrics, client.redis, settings)
    timed: dict[str, Callable[[], object]] = {
        "a round of the reaper": lambda: monitor.looked(reaper.run_once()),
        "a scrape of its metrics": metrics.exposition,
        "a page of `asrq list`": lambda: client.jobs("queued"),
        "a page in the middle": lambda: client.jobs("queued", after=ids[len(ids) // 2]),
        "a look at the first job": lambda: client.state(ids[0]),
        "a look at one in the middle": lambda: client.state(ids[len(ids) // 2]),
        "a look at the last job": lambda: client.state(ids[-1]),
        "submitting one more": lambda: client.submit(blob, id=uuid.uuid4().hex, lane="batch"),
        "taking and beginning one": lambda: _take(client.redis),
        "canceling one in the middle": lambda: client.cancel(next(middle)),
    }
    try:
        return {what: _time_of(step) for what, step in timed.items()}
    finally:
        monitor.close()


def _submit(client: Client, blob: BlobAudio, ids: list[str]) -> None:
    requests = (Request.build(id=job_id, audio=blob, language="ru") for job_id in ids)
    for answer in client.submit_many(requests):
        assert isinstance(answer, Submitted), answer


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
