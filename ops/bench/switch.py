"""How long a worker does nothing while the policy moves it from one warm backend to another.

    python ops/bench/switch.py [--model tiny.en] [--jobs 60]

Fills a lane with short clips for whisper, lets the fake backend of the tests take over in the middle and whisper again
later, and prints the usual and the longest time between two completed jobs and how many did not complete.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from asrq_jobs import Client, Result, policy
from asrq_jobs.policy import Policy
from asrq_jobs.settings import Settings
from asrq_worker.embedded.valkey import EmbeddedValkey

SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "data" / "hello-en.flac"


def measure(client: Client, jobs: int) -> list[Result]:
    """Submit everything, switch twice while it runs, and return the results."""
    blob = client.upload(SAMPLE)
    client.wait(client.submit(blob, language="en").id, timeout_s=120)
    client.command("load", "fake")
    while client.workers()[next(iter(client.workers()))]["engines"].get("fake", {}).get("state") != "ready":
        time.sleep(0.1)
    ids = [client.submit(blob, language="en").id for _ in range(jobs)]
    there = Policy(backend="fake", fallback="whisper")
    client.wait(ids[jobs // 3], timeout_s=300)
    policy.write(client.redis, None, there, reason="measure")
    client.wait(ids[jobs // 2], timeout_s=300)
    policy.write(client.redis, policy.read(client.redis), Policy(backend="whisper"), reason="measure")
    return [client.wait(job_id, timeout_s=300) for job_id in ids]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--jobs", type=int, default=60)
    given = parser.parse_args()
    program = Path(sys.executable).with_name("asrq")
    with EmbeddedValkey() as url, Client(Settings(redis_url=url)) as client:
        command = [program, "worker", "--backend", "whisper", "--model", given.model, "--lanes", "batch:4"]
        env = {**os.environ, "ASRQ_REDIS_URL": url, "ASRQ_LOG_LEVEL": "error", "ASRQ_LEASE_S": "3"}
        with subprocess.Popen(command, env=env) as worker:  # noqa: S603  # our own program
            try:
                results = measure(client, given.jobs)
            finally:
                worker.terminate()
    ends = sorted(datetime.fromisoformat(result.completed_at or "").timestamp() for result in results)
    gaps = sorted(after - before for before, after in pairwise(ends))
    report = {
        "jobs": len(results),
        "not_completed": sum(result.status != "completed" for result in results),
        "by_backend": {name: sum(r.backend == name for r in results) for name in ("whisper", "fake")},
        "usual_gap_s": round(gaps[len(gaps) // 2], 3),
        "longest_gap_s": round(gaps[-1], 3),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
