"""A second backend beside the one that serves, on a share of the jobs: its answers are compared, never used."""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict

from asrq_jobs.errors import AsrqError, LeaseLostError, ShutdownError
from asrq_jobs.events import Event
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import Transcript
from asrq_worker.engine.fleet import Fleet
from asrq_worker.job import inference, transcription
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.job.merge import merge
from asrq_worker.job.transcription import Transcription
from asrq_worker.process.supervision import Supervised
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.shadow")

_END_S = 5.0  # it may be waiting for Redis


class Comparison(BaseModel):
    """One job on two backends. `wer` is the word error rate of the shadow against what was served, from 0; `time_ratio`
    its engine time over that of the one that served; `code` says why there is neither. The id of its entry in Redis has
    the time."""

    model_config = ConfigDict(frozen=True)

    id: str
    served: str
    shadow: str
    wer: float | None = None
    time_ratio: float | None = None
    code: str | None = None


class Shadow:
    """Runs one job at a time, after it was served; jobs that come meanwhile are let go, so that serving never waits."""

    def __init__(self, fleet: Fleet, record: Callable[[Comparison], None], *, chunk_s: float, start_s: float) -> None:
        self._fleet = fleet
        self._record = record
        self._chunk_s = chunk_s
        self._start_s = start_s
        self._lock = threading.Lock()
        self._control: JobControl | None = None
        """Of the job that runs."""
        self._job_id = ""
        self._closed = False
        self._thread: Supervised | None = None

    def follow(self, job: InferenceJob, decoded: DecodedAudio, served: Transcription, backend: str) -> bool:
        """Take the audio over and hear it on the backend; False if busy or closed: the audio stays the caller's."""
        with self._lock:
            if self._control is not None or self._closed:
                return False
            self._control, self._job_id = JobControl(), job.request.id
            shadowed = InferenceJob(job.request, self._control, _Nowhere())
            hear = functools.partial(self._hear, shadowed, decoded, served, backend)
            self._thread = Supervised("shadow", hear, ends=True)
            try:
                self._thread.start()
            except RuntimeError:  # the system has no thread for it now
                self._control = None
                return False
        return True

    def forget(self, job_id: str) -> None:
        """Stop if it is this job that runs: it was erased, and its audio is not to stay."""
        with self._lock:
            if self._control is not None and self._job_id == job_id:
                self._control.stop(LeaseLostError("The job was erased."))

    def close(self) -> None:
        """Stop the running comparison and wait for its end, unless that takes long."""
        with self._lock:
            self._closed = True
            if self._control is not None:
                self._control.stop(ShutdownError("The worker is stopping."))
        if self._thread is not None:
            self._thread.join(_END_S)

    def _hear(self, job: InferenceJob, decoded: DecodedAudio, served: Transcription, backend: str) -> None:
        try:
            comparison = self._compare(job, decoded, served, backend)
            self._record(comparison)
            _log.info("shadow.compared", **comparison.model_dump())
        except Exception as error:  # noqa: BLE001  # a defect here costs nobody but the comparison
            _log.defect("shadow.defect", error, job_id=job.request.id, backend=backend)
        finally:
            decoded.discard()
            with self._lock:
                self._control = None

    def _compare(self, job: InferenceJob, decoded: DecodedAudio, served: Transcription, backend: str) -> Comparison:
        said = {"id": job.request.id, "served": served.loaded.identity.backend, "shadow": backend}
        job.control.limit(600.0 + 20.0 * decoded.seconds)
        try:
            with self._fleet.at_work(backend) as member:
                loaded = transcription.ready(member, job.control, within_s=self._start_s)
                heard = inference.transcribe(job, decoded, member, loaded, chunk_s=self._chunk_s)
        except AsrqError as error:
            return Comparison(**said, code=error.code)
        wer = _word_error_rate(_text(served), _text(heard))
        return Comparison(**said, wer=round(wer, 4), time_ratio=_time_ratio(served, heard))


class _Nowhere:
    """No trace: a shadow leaves neither events nor checkpoints."""

    def event(self, event: Event) -> None:
        pass

    def conclude(self, *events: Event) -> None:
        pass

    def reuse(self, key: str) -> None:
        pass

    def load(self) -> dict[str, Transcript]:
        return {}

    def save(self, key: str, transcript: Transcript, *events: Event) -> None:
        pass


def _word_error_rate(reference: str, hypothesis: str) -> float:
    """Return the edit distance in words over the words of the reference; case and punctuation do not count.

    Levenshtein distance by dynamic programming (Wagner and Fischer, 1974), a row at a time: two hours of speech are
    twenty thousand words, and this process serves meanwhile. An empty reference gives 0 for an empty hypothesis and 1
    for any other.
    """
    wanted, found = _words(reference), _words(hypothesis)
    if not wanted:
        return float(bool(found))
    numbers: dict[str, int] = {}
    heard = np.array([numbers.setdefault(word, len(numbers)) for word in found], dtype=np.int64)
    places = np.arange(len(found) + 1)
    row = places
    for deleted, word in enumerate(wanted, start=1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (heard != numbers.get(word, -1)))
        # An insertion costs 1 more than its left neighbour: a running minimum, once the way there is taken off.
        row = np.minimum.accumulate(np.concatenate(([deleted], changed)) - places) + places
    return int(row[-1]) / len(wanted)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold().replace("ё", "е"))


def _text(heard: Transcription) -> str:
    return merge(heard.chunks, word_timestamps=False).text


def _time_ratio(served: Transcription, shadow: Transcription) -> float | None:
    usual = sum(done.inference_s for done in served.work)
    return round(sum(done.inference_s for done in shadow.work) / usual, 3) if usual else None
