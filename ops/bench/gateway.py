"""What the gateway adds: the same clips through `asrq http` and through a client of the queue, by turns, in one run.

    python ops/bench/gateway.py [--clips DIR] [--repeat N]

Starts `asrq up` with the fake backend, and `asrq http` beside it as a process of its own. For each clip, a direct
client (`asrq_jobs.Client`) uploads it, submits it and waits for its result, and a client over HTTP posts it to
`/v1/audio/transcriptions`. Neither finds the other's upload in Redis, and which of the two goes first changes with each
clip. Prints one JSON object, in milliseconds: both medians, the median of the differences within a pair, and what a
request takes of a core in the gateway (`cpu_ms`), which a busy machine changes least. Compare only within one run:
machines differ and are seldom quiet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from asrq_jobs import Client, keys
from asrq_jobs.settings import Settings
from overhead import OPTIONS, clips, worker


@contextmanager
def gateway(url: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run `asrq http` in front of a queue and give its address, and its process."""
    process = subprocess.Popen(  # noqa: S603  # our own program
        [Path(sys.executable).with_name("asrq"), "http", "--port", "0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "ASRQ_REDIS_URL": url, "ASRQ_LOG_LEVEL": "error"},
        text=True,
    )
    assert process.stdout is not None  # noqa: S101  # a pipe was asked for
    try:
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def directly(client: Client, path: Path) -> float:
    """Seconds from a file to its result, through the queue."""
    began = time.perf_counter()
    blob = client.upload(path)
    result = client.wait(client.submit(blob, lane="interactive", **OPTIONS).id, timeout_s=300)
    seconds = time.perf_counter() - began
    assert result.status == "completed", result.error  # noqa: S101
    client.redis.delete(keys.blob(blob.sha256))
    return seconds


def over_http(http: httpx.Client, client: Client, path: Path) -> float:
    """Seconds from a file to its answer, through the gateway."""
    began = time.perf_counter()
    with path.open("rb") as file:
        form = {"model": "whisper-1", **OPTIONS}
        answer = http.post("/v1/audio/transcriptions", data=form, files={"file": (path.name, file)})
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    client.redis.delete(keys.blob(hashlib.sha256(path.read_bytes()).hexdigest()))
    return seconds


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    files = clips(given.clips)
    pairs: list[tuple[float, float]] = []
    with (
        worker("fake", "m") as url,
        Client(Settings(redis_url=url)) as client,
        gateway(url) as (address, process),
        httpx.Client(base_url=address, timeout=300) as http,
    ):
        directly(client, files[0])
        over_http(http, client, files[0])  # both are warm now
        before_s = _of_a_core(process)
        for number, path in enumerate(files * given.repeat):
            if number % 2:
                direct_s = directly(client, path)
                http_s = over_http(http, client, path)
            else:
                http_s = over_http(http, client, path)
                direct_s = directly(client, path)
            pairs.append((direct_s, http_s))
        cpu_s = (_of_a_core(process) - before_s) / len(pairs)
    direct, asked = zip(*pairs, strict=True)
    report = {
        "direct_ms": _median_ms(direct),
        "http_ms": _median_ms(asked),
        "added_ms": _median_ms([http_s - direct_s for direct_s, http_s in pairs]),
        "cpu_ms": round(cpu_s * 1000, 2),
    }
    print(json.dumps({"pairs": len(pairs), **report}))


def _of_a_core(process: psutil.Process) -> float:
    """Seconds that a process has used."""
    used = process.cpu_times()
    return float(used.user + used.system)


def _median_ms(seconds: tuple[float, ...] | list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2)


if __name__ == "__main__":
    main()
