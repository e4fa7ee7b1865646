"""A soak: workers start, serve, lose their children and stop, again and again in one process, which must not grow.

    PYTHONPATH=tests python -m chaos.soak --seconds 7200

No thread, file descriptor, child process, spool file or Redis key may be left after a round that was not there after
the first one.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from support.jobs import clips
from support.ledger import leftovers
from support.server import Server, valkey

from asrq_jobs import BlobAudio, Client
from asrq_jobs.errors import AsrqError
from asrq_jobs.settings import Settings
from asrq_worker.programs.worker import WorkerProcess
from asrq_worker.reaper.reaper import Reaper

_PATIENCE_S = 150.0
_DECODER, _ENGINE = "asrq_worker.audio.decode_child", "asrq_worker.engine.child"
_RSS_GROWTH = 1.5


@dataclass(frozen=True)
class Plan:
    """What a soak does: rounds until both are reached. `kills` are of the engine, one decoder goes as well."""

    seconds: float = 0.0
    rounds: int = 5
    jobs: int = 60
    kills: int = 4


@dataclass
class Holdings:
    """What this process holds."""

    threads: dict[str, int]
    descriptors: int
    children: dict[str, int]
    rss_mb: int

    def excess(self, before: Holdings) -> list[str]:
        """What there is more of than before."""
        kinds = ("threads", "children")
        more = {kind: Counter(getattr(self, kind)) - Counter(getattr(before, kind)) for kind in kinds}
        found = [f"{kind} {dict(names)}" for kind, names in more.items() if names]
        found += [f"{self.descriptors} descriptors, were {before.descriptors}"] * (
            self.descriptors > before.descriptors
        )
        found += [f"{self.rss_mb} MiB, were {before.rss_mb}"] * (self.rss_mb > before.rss_mb * _RSS_GROWTH)
        return found


@dataclass
class Summary:
    """What a soak found; `problems` must be empty. `first` and `last` are the holdings after those rounds."""

    rounds: int = 0
    jobs: int = 0
    kills: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    first: Holdings | None = None
    last: Holdings | None = None
    duration_s: float = 0.0
    problems: list[str] = field(default_factory=list)


def soak(plan: Plan, settings: Settings) -> Summary:
    """Run rounds against the queue in the settings, which nobody else uses; their `spool_dir` must be set."""
    began, summary = time.monotonic(), Summary()
    with Client(settings) as client:
        clip = client.upload(clips(("hello-en",))["short"][0])
        while summary.rounds < plan.rounds or time.monotonic() - began < plan.seconds:
            try:
                _round(plan, settings, client, clip, summary)
            except AsrqError as error:
                summary.problems.append(f"round {summary.rounds}: {error}")
            now = _settled(summary.first)
            if summary.first is not None:
                summary.problems += [f"round {summary.rounds}: {found}" for found in now.excess(summary.first)]
            summary.problems += [f"round {summary.rounds}: {found}" for found in leftovers(client.redis)]
            assert settings.spool_dir is not None
            summary.problems += [f"{left} is left" for left in settings.spool_dir.iterdir()]
            summary.first, summary.last = summary.first or now, now
            summary.rounds += 1
            if summary.problems:
                break
    summary.duration_s = round(time.monotonic() - began, 1)
    return summary


def settings_for(url: str, folder: Path) -> Settings:
    """Settings of a worker that has short leases and replaces its engine often."""
    return Settings(
        redis_url=url,
        backend="fake",
        fallback="none",
        model="fake",
        lanes="interactive:1,batch:3",
        decoders=2,
        lease_s=3,
        retry_delay_s=0.1,
        reaper_interval_s=0.2,
        engine_max_batches=25,
        spool_dir=folder / "spool",
    )


def _round(plan: Plan, settings: Settings, client: Client, clip: BlobAudio, summary: Summary) -> None:
    """Start a worker and a reaper, run jobs while children are killed, and stop both."""
    reaper, service = Reaper(client.redis, settings), WorkerProcess(settings, shutdown=lambda: None)
    service.start()
    reaper.start()
    try:
        jobs: list[str] = []
        for number in range(plan.jobs):
            jobs.append(_submit(client, clip, number))
            if number * plan.kills // plan.jobs < (number + 1) * plan.kills // plan.jobs:
                client.wait(jobs[-1], timeout_s=_PATIENCE_S)  # so that each kill finds the engine back at work
                _kill(_ENGINE)
                summary.kills += 1
        _kill(_DECODER)
        summary.ended = dict(Counter(summary.ended) + Counter(_ending(client, job_id) for job_id in jobs))
        summary.jobs += len(jobs)
    finally:
        service.close()
        reaper.close()


def _submit(client: Client, clip: BlobAudio, number: int) -> str:
    """Submit a job, now and then one that fails or is canceled."""
    prompt = {1: "fail", 2: "oom", 3: "sleep:0.2"}.get(number)
    job = client.submit(clip, language="en", prompt=prompt, retries=2 if prompt is None else 0)
    if number == 3:
        client.cancel(job.id)
    return job.id


def _ending(client: Client, job_id: str) -> str:
    result = client.wait(job_id, timeout_s=_PATIENCE_S)
    return result.error.code if result.error else result.status


def _settled(first: Holdings | None) -> Holdings:
    """Return what is held once that is no more than at first, and at first nothing of children that are gone: the
    thread of a killed one ends a moment after it."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        now = _holdings()
        unsettled = (
            now.excess(first) if first else [name for name in now.threads if name.startswith((_DECODER, _ENGINE))]
        )
        if not unsettled or time.monotonic() > until:
            return now
        time.sleep(0.1)


def _holdings() -> Holdings:
    gc.collect()
    me = psutil.Process()
    descriptors = me.num_handles() if sys.platform == "win32" else me.num_fds()
    threads = Counter(thread.name for thread in threading.enumerate())
    children = Counter(_described(child) for child in me.children(recursive=True))
    return Holdings(dict(threads), descriptors, dict(children), me.memory_info().rss >> 20)


def _described(child: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(child.cmdline()) or child.status()
    return "one that has just gone"


def _children(module: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if module in child.cmdline():
                found.append(child)
    return found


def _kill(module: str) -> None:
    """Kill one of these children, as soon as there is one."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (children := _children(module)):
        assert time.monotonic() < deadline, f"no {module} came back"
        time.sleep(0.02)
    with contextlib.suppress(psutil.NoSuchProcess):
        children[0].kill()


def main() -> int:
    """Run what the command line says; the exit code says whether nothing was left."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    plan, binary = Plan(**vars(parser.parse_args())), valkey()
    if binary is None:
        raise SystemExit("No valkey server is installed.")
    with tempfile.TemporaryDirectory(prefix="asrq-soak-") as folder, Server(binary, Path(folder) / "data") as url:
        summary = soak(plan, settings_for(url, Path(folder)))
    print(json.dumps(asdict(summary), indent=2))
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
