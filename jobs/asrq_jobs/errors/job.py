"""How a job ends otherwise, and what is nobody's fault but ours."""

from __future__ import annotations

from typing import ClassVar

from asrq_jobs.errors.base import AsrqError, Stage


class OutputError(AsrqError):
    """The command line cannot write a transcript, or anything else, where it was asked for."""

    code = "output_failed"
    stage: ClassVar[Stage] = "commit"


class DeliveryError(AsrqError):
    """The transcript could not be put where the job says. It is in the job's result."""

    code = "delivery_failed"
    retryable = True
    stage: ClassVar[Stage] = "commit"
    default_hint = "The text is in the job's result: asrq result ID --json. To try again: asrq retry ID."


class DeliveryRefusedError(DeliveryError):
    """Transcripts may not be delivered there, or the receiver refuses them. One that was made is in the result."""

    code = "delivery_refused"
    retryable = False


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
