"""The report as a document, and how it follows from the records. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from asrq_worker.bench.manifest import Clip
from asrq_worker.bench.normalise import DESCRIPTION, normalise
from asrq_worker.bench.record import Records, Transcribed
from asrq_worker.bench.score import Errors, compare, percentile, total
from asrq_worker.bench.target import Target


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Accuracy(_Part):
    """Errors in one language; `wer` and `cer` in percent. In a clip that failed, nothing counts as heard.

    Of the word errors, `invented` stand for nothing that was said, and nothing was heard for `lost`.
    """

    clips: int
    words: int
    word_errors: int
    invented: int
    lost: int
    wer: float | None
    cer: float | None


class _Latency(_Part):
    """From handing over a file to having its result, one at a time, in seconds."""

    clips: int
    p50_s: float
    p95_s: float
    p99_s: float


class _Throughput(_Part):
    """All clips at once. `changed`: how many of them got another text than alone."""

    audio_s: float
    wall_s: float
    rtfx: float
    changed: int


class _ClipReport(_Part):
    """One clip alone; `wer` in percent, None without a reference."""

    name: str
    language: str
    seconds: float | None
    latency_s: float
    reference: str | None
    text: str | None
    wer: float | None
    warnings: tuple[str, ...]
    error: str | None


class TargetReport(_Part):
    """All that was measured of a backend with a model."""

    target: str
    backend_version: str | None
    model_revision: str | None
    device: str | None
    compute_type: str | None
    accuracy: dict[str, _Accuracy]
    latency: _Latency | None
    throughput: _Throughput | None
    cold_start_s: float | None
    model_load_s: float | None
    peak_memory_mb: int | None
    warnings: dict[str, int]
    failures: dict[str, int]
    refused: dict[str, str]
    clips: tuple[_ClipReport, ...]


class Benchmark(_Part):
    """A whole benchmark. `settings`: those that are not at their defaults."""

    asrq_version: str
    measured_at: str
    machine: dict[str, str]
    settings: dict[str, str]
    manifest: str
    clips: dict[str, int]
    normalisers: dict[str, str]
    targets: tuple[TargetReport, ...]


def normalisers(clips: Sequence[Clip]) -> dict[str, str]:
    """Return how the texts of each language were normalised."""
    found = dict.fromkeys(clip.language for clip in clips)
    return {language: DESCRIPTION.get(language, DESCRIPTION["other"]) for language in found}


def summarise(target: Target, clips: Sequence[Clip], records: Records) -> TargetReport:
    """Make the report of a target from its records."""
    pairs = [(clip, heard) for clip in clips if (heard := records.heard(clip))]
    done = [heard for _, heard in pairs if heard.result.status == "completed"]
    served_by = done[0].result if done else None
    loads = [load for heard in done if (load := heard.result.timings.model_load_s) is not None]
    return TargetReport(
        target=str(target),
        backend_version=served_by.backend_version if served_by else None,
        model_revision=served_by.model_revision if served_by else None,
        device=served_by.device if served_by else None,
        compute_type=served_by.compute_type if served_by else None,
        accuracy=_accuracy(pairs),
        latency=_latency([heard.latency_s for heard in done]),
        throughput=_throughput([clip for clip, heard in pairs if heard.result.status == "completed"], records),
        cold_start_s=records.hosted[-1].cold_start_s if records.hosted else None,
        model_load_s=loads[-1] if loads else None,
        peak_memory_mb=max((hosted.peak_memory_mb for hosted in records.hosted), default=None),
        warnings=_counts(warning for heard in done for warning in heard.result.warnings),
        failures=_counts(heard.result.error.code for _, heard in pairs if heard.result.error),
        refused={
            language: refused.error.message
            for language, refused in records.refused.items()
            if any(clip.language == language for clip in clips)
        },
        clips=tuple(_clip(clip, heard) for clip, heard in pairs),
    )


def _errors(clip: Clip, heard: Transcribed) -> Errors:
    reference, text = clip.text or "", heard.result.text or ""
    return compare(normalise(reference, clip.language), normalise(text, clip.language))


def _accuracy(pairs: Sequence[tuple[Clip, Transcribed]]) -> dict[str, _Accuracy]:
    errors: dict[str, list[Errors]] = {}
    for clip, heard in pairs:
        if clip.text is not None:
            errors.setdefault(clip.language, []).append(_errors(clip, heard))
    return {language: _sum_up(found) for language, found in errors.items()}


def _sum_up(errors: Sequence[Errors]) -> _Accuracy:
    whole = total(errors)
    return _Accuracy(
        clips=len(errors),
        words=whole.words,
        word_errors=whole.word_errors,
        invented=whole.invented,
        lost=whole.lost,
        wer=whole.wer,
        cer=whole.cer,
    )


def _latency(seconds: Sequence[float]) -> _Latency | None:
    if not seconds:
        return None
    p50, p95, p99 = (round(percentile(seconds, percent), 3) for percent in (50, 95, 99))
    return _Latency(clips=len(seconds), p50_s=p50, p95_s=p95, p99_s=p99)


def _throughput(clips: Sequence[Clip], records: Records) -> _Throughput | None:
    rush = records.rush(list(clips))
    if not clips or rush is None:
        return None
    changed = sum(
        rush.texts[clip.sha256] != heard.result.text for clip in clips if (heard := records.heard(clip)) is not None
    )
    return _Throughput(
        audio_s=rush.audio_s, wall_s=rush.wall_s, rtfx=round(rush.audio_s / rush.wall_s, 2), changed=changed
    )


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _clip(clip: Clip, heard: Transcribed) -> _ClipReport:
    result = heard.result
    return _ClipReport(
        name=clip.name,
        language=clip.language,
        seconds=result.duration,
        latency_s=heard.latency_s,
        reference=clip.text,
        text=result.text,
        wer=None if clip.text is None else _errors(clip, heard).wer,
        warnings=result.warnings,
        error=result.error.code if result.error else None,
    )
