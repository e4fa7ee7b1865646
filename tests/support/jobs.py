"""The stream of jobs of a chaos run, and what may become of each."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from support.subjects import JobKind, Sort, Subject

from asrq_jobs import BlobAudio, Client
from asrq_jobs.errors import JobNotFoundError, JobStateError, QueueError
from asrq_jobs.result import Result

DATA = Path(__file__).resolve().parent.parent / "data"

# Killing the engine twice under one chunk looks like a chunk that kills it: the guard against poison may strike.
_BYSTANDERS = {"poisoned"}
_AGAIN_S = 0.05


def clips(recordings: tuple[str, ...]) -> dict[Sort, list[bytes]]:
    """Audio of each sort, all different: short is one chunk, long is several."""
    spoken = [soundfile.read(DATA / f"{name}.flac", dtype="int16") for name in recordings]
    rate = spoken[0][1]
    short = [samples[: len(samples) * parts // 4] for samples, _ in spoken for parts in (1, 2)]
    long = np.concatenate([spoken[number % len(spoken)][0] for number in range(3)])
    return {
        "short": [_wav(samples, rate) for samples in short],
        "long": [_wav(long, rate)],
        "garbage": [b"this is not audio"],
    }


def _wav(samples: np.ndarray, rate: int) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


@dataclass(frozen=True)
class SubmittedJob:
    """One submitted job; `name` is that of its kind."""

    id: str
    name: str
    kind: JobKind
    audio: BlobAudio

    @property
    def text_key(self) -> tuple[str | None, str]:
        """What its text depends on."""
        return self.kind.prompt, self.audio.sha256

    def wrong(self, result: Result, text: str | None) -> list[str]:
        """What is wrong with how it ended; `text` is that of the undisturbed run."""
        ending = result.error.code if result.error else result.status
        if ending not in self.kind.endings | _BYSTANDERS:
            return [f"{self.id} ({self.name}) ended as {ending}: {result.error and result.error.message}"]
        if result.status == "completed" and result.text != text:
            return [f"{self.id} ({self.name}) has the text {result.text!r}, undisturbed it is {text!r}"]
        return []

    def bystander(self, result: Result) -> bool:
        """Whether it ended as poisoned only because the chaos killed its engine twice."""
        return result.error is not None and result.error.code not in self.kind.endings


class Stream:
    """Submits jobs at a steady rate until stopped, and cancels some. Every submission is tried until acknowledged.

    One job of each kind comes first.
    """

    def __init__(
        self, client: Client, subject: Subject, rng: random.Random, per_second: float, folder: Path, webhook: str
    ) -> None:
        self._client = client
        self._kinds = subject.kinds
        self._rng = rng
        self._per_second = per_second
        self._folder = folder
        self._webhook = webhook
        self._audio = {sort: [client.upload(clip) for clip in some] for sort, some in clips(subject.speech).items()}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self.jobs: dict[str, SubmittedJob] = {}
        self.refusals = 0

    def undisturbed(self) -> dict[tuple[str | None, str], str | None]:
        """The text of all that can have one, before anything is killed, by `SubmittedJob.text_key`."""
        jobs: dict[tuple[str | None, str], SubmittedJob] = {}
        for name, kind in self._kinds.items():
            if "completed" in kind.endings:
                for audio in self._audio[kind.audio]:
                    job = SubmittedJob(f"undisturbed-{len(jobs)}", name, kind, audio)
                    jobs.setdefault(job.text_key, job)
        for job in jobs.values():
            self._client.submit(job.audio, id=job.id, prompt=self._prompt(job), language="en")
        return {key: self._client.wait(job.id, timeout_s=120).text for key, job in jobs.items()}

    def start(self) -> None:
        """Start submitting."""
        self._thread.start()

    def stop(self) -> None:
        """Submit nothing more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began, cancel_at = time.monotonic(), deque[tuple[float, str]]()
        names, weights = list(self._kinds), [kind.weight for kind in self._kinds.values()]
        while not self._stopping.is_set():
            number = len(self.jobs)
            name = names[number] if number < len(names) else self._rng.choices(names, weights)[0]
            kind = self._kinds[name]
            job = SubmittedJob(f"job-{number}", name, kind, self._rng.choice(self._audio[kind.audio]))
            self._acknowledged(job)
            self.jobs[job.id] = job
            if kind.canceled:
                cancel_at.append((time.monotonic() + self._rng.uniform(0, 1), job.id))
            while cancel_at and cancel_at[0][0] <= time.monotonic():
                self._cancel(cancel_at.popleft()[1])
            self._stopping.wait(max(0.0, began + (number + 1) / self._per_second - time.monotonic()))
        for _, job_id in cancel_at:
            self._cancel(job_id)

    def _prompt(self, job: SubmittedJob) -> str | None:
        return job.kind.prompt and job.kind.prompt.format(file=self._folder / f"{job.id}.pid")

    def _acknowledged(self, job: SubmittedJob) -> None:
        lane = self._rng.choice(("interactive", "batch"))
        while True:
            try:
                self._client.submit(
                    job.audio,
                    id=job.id,
                    lane=lane,
                    retries=job.kind.retries,
                    queue_ttl_s=job.kind.queue_ttl_s,
                    webhook=self._webhook if job.kind.webhook else None,
                    prompt=self._prompt(job),
                    language="en",
                )
            except QueueError:
                self.refusals += 1
                time.sleep(_AGAIN_S)  # a full Redis refuses at once
                continue
            return

    def _cancel(self, job_id: str) -> None:
        while True:
            try:
                self._client.cancel(job_id)
            except (JobStateError, JobNotFoundError):
                return
            except QueueError:
                time.sleep(_AGAIN_S)
                continue
            return
