"""Sound that the application records while its jobs hear it, kept in the spool from its first frame on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from asrq_jobs.errors import AudioTooLongError, InvalidRequestError, JobNotFoundError, JobStateError
from asrq_jobs.request import LiveAudio
from asrq_worker.audio.live import Arrived, End
from asrq_worker.storage.disk import writing
from asrq_worker.storage.spool import Spool, discard

FRAME = 1 << 18
"""Bytes of a frame at most, as through the queue."""
_BLOCK = 1 << 24  # bytes that a job takes at once


@dataclass
class _Dictation:
    audio: LiveAudio
    path: Path | None = None
    """Of the file with the sound; None: nothing has come."""
    last: int = 0
    """Number of the last frame."""
    size: int = 0
    end: End | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)


class Dictations:
    """The sound of live jobs, by their ids. Thread-safe; one thread appends."""

    def __init__(self, spool: Spool, *, most: int, longest_s: float) -> None:
        """`most`: bytes of one recording."""
        self._spool = spool
        self._most = most
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._dictations: dict[str, _Dictation] = {}

    def begin(self, job_id: str, audio: LiveAudio) -> None:
        """Take the sound of a job from now on."""
        with self._lock:
            self._dictations[job_id] = _Dictation(audio)

    def append(self, job_id: str, seq: int, sound: bytes) -> None:
        """Keep a frame; one whose number is there already changes nothing.

        Raises:
            JobNotFoundError: there is no such live job.
            JobStateError: its recording has ended.
            InvalidRequestError: it is no frame, or one is missing before it.
            AudioTooLongError: the recording is as long as it may be.
            StorageError, NoRoomError: it cannot be kept; it may be sent again.
        """
        found = self._find(job_id)
        with found.changed:
            if seq <= found.last:
                return
            if found.end:
                raise JobStateError(f"The recording of job {job_id} has ended.", hint="Its result will come.")
            self._check(found, seq, sound)
            with writing():
                found.path = found.path or self._spool.new_file(".pcm")
                with found.path.open("r+b" if found.path.exists() else "xb") as file:
                    file.seek(found.size)  # over what is left of a frame that could not be kept whole
                    file.write(sound)
            found.last, found.size = seq, found.size + len(sound)
            found.changed.notify_all()

    def end(self, job_id: str, kind: End = "end") -> None:
        """Take nothing more; may be repeated.

        Raises:
            JobNotFoundError: there is no such live job.
        """
        found = self._find(job_id)
        with found.changed:
            found.end = found.end or kind
            found.changed.notify_all()

    def feed(self, job_id: str) -> DictationFeed:
        """Return the sound of a job for one attempt, which hears it from its beginning."""
        return DictationFeed(self._find(job_id))

    def forget(self, job_id: str) -> None:
        """Let go of the sound of a job that has ended, if it had any."""
        with self._lock:
            found = self._dictations.pop(job_id, None)
        if found is not None and found.path is not None:
            discard(found.path)

    def _find(self, job_id: str) -> _Dictation:
        with self._lock:
            found = self._dictations.get(job_id)
        if found is None:
            raise JobNotFoundError(
                f"No live job with the id {job_id!r} is in flight.",
                hint="It may have just ended. Its request has audio of the kind live.",
            )
        return found

    def _check(self, found: _Dictation, seq: int, sound: bytes) -> None:
        width = found.audio.width
        if seq != found.last + 1:
            raise InvalidRequestError(
                f"Frame {found.last + 1} is missing before frame {seq}.", hint="Number the frames from 1 without a gap."
            )
        if not sound or len(sound) > FRAME or len(sound) % width:
            raise InvalidRequestError(
                f"A frame must have 1 to {FRAME} bytes, and all channels of each sample: a multiple of {width}.",
                hint="A tenth of a second is a good length.",
            )
        longest_s = min(found.audio.max_s or self._longest_s, self._longest_s)
        size = found.size + len(sound)
        if size > self._most or size > longest_s * width * found.audio.sample_rate:
            raise AudioTooLongError(
                "The recording is as long as it may be.", hint="End it (op end); what was said is transcribed."
            )


class DictationFeed:
    """See `Feed`."""

    def __init__(self, dictation: _Dictation) -> None:
        self._dictation = dictation
        self._at = 0

    def read(self, wait_s: float) -> Arrived:
        """Return what follows."""
        kept = self._dictation
        with kept.changed:
            kept.changed.wait_for(lambda: kept.end or kept.size > self._at, wait_s)
            path, size, end = kept.path, kept.size, kept.end
        sound = b""
        if path is not None and size > self._at:
            with writing(), path.open("rb") as file:
                file.seek(self._at)
                sound = file.read(min(_BLOCK, size - self._at))
        self._at += len(sound)
        return Arrived(sound, end=end if self._at == size else None)

    def interrupt(self, _silent_s: float) -> None:
        """End the recording, unless more of it has just come: nothing is ever lost here and comes again."""
        with self._dictation.changed:
            if self._dictation.size == self._at:
                self._dictation.end = self._dictation.end or "interrupted"
