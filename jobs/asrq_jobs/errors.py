"""Every error a user of asrq can see, as one tree.

Each class carries its protocol `code`, the `stage` of the job's life it belongs to, whether trying again may
help (`retryable`) and, where there is one, a default `hint`: what to do about it. The document form,
`ErrorInfo`, is what stands in results, events and logs.

    AsrqError
    ├── RequestError                 the caller's mistake; never retried
    │   ├── UsageError               usage
    │   ├── InvalidRequestError      invalid_request
    │   ├── UnauthorizedError        unauthorized
    │   ├── UnknownLanguageError     unknown_language
    │   ├── UnsupportedOptionError   unsupported_option
    │   ├── NotServedError           not_served
    │   ├── ForeignFunctionError     foreign_function
    │   └── MalformedJobError        malformed_job
    ├── AudioError                   the media cannot be had or used; never retried
    │   ├── AudioNotFoundError       audio_not_found
    │   ├── PathNotAllowedError      path_not_allowed
    │   ├── UrlNotAllowedError       url_not_allowed
    │   ├── BlobMissingError         blob_missing
    │   ├── AudioEmptyError          audio_empty
    │   ├── AudioUnreadableError     audio_unreadable
    │   ├── NoAudioStreamError       no_audio_stream
    │   ├── AudioTooLargeError       audio_too_large
    │   ├── AudioTooLongError        audio_too_long
    │   └── AudioMismatchError       audio_mismatch
    ├── FetchError                   fetch_failed        (retryable: the network may come back)
    ├── QueueError                   talking to Redis
    │   ├── QueueUnreachableError    queue_unreachable   (retryable)
    │   ├── QueueAuthError           queue_auth
    │   ├── QueueRefusedError        queue_refused       (retryable: Redis is loading, read-only or full)
    │   ├── QueueFullError           queue_full          (retryable)
    │   ├── TooFastError             too_fast            (retryable)
    │   ├── QuotaError               quota_exceeded      (retryable)
    │   ├── JobConflictError         job_conflict
    │   ├── JobNotFoundError         job_not_found
    │   ├── JobStateError            job_state
    │   └── WaitTimeoutError         wait_timeout        (retryable)
    ├── SetupError                   this installation cannot do what was asked
    │   ├── SettingsError            invalid_settings
    │   ├── ExtraMissingError        extra_missing
    │   ├── ModelMissingError        model_missing
    │   ├── ModelInvalidError        model_invalid
    │   ├── DeviceUnavailableError   device_unavailable
    │   ├── InUseError               in_use
    │   ├── StorageError             storage_unusable    (retryable: a worker hands the job back at no attempt's cost)
    │   └── ServerRefusedError       server_refused
    ├── EngineError                  the model's process; retryable, on another worker if need be
    │   ├── EngineCrashedError       engine_crashed
    │   ├── EngineTimeoutError       engine_timeout
    │   ├── EngineUnavailableError   engine_unavailable
    │   ├── OutOfMemoryError         out_of_memory
    │   ├── MalformedOutputError     malformed_output
    │   ├── CondemnedOutputError     condemned_output
    │   ├── InferenceError           inference_failed
    │   ├── ServerUnreachableError   server_unreachable
    │   └── ServerFailedError        server_failed
    ├── DecoderError                 the decoder's process; retryable
    │   ├── DecoderCrashedError      decoder_crashed
    │   └── DecoderTimeoutError      decoder_timeout
    ├── OutputError                  output_failed       a transcript cannot be written where it was asked for
    ├── NoRoomError                  no_room             (retryable) the audio needs more room than the worker has
    ├── PoisonedError                poisoned            this input killed its process each time; not retried
    ├── DeadlineError                deadline_exceeded   the job's own time limit; not retried
    ├── ExpiredError                 expired             (retryable, by hand) nobody took the job in time
    ├── CanceledError                canceled            asked for; not retried
    ├── ShutdownError                shutdown            handed back, costs no attempt
    ├── LeaseLostError               lease_lost          another execution holds the job now
    ├── WorkerLostError              worker_lost         (retryable) nothing was heard of the job for a whole lease
    └── InternalError                internal            (retryable) a defect of ours, reported as such
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from asrq_jobs.redaction import redacted

Stage = Literal["request", "queue", "setup", "fetch", "decode", "inference", "commit", "worker"]


class ErrorInfo(BaseModel):
    """An error as it stands in `asrq.result/1`, in events and in `--json` output."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    message: str
    retryable: bool
    stage: Stage
    hint: str | None = None


