"""What an engine makes of a job: whether it can begin, what came of it, and whether that may be kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

from asrq_jobs.errors import CondemnedOutputError, EngineUnavailableError, StorageError
from asrq_worker.backends import guards
from asrq_worker.backends.base import ChunkOptions
from asrq_worker.engine.chunks import ChunkDone
from asrq_worker.engine.fleet import Member
from asrq_worker.engine.messages import Loaded
from asrq_worker.job.control import JobControl
from asrq_worker.job.merge import ChunkTranscript

_POLL_S = 0.2
_SENTENCE_S = 3.0  # of what the detector takes for speech: less may be a cough, or a laugh
_CONDEMNED = frozenset({"repetition", "wrong_script", "too_long"})


@dataclass(frozen=True)
class Transcription:
    """What an engine made of a job: every chunk in its place, and the work it was (checkpoints are none)."""

    loaded: Loaded
    chunks: tuple[ChunkTranscript, ...]
    work: tuple[ChunkDone, ...]
    warnings: tuple[str, ...]


def ready(member: Member, control: JobControl, *, within_s: float) -> Loaded:
    """Return what is loaded, waiting for the first load; later, while the engine restarts, chunks wait instead.

    Raises:
        SetupError, EngineError: it cannot be loaded.
        StorageError: there is no room to load it now.
    """
    deadline = time.monotonic() + within_s
    while (loaded := member.engine.loaded) is None:
        control.check()
        error = member.engine.error
        if error is not None and (member.engine.final or isinstance(error, StorageError)):
            raise error
        if time.monotonic() > deadline:
            raise EngineUnavailableError(f"The backend {member.name} was not ready within {within_s:g} s.")
        control.wake.wait(_POLL_S)
    return loaded


def condemn(heard: Transcription) -> None:
    """Refuse a transcript that is plainly wrong.

    Raises:
        CondemnedOutputError: another backend may do better.
    """
    told = {warning for chunk in heard.chunks for warning in chunk.transcript.warnings}  # a backend may see more
    condemned = sorted(_CONDEMNED & (told | set(heard.warnings)))
    if condemned:
        raise CondemnedOutputError(f"The output of {heard.loaded.identity.backend} shows {', '.join(condemned)}.")


def findings(chunks: tuple[ChunkTranscript, ...], options: ChunkOptions) -> tuple[str, ...]:
    """Names of what the guards find in any chunk; a translation is always English.

    What a backend has heard again in parts because it repeats itself is repeated in the sound, or the backend says so.
    """
    language = "en" if options.task == "translate" else options.language
    found: dict[str, None] = {}
    if chunks and not any(chunk.transcript.text for chunk in chunks):
        return ("no_speech",)
    for chunk in chunks:
        text, seconds = chunk.transcript.text, chunk.end - chunk.start
        if text:
            judged = guards.judge(text, language=language, seconds=seconds, truncated=chunk.transcript.truncated)
            names = [finding.name for finding in judged]
            if "split_at_repetition" in chunk.transcript.warnings:
                names = [name for name in names if name != "repetition"]
            found.update(dict.fromkeys(names))
        elif seconds >= _SENTENCE_S and "no_speech" not in chunk.transcript.warnings:
            found["too_short"] = None
    return tuple(found)
