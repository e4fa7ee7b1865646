"""Every error a user of asrq can see, as one tree.

Each class carries its protocol `code`, the `stage` of the job's life it belongs to, whether trying again may
help (`retryable`) and, where there is one, a default `hint`: what to do about it. The document form,
`ErrorInfo`, is what results, events and logs have.

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
    │   ├── TooManyChannelsError     too_many_channels
    │   ├── VoiceError               voice_unusable
    │   ├── AudioTooLargeError       audio_too_large
    │   ├── AudioTooLongError        audio_too_long
    │   └── AudioMismatchError       audio_mismatch
    ├── FetchError                   fetch_failed        (retryable: the network may come back)
    ├── QueueError                   talking to Redis
    │   ├── QueueUnreachableError    queue_unreachable   (retryable)
    │   ├── QueueAuthError           queue_auth
    │   ├── QueueRefusedError        queue_refused       (retryable: Redis is loading, read-only or full)
    │   ├── QueueUnusableError       queue_unusable      (what Redis refuses now it always will)
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
    ├── DeliveryError                delivery_failed     (retryable) a transcript cannot be put where its job says
    │   └── DeliveryRefusedError     delivery_refused    not retried
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

from asrq_jobs.errors.audio import (
    AudioEmptyError,
    AudioError,
    AudioMismatchError,
    AudioNotFoundError,
    AudioTooLargeError,
    AudioTooLongError,
    AudioUnreadableError,
    BlobMissingError,
    FetchError,
    NoAudioStreamError,
    PathNotAllowedError,
    TooManyChannelsError,
    UrlNotAllowedError,
    VoiceError,
)
from asrq_jobs.errors.base import AsrqError, ErrorInfo, Stage
from asrq_jobs.errors.job import (
    CanceledError,
    DeadlineError,
    DeliveryError,
    DeliveryRefusedError,
    ExpiredError,
    InternalError,
    LeaseLostError,
    NoRoomError,
    OutputError,
    PoisonedError,
    ShutdownError,
    WorkerLostError,
)
from asrq_jobs.errors.processes import (
    CondemnedOutputError,
    DecoderCrashedError,
    DecoderError,
    DecoderTimeoutError,
    EngineCrashedError,
    EngineError,
    EngineTimeoutError,
    EngineUnavailableError,
    InferenceError,
    MalformedOutputError,
    OutOfMemoryError,
    ServerFailedError,
    ServerUnreachableError,
)
from asrq_jobs.errors.queue import (
    JobConflictError,
    JobNotFoundError,
    JobStateError,
    QueueAuthError,
    QueueError,
    QueueFullError,
    QueueRefusedError,
    QueueUnreachableError,
    QueueUnusableError,
    QuotaError,
    TooFastError,
    WaitTimeoutError,
)
from asrq_jobs.errors.request import (
    ForeignFunctionError,
    InvalidRequestError,
    MalformedJobError,
    NotServedError,
    RequestError,
    UnauthorizedError,
    UnknownLanguageError,
    UnsupportedOptionError,
    UsageError,
)
from asrq_jobs.errors.setup import (
    DeviceUnavailableError,
    ExtraMissingError,
    InUseError,
    ModelInvalidError,
    ModelMissingError,
    ServerRefusedError,
    SettingsError,
    SetupError,
    StorageError,
)

__all__ = [
    "AsrqError",
    "AudioEmptyError",
    "AudioError",
    "AudioMismatchError",
    "AudioNotFoundError",
    "AudioTooLargeError",
    "AudioTooLongError",
    "AudioUnreadableError",
    "BlobMissingError",
    "CanceledError",
    "CondemnedOutputError",
    "DeadlineError",
    "DecoderCrashedError",
    "DecoderError",
    "DecoderTimeoutError",
    "DeliveryError",
    "DeliveryRefusedError",
    "DeviceUnavailableError",
    "EngineCrashedError",
    "EngineError",
    "EngineTimeoutError",
    "EngineUnavailableError",
    "ErrorInfo",
    "ExpiredError",
    "ExtraMissingError",
    "FetchError",
    "ForeignFunctionError",
    "InUseError",
    "InferenceError",
    "InternalError",
    "InvalidRequestError",
    "JobConflictError",
    "JobNotFoundError",
    "JobStateError",
    "LeaseLostError",
    "MalformedJobError",
    "MalformedOutputError",
    "ModelInvalidError",
    "ModelMissingError",
    "NoAudioStreamError",
    "NoRoomError",
    "NotServedError",
    "OutOfMemoryError",
    "OutputError",
    "PathNotAllowedError",
    "PoisonedError",
    "QueueAuthError",
    "QueueError",
    "QueueFullError",
    "QueueRefusedError",
    "QueueUnreachableError",
    "QueueUnusableError",
    "QuotaError",
    "RequestError",
    "ServerFailedError",
    "ServerRefusedError",
    "ServerUnreachableError",
    "SettingsError",
    "SetupError",
    "ShutdownError",
    "Stage",
    "StorageError",
    "TooFastError",
    "TooManyChannelsError",
    "UnauthorizedError",
    "UnknownLanguageError",
    "UnsupportedOptionError",
    "UrlNotAllowedError",
    "UsageError",
    "VoiceError",
    "WaitTimeoutError",
    "WorkerLostError",
    "all_errors",
    "from_info",
]

_TREE: tuple[type[AsrqError], ...] = (
    RequestError,
    AudioError,
    FetchError,
    QueueError,
    SetupError,
    EngineError,
    DecoderError,
    OutputError,
    DeliveryError,
    NoRoomError,
    PoisonedError,
    DeadlineError,
    ExpiredError,
    CanceledError,
    ShutdownError,
    LeaseLostError,
    WorkerLostError,
    InternalError,
)


def all_errors() -> list[type[AsrqError]]:
    """Return every error class with a code of its own, in tree order."""

    def walk(cls: type[AsrqError]) -> list[type[AsrqError]]:
        own = [cls] if "code" in vars(cls) else []
        return own + [found for child in cls.__subclasses__() for found in walk(child)]

    return [found for family in _TREE for found in walk(family)]


def from_info(info: ErrorInfo) -> AsrqError:
    """Return the exception that an error document describes; unknown codes become plain `AsrqError`s."""
    for cls in all_errors():
        if cls.code == info.code:
            return cls(info.message, hint=info.hint)
    return AsrqError(f"{info.code}: {info.message}", hint=info.hint)