class AsrqError(Exception):
    """Base of all errors shown to users: one sentence, a code, and often a hint."""

    code: ClassVar[str] = "error"
    stage: ClassVar[Stage] = "worker"
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = redacted(message)  # it may quote an address, or a library's sentence that does
        super().__init__(self.message)
        self.hint = hint if hint is not None else self.default_hint

    def info(self) -> ErrorInfo:
        """Return the document form of this error."""
        return ErrorInfo(
            code=self.code, message=self.message, retryable=self.retryable, stage=self.stage, hint=self.hint
        )


class RequestError(AsrqError):
    """The request itself is wrong."""

    stage: ClassVar[Stage] = "request"


class UsageError(RequestError):
    """The command line is wrong: an unknown option, a missing argument, or things that do not go together."""

    code = "usage"


class InvalidRequestError(RequestError):
    """The request document does not fit `asrq.request/1`."""

    code = "invalid_request"


class UnauthorizedError(RequestError):
    """The gateway wants a key, and the request has none that it knows."""

    code = "unauthorized"
    default_hint = "Send the header Authorization: Bearer KEY, with a key that the operator has given out."


class UnknownLanguageError(RequestError):
    """The language is not one that the models know, or its name is not understood."""

    code = "unknown_language"


class UnsupportedOptionError(RequestError):
    """The backend that serves the job cannot do what an option asks."""

    code = "unsupported_option"


class NotServedError(RequestError):
    """The job names a backend or model that this worker does not serve."""

    code = "not_served"


class ForeignFunctionError(RequestError):
    """A job in our queue names a function other than ours, or one of RQ's callbacks or webhooks."""

    code = "foreign_function"
    default_hint = "Only asrq_worker.task.transcribe runs here; submit through submit.lua or the asrq client."


class MalformedJobError(RequestError):
    """A job hash written by hand does not hold what RQ and asrq need."""

    code = "malformed_job"
    default_hint = "Submit through submit.lua or the asrq client; see docs/reference/protocol.md."


class AudioError(AsrqError):
    """The audio cannot be had or cannot be used."""

    stage: ClassVar[Stage] = "decode"


class AudioNotFoundError(AudioError):
    """No file at the path."""

    code = "audio_not_found"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Check the path as the worker's host sees it, or upload the audio instead."


class PathNotAllowedError(AudioError):
    """The path, with symlinks resolved, is outside the folders that the operator listed."""

    code = "path_not_allowed"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Upload the audio, or ask the operator to list its folder in ASRQ_AUDIO_ROOTS."


class UrlNotAllowedError(AudioError):
    """The URL's scheme or address is not allowed, or it is a webhook and those are not enabled."""

    code = "url_not_allowed"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Upload the audio, or ask the operator to list the scheme in ASRQ_URL_SCHEMES."


class BlobMissingError(AudioError):
    """The uploaded audio has expired or was never uploaded."""

    code = "blob_missing"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Upload the audio again and submit the job anew."


class AudioEmptyError(AudioError):
    """The file has no bytes, or its audio stream has no samples."""

    code = "audio_empty"
    default_hint = "Record or export the audio again; the file holds none."


class AudioUnreadableError(AudioError):
    """The bytes are not audio or video that can be decoded."""

    code = "audio_unreadable"
    default_hint = "Check that the file plays; asrq supports every format that FFmpeg decodes."


class NoAudioStreamError(AudioError):
    """The container is readable but holds no audio stream."""

    code = "no_audio_stream"
    default_hint = "Send a file with sound; a video is fine if it has an audio track."


class AudioTooLargeError(AudioError):
    """The file has more bytes than the operator allows."""

    code = "audio_too_large"
    stage: ClassVar[Stage] = "fetch"


class AudioTooLongError(AudioError):
    """The audio lasts longer than the operator allows."""

    code = "audio_too_long"


class AudioMismatchError(AudioError):
    """The uploaded bytes do not match the SHA-256 that they are stored under."""

    code = "audio_mismatch"
    stage: ClassVar[Stage] = "fetch"


