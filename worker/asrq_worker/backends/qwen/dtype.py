"""In which numbers Qwen3-ASR computes: a decision without torch."""

from __future__ import annotations

from asrq_jobs.errors import DeviceUnavailableError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number, by compute type."""


def choose_dtype(wanted: str, device: str, *, bfloat16: bool) -> str:
    """Return the number type; `bfloat16` says whether the CUDA device computes in it without emulation.

    Raises:
        DeviceUnavailableError: the number type is unknown, or not to be had on the device.
    """
    if wanted == "auto":
        if device == "cpu":
            return "float32"
        return "bfloat16" if bfloat16 else "float16"
    if wanted not in BYTES:
        raise DeviceUnavailableError(
            f"Qwen3-ASR has no compute type {wanted!r}.",
            hint=f"Set ASRQ_COMPUTE_TYPE to auto or one of: {', '.join(BYTES)}.",
        )
    if wanted == "bfloat16" and device == "cuda" and not bfloat16:
        raise DeviceUnavailableError(
            "This GPU does not compute in bfloat16.", hint="Set ASRQ_COMPUTE_TYPE to auto, float16 or float32."
        )
    return wanted
