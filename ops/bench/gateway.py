"""What the gateway adds: the same clips through `asrq http` and through a client of the queue, by turns, in one run.

    python ops/bench/gateway.py [--clips DIR] [--repeat N]

Starts `asrq up` with the fake backend, and `asrq http` beside it as a process of its own. For each clip, a direct
client (`asrq_jobs.Client`) submits the file and waits for its result; and two clients over HTTP post it to
`/v1/audio/transcriptions`: Python's own `http.client`, and `httpx`, which OpenAI's package uses. None finds
another's upload in Redis, and which goes first changes with each clip. Prints one JSON object, in
milliseconds: the medians of all three, the median of what each of the two takes longer than the direct
client did for the same clip (`added_ms`), what each takes of a core in this program (`own_ms`), and what a request
takes of one in the gateway (`cpu_ms`), which a busy machine changes least. Compare only within one run: machines differ
and are seldom quiet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import psutil

from asrq_jobs import Client, keys
from asrq_jobs.settings import Settings
from overhead import OPTIONS, clips, worker

URL = "/v1/audio/transcriptions"
FORM = {"model": "whisper-1", **OPTIONS}


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


Way = Callable[[Path], None]


def directly(client: Client) -> Way:
    """From a file to its result, through the queue."""

    def transcribe(path: Path) -> None:
        result = client.wait(client.submit_file(path, lane="interactive", **OPTIONS).id, timeout_s=300)
        assert result.status == "completed", result.error  # noqa: S101

    return transcribe


def plainly(address: str) -> Way:
    """From a file to its answer, through the gateway, by a connection and the bytes of a form."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=300)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def transcribe(path: Path) -> None:
        line = uuid.uuid4().hex
        fields = "".join(f"--{line}\r\n{_named(name)}\r\n\r\n{value}\r\n" for name, value in FORM.items())
        head = f'{fields}--{line}\r\n{_named("file")}; filename="{path.name}"\r\n\r\n'
        body = b"".join((head.encode(), path.read_bytes(), f"\r\n--{line}--\r\n".encode()))
        connection.request("POST", URL, body, {"Content-Type": f"multipart/form-data; boundary={line}"})
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said  # noqa: S101

    return transcribe


def by_httpx(http: httpx.Client) -> Way:
    """The same, by httpx."""

    def transcribe(path: Path) -> None:
        with path.open("rb") as file:
            http.post(URL, data=FORM, files={"file": (path.name, file)}).raise_for_status()

    return transcribe


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    files = clips(given.clips)
    with (
        worker("fake", "m") as url,
        Client(Settings(redis_url=url)) as client,
        gateway(url) as (address, process),
        httpx.Client(base_url=address, timeout=300) as http,
    ):
        ways = {"direct": directly(client), "http": plainly(address), "httpx": by_httpx(http)}
        took: dict[str, list[float]] = {name: [] for name in ways}
        own = dict.fromkeys(ways, 0.0)
        for way in ways.values():
            way(files[0])  # all are warm now
        before_s = _of_a_core(process)
        for number, path in enumerate(files * given.repeat):
            first = number % len(ways)
            for name in (*list(ways)[first:], *list(ways)[:first]):
                client.redis.delete(keys.blob(hashlib.sha256(path.read_bytes()).hexdigest()))
                began, began_cpu = time.perf_counter(), time.process_time()
                ways[name](path)
                took[name].append(time.perf_counter() - began)
                own[name] += time.process_time() - began_cpu
        cpu_s = (_of_a_core(process) - before_s) / 2
    report: dict[str, Any] = {"clips": len(took["direct"]), "cpu_ms": round(cpu_s / len(took["direct"]) * 1000, 2)}
    for name, seconds in took.items():
        longer = [each - direct for each, direct in zip(seconds, took["direct"], strict=True)]
        added = {} if name == "direct" else {"added_ms": _median_ms(longer)}
        spent = round(own[name] / len(seconds) * 1000, 2)
        report |= {name: {"median_ms": _median_ms(seconds), **added, "own_ms": spent}}
    print(json.dumps(report))


def _named(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"'


def _of_a_core(process: psutil.Process) -> float:
    """Seconds that a process has used."""
    used = process.cpu_times()
    return float(used.user + used.system)


def _median_ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2)


if __name__ == "__main__":
    main()
