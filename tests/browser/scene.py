"""What the dashboard shows in the tests and in the pictures of the documentation: a worker, and jobs in every state."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import PROGRAM, worker

from asrq_jobs import Client, PathAudio
from asrq_jobs.settings import Settings
from asrq_worker.reaper.reaper import Reaper

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "hello-en.flac"
PRIVATE = "until:{gate} whispered"  # a prompt: nobody but the worker has to see it


@dataclass
class Scene:
    """A dashboard at `home` over a queue with one job each: finished, failed, dead, running, waiting.

    `lost` is the file that the failed one did not find. Touching `gate` lets the running one go on.
    """

    client: Client
    home: str
    lost: Path
    gate: Path


@contextmanager
def scene(redis_url: str, folder: Path, *, backend: str = "fake", model: str = "m") -> Iterator[Scene]:
    """Run it until the block ends.

    `backend` serves the finished job; the others, which have to fail or wait on command, name the fake one.
    """
    gate, lost = folder / "gate", folder / "voice-memo.flac"
    settings = Settings(redis_url=redis_url, reaper_interval_s=0.1)
    serving = worker(
        redis_url, backend=backend, model=model, fallback="fake", lanes="interactive:1,batch:1", parallel=2,
        audio_roots=folder, retry_delay_s=0.1, worker_name="gpu-1", lease_s=5,
    )  # fmt: skip
    with Client(settings) as client, serving:
        reaper = Reaper(client.redis, settings)
        reaper.start()
        try:
            _submit(client, folder, lost, gate)
            with _dashboard(redis_url) as home:
                yield Scene(client, home, lost, gate)
        finally:
            gate.touch()
            reaper.close()


def _submit(client: Client, folder: Path, lost: Path, gate: Path) -> None:
    for name in ("lecture-07", "interview", "board-meeting", "podcast-112"):
        shutil.copy(SAMPLE, folder / f"{name}.flac")
    for job_id, path, options in (
        ("finished", folder / "lecture-07.flac", {"language": "en"}),
        ("failed", lost, {"lane": "interactive"}),
        ("dead", folder / "interview.flac", {"backend": "fake", "language": "en", "prompt": "fail", "retries": 1}),
    ):
        client.submit(PathAudio(path=str(path)), id=job_id, **options)
        client.wait(job_id, timeout_s=120)
    prompt = PRIVATE.format(gate=gate)
    client.submit(PathAudio(path=str(folder / "board-meeting.flac")), id="running", backend="fake", prompt=prompt)
    assert any(event.type == "started" for event in client.events("running", timeout_s=30))
    client.submit(PathAudio(path=str(folder / "podcast-112.flac")), id="waiting")


@contextmanager
def _dashboard(redis_url: str) -> Iterator[str]:
    """Run the real command on a free port; gives its address."""
    program = subprocess.Popen(
        [PROGRAM, "dashboard", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ASRQ_REDIS_URL": redis_url},
    )
    try:
        assert program.stdout is not None
        yield program.stdout.readline().strip()
    finally:
        program.terminate()
        code = program.wait(20)
    assert code == 0
