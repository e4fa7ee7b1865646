"""What tests of the gateway ask it for, and the answers that they expect."""

from __future__ import annotations

import time
from typing import Any

import httpx

from asrq_jobs.events import Event

URL = "/v1/audio/transcriptions"
FORM = {"model": "whisper-1"}
FILES = {"file": ("talk.mp3", b"stands for audio")}


def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()["error"]
    assert found["message"].endswith(".")
    return found


def chunk(start: float, text: str, *, until: float) -> Event:
    return Event(type="chunk", at=time.time(), start=start, end=start + 1, text=text, until=until)
