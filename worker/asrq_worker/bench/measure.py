"""The measuring itself: every clip alone in the interactive lane, then all of them at once in the batch lane."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asrq_jobs.errors import UnsupportedOptionError
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.bench.instance import Instance, serving
from asrq_worker.bench.manifest import Clip
from asrq_worker.bench.record import Hosted, Records, Refused, Rush, Transcribed
from asrq_worker.bench.target import Target


@dataclass(frozen=True)
class BenchmarkStep:
    """How far a target is; `note` is about the last clip."""

    target: Target
    phase: Literal["starting", "one at a time", "all at once"]
    done: int = 0
    total: int = 0
    note: str = ""


Tell = Callable[[BenchmarkStep], None]


def measure(
    target: Target, clips: Sequence[Clip], records: Records, settings: Settings, *, log: Path, tell: Tell
) -> None:
    """Measure what the records of a target do not hold yet; what failed is tried again.

    Raises:
        AsrqError: the worker does not start, or does not live through it.
    """
    waiting = [clip for clip in clips if clip.language not in records.refused and not _served(clip, records)]
    done = _for_rush(clips, records)
    if not waiting and (not done or records.rush(done)):
        return
    tell(BenchmarkStep(target, "starting"))
    with serving(target, settings, log=log) as instance:
        try:
            _one_at_a_time(instance, target, waiting, records, tell)
            _all_at_once(instance, target, _for_rush(clips, records), records, tell)
        finally:
            peak_mb = instance.memory.peak_mb
            records.add(
                Hosted(target=str(target), cold_start_s=round(instance.cold_start_s, 3), peak_memory_mb=peak_mb)
            )


def _served(clip: Clip, records: Records) -> bool:
    """Whether the clip has been transcribed."""
    heard = records.heard(clip)
    return heard is not None and heard.result.status == "completed"


def _for_rush(clips: Sequence[Clip], records: Records) -> list[Clip]:
    return [clip for clip in clips if _served(clip, records)]


def _one_at_a_time(instance: Instance, target: Target, clips: Sequence[Clip], records: Records, tell: Tell) -> None:
    for number, clip in enumerate(clips, 1):
        if clip.language in records.refused:
            continue
        began = time.perf_counter()
        result = instance.wait(instance.client.submit_file(clip.file, lane="interactive", language=clip.language).id)
        latency_s = time.perf_counter() - began
        if result.error and result.error.code == UnsupportedOptionError.code:  # a language is all that we ask for
            records.add(Refused(target=str(target), language=clip.language, error=result.error))
            note = result.error.message
        else:
            records.add(
                Transcribed(
                    target=str(target),
                    name=clip.name,
                    sha256=clip.sha256,
                    language=clip.language,
                    latency_s=round(latency_s, 4),
                    result=result.model_copy(update={"segments": None}),
                )
            )
            note = f"{clip.name}: {result.error.code if result.error else f'{latency_s:.2f} s'}"
        tell(BenchmarkStep(target, "one at a time", number, len(clips), note))


def _all_at_once(instance: Instance, target: Target, clips: Sequence[Clip], records: Records, tell: Tell) -> None:
    if not clips or records.rush(list(clips)):
        return
    began = time.perf_counter()
    jobs = [instance.client.submit_file(clip.file, lane="batch", language=clip.language).id for clip in clips]
    results: list[Result] = []
    for number, (clip, job_id) in enumerate(zip(clips, jobs, strict=True), 1):
        results.append(instance.wait(job_id))
        tell(BenchmarkStep(target, "all at once", number, len(clips), clip.name))
    wall_s = time.perf_counter() - began
    records.add(
        Rush(
            target=str(target),
            wall_s=round(wall_s, 3),
            audio_s=round(sum(result.duration or 0.0 for result in results), 3),
            texts={clip.sha256: result.text for clip, result in zip(clips, results, strict=True)},
        )
    )
