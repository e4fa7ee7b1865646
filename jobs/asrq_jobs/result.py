"""`asrq.result/1`: what comes back. A strict superset of OpenAI's `verbose_json` transcription object."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError

from asrq_jobs.errors import CanceledError, ErrorInfo

RESULT_SCHEMA: Final = "asrq.result/1"
ResultStatus = Literal["completed", "failed", "canceled"]
Keep = Literal["result", "nothing"]

# Fields whose values are measured, not derived from the input; every other field of a result of the one-shot
# runner is the same for the same input.
MEASURED_FIELDS = ("timings", "created_at", "started_at", "completed_at", "worker", "attempts")


class _Document(BaseModel):
    # Unknown fields are tolerated: a client older than the worker keeps working.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Word(_Document):
    """A word with its times, seconds from the start of the audio."""

    word: str
    start: float
    end: float
    probability: float | None = Field(default=None, description="The model's own.")
    confidence: float | None = Field(
        default=None,
        description="How often such words were right where that was measured, from 0 to 1; null: it was not, for this "
        "model and language.",
    )
    channel: int | None = Field(default=None, description="As that of its segment.")
    speaker: str | None = Field(default=None, description="Who says it, one of `speakers`.")


class Segment(_Document):
    """A stretch of speech; `start` and `end` are seconds from the start of the audio."""

    id: int
    seek: int = Field(default=0, description="Offset of the chunk it was decoded in, in 10 ms frames.")
    start: float
    end: float
    text: str
    tokens: tuple[int, ...] | None = None
    temperature: float | None = None
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    no_speech_prob: float | None = None
    decoding: Literal["greedy", "beam"] | None = Field(default=None, description="The search that found the text.")
    language: str | None = Field(default=None, description="Asked for, or found: it may change within a recording.")
    words: tuple[Word, ...] | None = None
    channel: int | None = Field(
        default=None, description="From 1, where each channel was heard for itself; null where the sound was one."
    )
    speaker: str | None = Field(default=None, description="Who says most of it, one of `speakers`.")


class Speaker(_Document):
    """Somebody who was told apart from others by voice."""

    id: str = Field(description="S1, S2, … in the order in which they begin to speak.")
    seconds: float = Field(description="Speech of theirs.")
    name: str | None = Field(default=None, description="Of the enrolled voice that is the same; null: none is.")


class Doubtful(_Document):
    """A stretch of words that are more likely wrong than right; times as those of words."""

    start: float
    end: float
    text: str
    channel: int | None = Field(default=None, description="As that of its words.")


class AudioInfo(_Document):
    """What was decoded."""

    sha256: str | None = None
    bytes: int | None = None
    name: str | None = None
    container: str | None = None
    codec: str | None = None
    sample_rate: int | None = Field(default=None, description="Hz, as stored in the file.")
    channels: int | None = None
    track: int | None = Field(default=None, description="Number of the audio track that was heard, from 1.")
    tracks: int | None = Field(default=None, description="Audio tracks in the file.")


class Timings(_Document):
    """Measured durations in seconds; null where a step did not happen."""

    queue_wait_s: float | None = None
    model_load_s: float | None = Field(default=None, description="Load and warm-up of the engine that served it.")
    decode_s: float | None = Field(default=None, description="Fetch, decode, resample and speech detection.")
    fetch_s: float | None = Field(default=None, description="Of decode_s, the fetch.")
    vad_s: float | None = Field(default=None, description="Of decode_s, the speech detection.")
    inference_s: float | None = Field(
        default=None,
        description="Sum over chunks of the engine's time for each: may exceed total_s, as they run side by side.",
    )
    total_s: float | None = Field(default=None, description="From the start of the attempt to the commit.")
    rtfx: float | None = Field(default=None, description="Audio seconds per second of total_s.")
    batch_size: float | None = Field(default=None, description="Mean number of chunks in this job's batches.")
    batch_wait_s: float | None = Field(default=None, description="Mean wait of this job's chunks for the engine.")
    idle_s: float | None = Field(
        default=None,
        description="Sum of the time that chunks waited though the thread of the engine had nothing to do.",
    )


class Attempt(_Document):
    """One execution of the job; `error` is null while it runs and when it succeeded."""

    number: int
    worker: str
    started_at: str
    ended_at: str | None = None
    error: ErrorInfo | None = None


class WorkerInfo(_Document):
    """Where the job was served."""

    name: str
    host: str
    pid: int
    version: str


class Result(_Document):
    """The outcome of a job. Unknown values are null; nothing is invented."""

    schema_: Literal["asrq.result/1"] = Field(default=RESULT_SCHEMA, alias="schema")
    id: str
    status: ResultStatus
    task: str = "transcribe"
    language: str | None = None
    language_probability: float | None = None
    duration: float | None = Field(default=None, description="Seconds of audio.")
    duration_after_vad: float | None = Field(default=None, description="Seconds of speech that were transcribed.")
    text: str | None = None
    segments: tuple[Segment, ...] | None = None
    words: tuple[Word, ...] | None = None
    speakers: tuple[Speaker, ...] | None = Field(default=None, description="null: nobody asked, or it failed.")
    doubtful: tuple[Doubtful, ...] | None = Field(
        default=None, description="Stretches of words with a confidence below 0.5; null: no word has one."
    )
    backend: str | None = None
    backend_version: str | None = None
    fallback_from: str | None = None
    model: str | None = None
    model_revision: str | None = None
    device: str | None = None
    compute_type: str | None = None
    audio: AudioInfo | None = None
    timings: Timings = Timings()
    attempts: tuple[Attempt, ...] = ()
    worker: WorkerInfo | None = None
    cached: bool = Field(default=False, description="Whether it was taken from the result of an earlier job.")
    cache_key: str | None = Field(
        default=None,
        description="The same in results of the same audio, options, model and versions; null: it serves no other job.",
    )
    truncated: bool = False
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    metadata: dict[str, str] = Field(default={}, description="As in the request.")
    tags: tuple[str, ...] = Field(default=(), description="As in the request.")
    keep: Keep = Field(default="result", description="nothing: a client that has fetched this erases the job.")
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)

    @property
    def erased_when_fetched(self) -> bool:
        """Whether its job is to keep nothing. A job that failed with a text, which was not delivered, stays."""
        return self.keep == "nothing" and not (self.status == "failed" and self.text is not None)

    @classmethod
    def from_error(cls, error: ErrorInfo, job_id: str, *, task: str = "transcribe") -> Result:
        """Return the result of a job that ended with an error: canceled, or failed."""
        status: ResultStatus = "canceled" if error.code == CanceledError.code else "failed"
        return cls(id=job_id, status=status, task=task, error=error)

    def document(self) -> dict[str, Any]:
        """Return the result as JSON-ready values, in field order."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Return the document as compact JSON text on one line."""
        try:
            return self.model_dump_json()
        except PydanticSerializationError:  # a name that is not UTF-8, say
            return json.dumps(self.document(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Result:
        """Parse a stored result.

        Raises:
            pydantic.ValidationError: the text is not an `asrq.result/1` document.
        """
        return cls.model_validate_json(text)
