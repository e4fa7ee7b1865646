"""What is the same for all contenders: the model, its options, and how a job is taken and answered.

A job is {"id", "path", "language" (None: to be detected), "urgent"}; its answer {"id", "text"} goes to a list in
Valkey, where `text` is None if the file cannot be read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from redis import Redis

URL = os.environ.get("BENCH_REDIS_URL", "")
ANSWERS = "bench:answers"
JOBS = "bench:jobs"

Job = dict[str, Any]


@cache
def valkey() -> Redis:
    """Return the connection of this process."""
    return Redis.from_url(URL, socket_timeout=None)


def load() -> Any:
    """Load the model as faster-whisper's documentation does."""
    from faster_whisper import WhisperModel

    return WhisperModel(
        os.environ["BENCH_MODEL"],
        device=os.environ["BENCH_DEVICE"],
        compute_type=os.environ["BENCH_COMPUTE"],
        cpu_threads=int(os.environ["BENCH_THREADS"]),
        local_files_only=True,
    )


preloaded = cache(load)


def hear(model: Any, job: Job, **options: Any) -> None:
    """Transcribe the file of a job and answer it."""
    try:
        segments, _ = model.transcribe(
            job["path"], language=job["language"], beam_size=5, condition_on_previous_text=False, **options
        )
        text = "".join(segment.text for segment in segments).strip()
    except Exception:  # noqa: BLE001  # decoders raise what they like on a broken file
        text = None
    answer(job, text)


def answer(job: Job, text: str | None) -> None:
    """Answer a job."""
    valkey().rpush(ANSWERS, json.dumps({"id": job["id"], "text": text}))


def put(job: Job) -> None:
    """Leave a job for `taken`: no queue system, only a list."""
    valkey().rpush(JOBS, json.dumps(job))


def taken() -> Iterator[Job]:
    """Take the jobs of the list, one after the other, until it is killed."""
    while True:
        yield json.loads(awaited(JOBS))


def awaited(key: str) -> Any:
    """Take the first of a list in Valkey, when there is one."""
    found = valkey().blpop([key])
    assert found is not None  # noqa: S101  # without a limit it waits forever
    return found[1]
