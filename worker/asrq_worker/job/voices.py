"""Who said what in a job: its text, and the turns of its speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from asrq_jobs.errors import EngineError, SetupError, StorageError
from asrq_jobs.request import Request
from asrq_jobs.result import Segment, Speaker, Word
from asrq_worker.audio.sound import Sound
from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.speakers import enrolled, listener
from asrq_worker.speakers.clusters import Number, Turn
from asrq_worker.speakers.listener import Told
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.speakers")

Said = TypeVar("Said", Segment, Word)


@dataclass(frozen=True)
class Attribution:
    """Who speaks when, as far as it was asked for and could be told.

    `warning`: `no_speakers` with a code, as telling them apart failed, or `voices_unread`, as names may be missing.
    """

    speakers: tuple[Speaker, ...] | None = None
    turns: tuple[Turn, ...] = ()
    warning: str | None = None


def tell_apart(job: InferenceJob, sound: Sound, voices: Path | None) -> Attribution:
    """Tell the speakers of a job apart if it asks for that; where that fails, its text is worth having without."""
    request = job.request
    if not request.diarize:
        return Attribution()
    if not sound.spans:
        return Attribution(())
    number = Number(request.speakers or request.min_speakers or 1, request.speakers or request.max_speakers)
    try:
        told = listener.tell_apart(sound, number, job.control.check, voices=voices)
    except (EngineError, SetupError) as error:
        _log.warning("job.no_speakers", id=request.id, code=error.code, reason=error.message)
        return Attribution(warning=f"no_speakers:{error.code}")
    if told.unread:
        _log.warning("job.voices_unread", id=request.id, reason=told.unread)
    return Attribution(speakers(told), told.turns, "voices_unread" if told.unread else None)


def fingerprint(request: Request, voices: Path | None) -> str:
    """Return what differs where speakers of a job may be given other names."""
    if voices is None or not request.diarize:
        return ""
    try:
        return enrolled.read(voices).fingerprint
    except StorageError:
        return "unread"  # and the result, with its warning, serves no other job


def attributed(said: Sequence[Said], turns: Sequence[Turn]) -> tuple[Said, ...]:
    """Return segments or words with their speakers: of each the one who speaks for most of it, else the nearest."""
    if not turns:
        return tuple(said)
    times = [(turn.start / SAMPLE_RATE, turn.stop / SAMPLE_RATE, turn.speaker) for turn in turns]
    return tuple(each.model_copy(update={"speaker": _name(_whose(each.start, each.end, times))}) for each in said)


def _whose(start: float, end: float, times: Sequence[tuple[float, float, int]]) -> int:
    shared: dict[int, float] = {}
    for low, high, who in times:
        if (both := min(end, high) - max(start, low)) > 0:
            shared[who] = shared.get(who, 0.0) + both
    if shared:
        return max(shared, key=lambda who: (shared[who], -who))
    return min(times, key=lambda each: max(each[0] - end, start - each[1]))[2]


def speakers(told: Told) -> tuple[Speaker, ...]:
    """Return the speakers in the order in which they begin, with the seconds that each speaks, and perhaps a name."""
    spoken: dict[int, int] = {}
    for turn in told.turns:
        spoken[turn.speaker] = spoken.get(turn.speaker, 0) + turn.stop - turn.start
    return tuple(
        Speaker(id=_name(who), seconds=round(samples / SAMPLE_RATE, 3), name=told.names[who])
        for who, samples in spoken.items()
    )


def _name(speaker: int) -> str:
    return f"S{speaker + 1}"
