"""What the caller asks for is wrong."""

from __future__ import annotations

from typing import ClassVar

from asrq_jobs.errors.base import AsrqError, Stage


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
