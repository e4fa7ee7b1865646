"""The processes that decode media and hold a model failed."""

from __future__ import annotations

from typing import ClassVar

from asrq_jobs.errors.base import AsrqError, Stage


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
