"""What a job that went well comes back with: the result document of what was heard, or of what an earlier job heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from asrq_jobs.request import Request
from asrq_jobs.result import AudioInfo, Result, Timings
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.audio.source import LocalAudio
from asrq_worker.job.doubtful import doubtful
from asrq_worker.job.merge import merge
from asrq_worker.job.transcription import Transcription
from asrq_worker.job.voices import Attribution, attributed


@dataclass(frozen=True)
class Served:
    """How a job was served. `fallback_from` names the backend that did not, `because` the code that tells why."""

    heard: Transcription
    fallback_from: str | None = None
    because: str | None = None


def completed(
    request: Request,
    local: LocalAudio,
    decoded: DecodedAudio,
    served: Served,
    *,
    voices: Attribution | None = None,
    fetch_s: float | None,
    decode_s: float | None,
    total_s: float,
) -> Result:
    """Return the result of a job that was served; times that are None are not told: they are those of a recording."""
    heard = served.heard
    merged = merge(heard.chunks, word_timestamps=request.word_timestamps)
    warnings = [*decoded.warnings, *merged.warnings, *heard.warnings]
    if not heard.chunks:
        warnings.append("no_speech")
    voices = voices or Attribution()
    if voices.warning:
        warnings.append(voices.warning)
    if served.because:
        warnings.append(f"fallback:{served.because}")
    return Result(
        id=request.id,
        status="completed",
        task=request.task,
        language=merged.language,
        language_probability=merged.language_probability,
        duration=round(decoded.seconds, 3),
        duration_after_vad=round(sum(chunk.end - chunk.start for chunk in heard.chunks), 3),
        text=merged.text,
        segments=attributed(merged.segments, voices.turns),
        words=attributed(merged.words, voices.turns) if request.word_timestamps else None,
        speakers=voices.speakers,
        doubtful=doubtful(merged.words),
        fallback_from=served.fallback_from,
        audio=AudioInfo(
            sha256=local.sha256,
            bytes=local.bytes,
            name=local.name,
            container=decoded.container,
            codec=decoded.codec,
            sample_rate=decoded.sample_rate,
            channels=decoded.channels,
            track=decoded.track,
            tracks=decoded.tracks,
        ),
        timings=Timings(
            model_load_s=round(heard.loaded.load_s, 4),
            decode_s=_rounded(decode_s),
            fetch_s=_rounded(fetch_s),
            vad_s=_rounded(None if decode_s is None else decoded.vad_s),
            inference_s=round(sum(done.inference_s for done in heard.work), 4),
            total_s=round(total_s, 4),
            rtfx=round(decoded.seconds / total_s, 2),
            batch_size=_mean(done.batch_size for done in heard.work),
            batch_wait_s=_mean(done.wait_s for done in heard.work),
            idle_s=round(sum(done.idle_s for done in heard.work), 4),
        ),
        truncated=merged.truncated,
        warnings=tuple(dict.fromkeys(warnings)),
        **asdict(heard.loaded.identity),
    )


def reused(earlier: Result, request: Request, local: LocalAudio, *, total_s: float) -> Result:
    """Return what an earlier job heard as the result of this one, with the steps that did not happen left out."""
    name = {"name": local.name}
    return earlier.model_copy(
        update={
            "id": request.id,
            "audio": earlier.audio and earlier.audio.model_copy(update=name),
            "timings": Timings(total_s=round(total_s, 4)),
            "cached": True,
        }
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(sum(found) / len(found), 4) if found else None
