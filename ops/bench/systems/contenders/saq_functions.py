"""SAQ: one job at a time in a thread; its Redis queue knows no priorities."""

from __future__ import annotations

import asyncio
from typing import Any

from saq import Queue

from systems.contenders.hearing import URL, Job, hear, preloaded

_queue = Queue.from_url(URL)
_loop = asyncio.new_event_loop()


async def transcribe(_context: dict[str, Any], *, job: Job) -> None:
    """Transcribe with the model of this process."""
    await asyncio.to_thread(hear, preloaded(), job)


settings = {"queue": _queue, "functions": [transcribe], "concurrency": 1}


def submit(job: Job) -> None:
    """Queue a job; without `timeout` it would have 10 s, without `retries` one attempt."""
    _loop.run_until_complete(_queue.enqueue("transcribe", job=job, timeout=3600, retries=3))
