"""Records as a benchmark would have made them."""

from __future__ import annotations

from pathlib import Path

from asrq_jobs.errors import ErrorInfo
from asrq_jobs.result import Result, Timings
from asrq_worker.bench.manifest import Clip
from asrq_worker.bench.record import Transcribed

TARGET = "whisper:base"


def clip(name: str, text: str | None = "left right", language: str = "en") -> Clip:
    return Clip(name, Path(name), f"sha-{name}", language, text)


def heard(
    of: Clip, text: str | None = "left right", *, latency_s: float = 1.0, warnings: tuple[str, ...] = ()
) -> Transcribed:
    """A clip that was served, or, without a text, one that failed."""
    error = ErrorInfo(code="engine_crashed", message="It crashed.", retryable=True, stage="inference")
    return Transcribed(
        target=TARGET,
        name=of.name,
        sha256=of.sha256,
        language=of.language,
        latency_s=latency_s,
        result=Result(
            id="job",
            status="failed" if text is None else "completed",
            text=text,
            duration=4.0,
            backend_version="1.2",
            device="cpu",
            timings=Timings(model_load_s=0.5),
            warnings=warnings,
            error=error if text is None else None,
        ),
    )