class FetchError(AsrqError):
    """A URL could not be read."""

    code = "fetch_failed"
    stage: ClassVar[Stage] = "fetch"
    retryable = True


class QueueError(AsrqError):
    """Talking to Redis failed, or the queue refused. `retry_after_s`: when to try again, if that is known."""

    stage: ClassVar[Stage] = "queue"
    retry_after_s: int | None = None


class QueueUnreachableError(QueueError):
    """Redis does not answer."""

    code = "queue_unreachable"
    retryable = True
    default_hint = "Start Redis (or `asrq up`) and check ASRQ_REDIS_URL."


class QueueAuthError(QueueError):
    """Redis refused the user or password."""

    code = "queue_auth"
    default_hint = "Check the user and password in ASRQ_REDIS_URL."


class QueueRefusedError(QueueError):
    """Redis answers, but cannot serve now (loading, read-only, out of memory)."""

    code = "queue_refused"
    retryable = True
    default_hint = "The server's own log may say more; asrq wants Redis 6.2 or newer, or Valkey."


class QueueFullError(QueueError):
    """The lane already holds as many jobs as the operator allows."""

    code = "queue_full"
    retryable = True
    default_hint = "Try again later, or use the other lane."


class TooFastError(QueueError):
    """Frames of a live job come faster than they may."""

    code = "too_fast"
    retryable = True
    default_hint = "Append the same frame again in a second."


class QuotaError(QueueError):
    """The key has used up what the operator allows it."""

    code = "quota_exceeded"
    retryable = True


class JobConflictError(QueueError):
    """The job id is taken by a different request."""

    code = "job_conflict"
    default_hint = "Use another id; the same id with the same request is accepted again."


class JobNotFoundError(QueueError):
    """No job with this id (never submitted, or its time to live has passed)."""

    code = "job_not_found"


class JobStateError(QueueError):
    """The job is not in a state that allows the action."""

    code = "job_state"


class WaitTimeoutError(QueueError):
    """The job did not end within the time the caller wanted to wait."""

    code = "wait_timeout"
    retryable = True
    default_hint = "The job goes on; wait again with `asrq wait ID`."


class SetupError(AsrqError):
    """This installation cannot do what was asked until it is changed."""

    stage: ClassVar[Stage] = "setup"


class SettingsError(SetupError):
    """A setting is unknown, malformed, or at odds with another."""

    code = "invalid_settings"


class ExtraMissingError(SetupError):
    """An optional dependency is not installed."""

    code = "extra_missing"


class ModelMissingError(SetupError):
    """The model is not on this machine."""

    code = "model_missing"


class ModelInvalidError(SetupError):
    """The model's files are corrupt, incomplete or of another type."""

    code = "model_invalid"
    default_hint = "Fetch or copy the model again, and check that it is one for this backend."


class DeviceUnavailableError(SetupError):
    """The configured device or number type is not available here."""

    code = "device_unavailable"


class InUseError(SetupError):
    """The port to listen on, or the folder to keep data in, is taken by another program."""

    code = "in_use"


class StorageError(SetupError):
    """A folder that has to be written cannot be, or what was kept in it cannot be read.

    A worker that meets it gives the job back without costing an attempt, and takes none until it can write again.
    """

    code = "storage_unusable"
    retryable = True
    default_hint = "Make room on that host, or see ASRQ_SPOOL_DIR and ASRQ_MODEL_DIR."


class ServerRefusedError(SetupError):
    """The inference server does not accept our key or our requests."""

    code = "server_refused"


class EngineError(AsrqError):
    """The process that holds the model failed."""

    stage: ClassVar[Stage] = "inference"
    retryable = True


class EngineCrashedError(EngineError):
    """The engine process died while it held this work."""

    code = "engine_crashed"
    default_hint = "See its last lines in the worker's log; if the host ran out of memory, use a smaller model."


class EngineTimeoutError(EngineError):
    """The engine passed its deadline and was killed."""

    code = "engine_timeout"
    default_hint = "Use a smaller model or faster device, or raise ASRQ_ENGINE_STALL_S (loading: ASRQ_ENGINE_START_S)."


class EngineUnavailableError(EngineError):
    """No engine is ready, and none came back in time."""

    code = "engine_unavailable"
    default_hint = "The worker's log says why no engine is ready; `asrq models list --loaded` shows them."


