"""A second backend beside the one that serves, on a share of the jobs: its answers are compared, never used."""

from __future__ import annotations

import re
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel, ConfigDict

from asrq_jobs.errors import AsrqError, ShutdownError
from asrq_jobs.events import Event
from asrq_worker import inference
from asrq_worker.audio.decoder import DecodedAudio
from asrq_worker.backends.base import Transcript
from asrq_worker.control import JobControl
from asrq_worker.fleet import Fleet
from asrq_worker.inference import Heard, Job
from asrq_worker.logs import Log
from asrq_worker.merge import merge
from asrq_worker.spool import discard

_log = Log("asrq.shadow")


class Comparison(BaseModel):
    """One job on two backends. `wer` is the word error rate of the shadow against what was served, from 0; `time_ratio`
    its engine time over that of the one that served; `code` says why there is neither."""

    model_config = ConfigDict(frozen=True)

    at: float
    id: str
    served: str
    shadow: str
    wer: float | None = None
    time_ratio: float | None = None
    code: str | None = None


class Shadow:
    """Runs one job at a time, after it was served; jobs that come meanwhile are let go, so that serving never waits."""

    def __init__(
        self, fleet: Fleet, record: Callable[[Comparison], None], *, chunk_s: float, lease_s: float, start_s: float
    ) -> None:
        self._fleet = fleet
        self._record = record
        self._chunk_s = chunk_s
        self._lease_s = lease_s
        self._start_s = start_s
        self._free = threading.Semaphore(1)
        self._control = JobControl()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow")

    def follow(self, job: Job, decoded: DecodedAudio, served: Heard, backend: str) -> bool:
        """Take the audio over and hear it on the backend; False if busy: the audio stays the caller's."""
        if not self._free.acquire(blocking=False):
            return False
        control = self._control = JobControl()
        self._pool.submit(self._hear, Job(job.request, control, _Nowhere()), decoded, served, backend)
        return True

    def close(self) -> None:
        """Stop what runs and wait for its end."""
        self._control.stop(ShutdownError("The worker is stopping."))
        self._pool.shutdown()

    def _hear(self, job: Job, decoded: DecodedAudio, served: Heard, backend: str) -> None:
        said = {"at": time.time(), "id": job.request.id, "served": served.loaded.identity.backend, "shadow": backend}
        try:
            berth = self._fleet.enlist(backend)
            job.control.limit(600.0 + 20.0 * decoded.seconds)
            with berth.at_work():
                loaded = inference.ready(berth, job.control, within_s=self._start_s)
                heard = inference.transcribe(job, decoded, berth, loaded, chunk_s=self._chunk_s, lease_s=self._lease_s)
        except AsrqError as error:
            comparison = Comparison(**said, code=error.code)
        else:
            wer = word_error_rate(_text(served), _text(heard))
            comparison = Comparison(**said, wer=round(wer, 4), time_ratio=_time_ratio(served, heard))
        finally:
            discard(decoded.path)
            self._free.release()
        self._record(comparison)
        _log.info("shadow.compared", **comparison.model_dump())


class _Nowhere:
    """No trace: a shadow leaves neither events nor checkpoints."""

    def event(self, event: Event) -> None:
        pass

    def load(self) -> dict[str, Transcript]:
        return {}

    def save(self, key: str, transcript: Transcript) -> None:
        pass


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Return the edit distance in words over the words of the reference; case and punctuation do not count.

    Levenshtein distance by dynamic programming over two rows (Wagner and Fischer, 1974). An empty reference gives 0
    for an empty hypothesis and 1 for any other.
    """
    wanted, found = _words(reference), _words(hypothesis)
    if not wanted:
        return float(bool(found))
    before = list(range(len(found) + 1))
    for row, word in enumerate(wanted, start=1):
        now = [row]
        for column, other in enumerate(found, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (word != other)))
        before = now
    return before[-1] / len(wanted)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold().replace("ё", "е"))


def _text(heard: Heard) -> str:
    return merge(heard.placed, word_timestamps=False).text


def _time_ratio(served: Heard, shadow: Heard) -> float | None:
    usual = sum(done.inference_s for done in served.work)
    return round(sum(done.inference_s for done in shadow.work) / usual, 3) if usual else None
