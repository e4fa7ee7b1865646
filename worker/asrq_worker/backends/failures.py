"""What the libraries of models raise, as errors of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable

from asrq_jobs.errors import AsrqError, InferenceError, OutOfMemoryError
from asrq_worker.backends.base import Chunk, Transcript

log = logging.getLogger(__name__)


def guarded(transcribe: Callable[[Chunk], Transcript], chunk: Chunk) -> Transcript | AsrqError:
    """Return what `transcribe` makes of a chunk, or the error that it comes to: a chunk that fails harms no other."""
    try:
        return transcribe(chunk)
    except AsrqError as error:
        return error
    except Exception as error:  # noqa: BLE001  # the libraries raise what they like
        return explain(error, chunk.seconds)


def explain(error: Exception, seconds: float) -> AsrqError:
    """Return our error for one that a library raised over some seconds of speech."""
    if is_out_of_memory(error):
        return OutOfMemoryError(f"Memory ran out on {seconds:.1f} s of speech.")
    log.error("The model failed.", exc_info=error)
    return InferenceError(f"The model failed on {seconds:.1f} s of speech: {first_line(error)}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, CTranslate2, torch or ONNX Runtime means that memory ran out."""
    said = str(error).lower()
    signs = ("out of memory", "not enough memory", "can't allocate memory", "failed to allocate memory")
    return isinstance(error, MemoryError) or any(sign in said for sign in signs)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says: libraries add pages of advice."""
    return (str(error).splitlines() or [type(error).__name__])[0]
