"""`asrq batch` over many files, killed again and again and begun anew: each file is done once, and Redis stays small.

PYTHONPATH=tests python -m chaos.archive --files 10000 --kills 10
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.processes import PROGRAM, Process
from support.server import Server, valkey

from asrq_jobs import Client, keys
from asrq_jobs.cli.archive.folders import REPORT
from asrq_jobs.settings import Settings

_RATE = 16_000
_START_S = 300.0
_LOOK_S = 0.05
_MOST = 16


@dataclass
class Found:
    """What came of it; `executions` is how often a job was completed.

    `most_jobs` is what Redis held at most, `peak_kb` how much its memory grew meanwhile, and `left_kb` how much of that
    was left in the end.
    """

    files: int
    kills: int = 0
    executions: int = 0
    most_jobs: int = 0
    peak_kb: int = 0
    left_kb: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def run(files: int, kills: int, folder: Path) -> Found:
    """Make an archive and transcribe it; each kill comes when a share of what is left has been done."""
    binary = valkey()
    assert binary is not None
    source, found, began = random.Random(7), Found(files), time.monotonic()  # noqa: S311  # to be repeated, not secret
    archive, out = folder / "archive", folder / "out"
    for number in range(files):
        _record(archive / f"{number % 100:02}" / f"{number:06}.wav", _samples(number))
    with Server(binary, folder / "server") as url, Client(Settings(redis_url=url)) as client:
        env = {
            "ASRQ_REDIS_URL": url, "ASRQ_BACKEND": "fake", "ASRQ_FALLBACK": "none", "ASRQ_MODEL": "m",
            "ASRQ_LANES": "batch:4", "ASRQ_SPOOL_DIR": str(folder / "spool"),
        }  # fmt: skip
        worker = Process("worker", env=env)
        try:
            worker.wait_for("worker.ready", _START_S)
            small = _memory(client)["used_memory"]
            while True:
                done = _done(client)
                goal = done + source.randint(1, max(1, (files - done) // (kills - found.kills + 1)))
                code = _until(_batch(url, archive, out), goal if found.kills < kills else files + 1, client, found)
                if code is not None:
                    break
                found.kills += 1
            memory = _memory(client)
            found.peak_kb, found.left_kb = (
                (memory[name] - small) >> 10 for name in ("used_memory_peak", "used_memory")
            )
            found.executions = _done(client)
            found.problems += [f"asrq batch ended with {code}"] * (code != 0)
            found.problems += [f"job {job.id} is left" for job in client.jobs()]
        finally:
            worker.end()
    found.problems += _wrong(files, out)
    found.seconds = round(time.monotonic() - began, 1)
    return found


def _samples(number: int) -> int:
    """How long a file is; a thousand of them can be told from each other by it."""
    return _RATE // 10 + _RATE // 1000 * (number % 1000)


def _record(path: Path, samples: int) -> None:
    """Write silence of this length, by which a file is known again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, _RATE, samples, "NONE", ""))
        sound.writeframes(bytes(2 * samples))


def _batch(url: str, archive: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [PROGRAM, "batch", archive, "--output", out, "--most", str(_MOST)]
    return subprocess.Popen(
        [str(part) for part in command],
        env={"ASRQ_REDIS_URL": url, "HOME": str(out.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=out.parent,
    )


def _until(batch: subprocess.Popen[bytes], goal: int, client: Client, found: Found) -> int | None:
    """Kill the program once so many jobs are done; return its exit code if it ends before."""
    while batch.poll() is None:
        found.most_jobs = max(found.most_jobs, sum(1 for _ in client.redis.scan_iter("rq:job:*", count=1000)))
        if _done(client) >= goal:
            batch.kill()
            batch.wait()
            return None
        time.sleep(_LOOK_S)  # a file's end sends no signal
    return batch.returncode


def _done(client: Client) -> int:
    return int(client.redis.hget(keys.STATS, "completed") or 0)


def _memory(client: Client) -> dict[str, int]:
    found: Any = client.redis.info("memory")
    return found


def _wrong(files: int, out: Path) -> list[str]:
    lines = [json.loads(line) for line in (out / REPORT).read_text().splitlines()]
    seen = {line["source"]: line for line in lines}
    problems = [f"{len(lines)} lines for {len(seen)} files"] * (len(lines) != len(seen))
    for number in range(files):
        name = f"{number % 100:02}/{number:06}"
        line = seen.get(f"{name}.wav")
        duration = _samples(number) / _RATE
        if line is None or line["status"] != "completed" or abs(line["duration"] - duration) > 0.0005:
            problems.append(f"{name}: {line}, and it has {duration} s")
        if not (out / f"{name}.txt").is_file():
            problems.append(f"{name} has no transcript")
    return problems


def main() -> int:
    """Run what the command line says, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrq-archive-") as folder:
        found = run(arguments.files, arguments.kills, Path(folder))
    print(json.dumps(vars(found), indent=2))
    return 1 if found.problems or found.executions != found.files else 0


if __name__ == "__main__":
    sys.exit(main())
