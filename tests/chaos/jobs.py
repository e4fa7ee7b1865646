"""The stream of jobs of a chaos run, and what may become of each."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import soundfile

from asrq_jobs import BlobAudio, Client
from asrq_jobs.errors import JobNotFoundError, JobStateError, QueueError
from asrq_jobs.result import Result

DATA = Path(__file__).resolve().parent.parent / "data"

# Killing the engine twice under one chunk looks like a chunk that kills it: the guard against poison may strike.
_BYSTANDERS = {"poisoned"}
_ENDINGS: dict[str, set[str]] = {
    "plain": {"completed"},
    "slow": {"completed"},
    "hang": {"poisoned", "worker_lost"},  # few attempts: the chaos may take them all
    "crash": {"poisoned"},
    "broken": {"inference_failed", "worker_lost"},
    "garbage": {"audio_unreadable"},
    "canceled": {"canceled", "completed"},
}
_WEIGHTS = {"plain": 60, "slow": 30, "hang": 0.3, "crash": 0.7, "broken": 2, "garbage": 2, "canceled": 5}
_PROMPTS = {"slow": "sleep:0.3", "hang": "hang", "crash": "crash", "broken": "fail", "canceled": "sleep:0.2"}


def clips() -> list[bytes]:
    """Short clips of speech, all different."""
    found = []
    for name in ("hello-en.flac", "hello-ru.flac"):
        samples, rate = soundfile.read(DATA / name, dtype="int16")
        for parts in (2, 3):
            file = BytesIO()
            soundfile.write(file, samples[: len(samples) * parts // 3], rate, format="WAV")
            found.append(file.getvalue())
    return found


@dataclass(frozen=True)
class Job:
    """One submitted job."""

    id: str
    kind: str
    audio: BlobAudio

    def wrong(self, result: Result, text: str) -> list[str]:
        """What is wrong with how it ended; `text` is that of the undisturbed run."""
        ending = result.error.code if result.error else result.status
        if ending not in _ENDINGS[self.kind] | _BYSTANDERS:
            return [f"{self.id} ({self.kind}) ended as {ending}: {result.error and result.error.message}"]
        if result.status == "completed" and result.text != text:
            return [f"{self.id} has the text {result.text!r}, undisturbed it is {text!r}"]
        return []

    def bystander(self, result: Result) -> bool:
        """Whether it ended as poisoned only because the chaos killed its engine twice."""
        return result.error is not None and result.error.code not in _ENDINGS[self.kind]


@dataclass
class Stream:
    """Submits jobs at a steady rate until stopped, and cancels some. Every submission is tried until acknowledged."""

    client: Client
    rng: random.Random
    per_second: float
    jobs: dict[str, Job] = field(default_factory=dict)
    refusals: int = 0

    def __post_init__(self) -> None:
        self.audio = [self.client.upload(clip) for clip in clips()]
        self.garbage = self.client.upload(b"this is not audio")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def start(self) -> None:
        """Start submitting."""
        self._thread.start()

    def stop(self) -> None:
        """Submit nothing more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began, cancel_at = time.monotonic(), list[tuple[float, str]]()
        while not self._stopping.is_set():
            number = len(self.jobs)
            kind = self.rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            audio = self.garbage if kind == "garbage" else self.rng.choice(self.audio)
            job = Job(f"job-{number}", kind, audio)
            self._acknowledged(job)
            self.jobs[job.id] = job
            if kind == "canceled":
                cancel_at.append((time.monotonic() + self.rng.uniform(0, 1), job.id))
            while cancel_at and cancel_at[0][0] <= time.monotonic():
                self._cancel(cancel_at.pop(0)[1])
            self._stopping.wait(max(0.0, began + (number + 1) / self.per_second - time.monotonic()))
        for _, job_id in cancel_at:
            self._cancel(job_id)

    def _acknowledged(self, job: Job) -> None:
        retries = {"broken": 1, "hang": 2}.get(job.kind, 20)
        lane = self.rng.choice(("interactive", "batch"))
        while True:
            try:
                self.client.submit(
                    job.audio, id=job.id, lane=lane, retries=retries, prompt=_PROMPTS.get(job.kind), language="en"
                )
            except QueueError:
                self.refusals += 1
                continue
            return

    def _cancel(self, job_id: str) -> None:
        while True:
            try:
                self.client.cancel(job_id)
            except (JobStateError, JobNotFoundError):
                return
            except QueueError:
                continue
            return