class OutOfMemoryError(EngineError):
    """The device or the host ran out of memory."""

    code = "out_of_memory"
    default_hint = "Free memory, or use a smaller model or a compute type of fewer bytes (ASRQ_COMPUTE_TYPE)."


class MalformedOutputError(EngineError):
    """The backend answered with something that is not a transcript."""

    code = "malformed_output"
    default_hint = "A defect of the backend or its server: see their logs, and use another backend meanwhile."


class CondemnedOutputError(EngineError):
    """The guards found the output to be plainly wrong: a loop, another script, far too much text."""

    code = "condemned_output"
    default_hint = (
        "Another backend or a larger model may do better; ASRQ_FALLBACK names one that is tried automatically."
    )


class InferenceError(EngineError):
    """The backend raised an error on this chunk."""

    code = "inference_failed"
    default_hint = "The worker's log has the reason; another backend may be able to do it (ASRQ_FALLBACK)."


class ServerUnreachableError(EngineError):
    """The inference server cannot be connected to, or does not answer in time."""

    code = "server_unreachable"
    default_hint = "Check that the server runs, the network, and ASRQ_SERVER_URL."


class ServerFailedError(EngineError):
    """The inference server answers that it cannot serve now."""

    code = "server_failed"
    default_hint = "See the inference server's own log."


class DecoderError(AsrqError):
    """The process that decodes media failed."""

    stage: ClassVar[Stage] = "decode"
    retryable = True


class DecoderCrashedError(DecoderError):
    """The decoder process died on this file."""

    code = "decoder_crashed"


class DecoderTimeoutError(DecoderError):
    """The decoder passed its time limit and was killed."""

    code = "decoder_timeout"


class OutputError(AsrqError):
    """The command line cannot write a transcript, or anything else, where it was asked for."""

    code = "output_failed"
    stage: ClassVar[Stage] = "commit"


class NoRoomError(AsrqError):
    """The audio needs more room, once decoded, than the worker has for it."""

    code = "no_room"
    retryable = True
    stage: ClassVar[Stage] = "decode"
    default_hint = "Send it in parts, or set ASRQ_SPOOL_DIR to a larger disk: an hour of audio takes 230 MB."


class PoisonedError(AsrqError):
    """This input killed the process that worked on it, each time."""

    code = "poisoned"
    stage: ClassVar[Stage] = "inference"


class DeadlineError(AsrqError):
    """The job's own time limit has passed."""

    code = "deadline_exceeded"


class ExpiredError(AsrqError):
    """The job waited in its lane longer than allowed: no worker took it in time."""

    code = "expired"
    stage: ClassVar[Stage] = "queue"
    retryable = True
    default_hint = "Submit it again, or retry it, when workers are free; or allow it a longer queue_ttl_s."


class CanceledError(AsrqError):
    """The job was canceled by a client."""

    code = "canceled"


class ShutdownError(AsrqError):
    """The worker is stopping; the job goes back to the front of its lane."""

    code = "shutdown"
    retryable = True


class LeaseLostError(AsrqError):
    """Another execution holds the job now, or it was erased; this one must not commit."""

    code = "lease_lost"
    stage: ClassVar[Stage] = "commit"


class WorkerLostError(AsrqError):
    """Nothing was heard of the job for a whole lease: its worker died or was cut off, or the job hangs there."""

    code = "worker_lost"
    retryable = True


class InternalError(AsrqError):
    """A defect in asrq; the traceback is in the worker's log, never in the result."""

    code = "internal"
    retryable = True
    default_hint = "Please report this with the worker's log line for the job."


def all_errors() -> list[type[AsrqError]]:
    """Return every error class with a code of its own, in tree order."""

    def walk(cls: type[AsrqError]) -> list[type[AsrqError]]:
        own = [cls] if "code" in vars(cls) and cls is not AsrqError else []
        return own + [found for child in cls.__subclasses__() for found in walk(child)]

    return walk(AsrqError)


def from_info(info: ErrorInfo) -> AsrqError:
    """Return the exception that an error document describes; unknown codes become plain `AsrqError`s."""
    for cls in all_errors():
        if cls.code == info.code:
            return cls(info.message, hint=info.hint)
    return AsrqError(f"{info.code}: {info.message}", hint=info.hint)
