"""Live jobs: who speaks, and how a worker hears it. What must hold of the sound between them is in `sounds`."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from simulation.facts import Facts, JobFacts
from simulation.invariants import Broken
from simulation.scheduler import Scheduler
from simulation.sounds import STRAY, frame

from asrq_jobs import Client, Live
from asrq_jobs.errors import AsrqError, InvalidRequestError, JobNotFoundError, JobStateError, QueueUnreachableError
from asrq_jobs.request import LiveAudio, Request
from asrq_worker.audio.live import Recording
from asrq_worker.backends.base import Transcript
from asrq_worker.job.control import JobControl
from asrq_worker.job.journal import Journal
from asrq_worker.queue.live import LiveFeed

AUDIO = LiveAudio(encoding="pcm_s16le", sample_rate=8000, channels=1)
_FRAMES = 6
_TRIES = 12
_AGAIN_S = 2.0
_LOOK_S = 1.0
_FAR = 50  # a number that no frame has


class _Decoder:
    """Stands where the decoder process stands: a byte is half a sample, and nothing is speech."""

    def run(self, message: dict[str, Any], *_files: object, **_named: object) -> dict[str, Any]:
        samples = message["bytes"] // 2
        return {"samples": samples, "spans": (), "open": (), "until": samples, "warnings": ()}


def heard(redis: Redis, request: Request, control: JobControl, journal: Journal, idle_s: float) -> Recording:
    """Hear a recording to its end, as a worker does, with a checkpoint at each look that has brought something."""
    audio = request.audio
    assert isinstance(audio, LiveAudio)
    decoder: Any = _Decoder()
    recording = Recording(
        audio, LiveFeed(redis, request.id), decoder, io.BytesIO(), Path("unused"), check=control.check,
        on_end=lambda _recording: None, idle_s=idle_s, stall_s=1.0,
    )  # fmt: skip
    size = 0
    while not recording.ended:
        control.check()
        recording.grow(_LOOK_S)
        if (now := len(said(recording))) > size:
            size = now
            journal.save(str(now), Transcript(text="", language="en"))
    return recording


def said(recording: Recording) -> str:
    """All that has come of it."""
    raw = recording._raw
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode()


class Speaker:
    """Hands over frames, whatever becomes of them, and believes what it is told."""

    def __init__(
        self, scheduler: Scheduler, client: Client, request: Request, look: Callable[[], Facts | None]
    ) -> None:
        self._scheduler = scheduler
        self._client = client
        self._request = request
        self._look = look
        self._ended = False

    def act(self, what: str) -> str:
        """Dictate all of it, fluently or not, or the first half and go away; or send what nobody should."""
        if what == "stray":
            return self._stray()
        until, every_s = (_FRAMES // 2 if what == "dictate half" else _FRAMES), 7.0 if what == "hesitate" else 1.0
        live: Live | None = None
        added = 0
        for _ in range(_TRIES):
            try:
                if live is None:
                    live = self._begin()
                    added = live.last
                while live.last < until:
                    new = live.last == added  # else what was added before is sent first
                    added += new
                    live.append(frame(added).encode() if new else b"")
                    self._check(live.last)
                    self._scheduler.pause(seconds=every_s)
                if what != "dictate half":
                    self._ended = True
                    live.end()
                    self._check(live.last)
            except QueueUnreachableError:
                self._scheduler.pause(seconds=_AGAIN_S)
            except (JobNotFoundError, JobStateError) as error:
                return error.code
            else:
                return "said"
        return "given up"

    def _begin(self) -> Live:
        request = self._request
        options = {"webhook": request.webhook} if request.webhook else {}
        return self._client.live(
            id=request.id, sample_rate=8000, lane=request.lane, language=request.language, **options
        )

    def _check(self, last: int) -> None:
        """What one is told to be there is there."""
        there = self._job().frames
        if len(there) < last or (there[last - 1].kind == "end" and not self._ended):
            raise Broken(f"{self._request.id}: frame {last} was acknowledged, and there is {there}")

    def _job(self) -> JobFacts:
        now = self._look()
        assert now is not None
        return now.jobs[self._request.id]

    def _stray(self) -> str:
        """Send one again, with other sound, one that has others missing before it, and one after the end."""
        said = []
        last, ended = _progress(self._job())
        for number in (last, last + _FAR, *([last + 1] if ended else [])):
            if not number:
                continue
            with suppress(InvalidRequestError):
                try:
                    there = self._client.append(self._request.id, number, "audio", STRAY.encode())
                    said.append(str(there))
                    now = _progress(self._job())[0]
                    if there > now:
                        raise Broken(f"frame {there} is said to be there, and the last is {now}")
                except AsrqError as error:
                    said.append(error.code)
        return " ".join(said)


def _progress(job: JobFacts) -> tuple[int, bool]:
    return len(job.frames), bool(job.frames) and job.frames[-1].kind == "end"
