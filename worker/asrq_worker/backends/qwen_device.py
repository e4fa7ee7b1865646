"""Where and in which numbers Qwen3-ASR computes, and whether it fits there: decisions without torch."""

from __future__ import annotations

from asrq_jobs.errors import DeviceUnavailableError, OutOfMemoryError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number, by compute type."""


def choose_device(wanted: str, *, cuda: bool) -> str:
    """Return `cpu` or `cuda`.

    Raises:
        DeviceUnavailableError: CUDA was asked for and is not there.
    """
    if wanted == "cuda" and not cuda:
        raise DeviceUnavailableError(
            "PyTorch cannot use CUDA here.",
            hint="Install the NVIDIA driver and a PyTorch built for CUDA (pytorch.org), or set ASRQ_DEVICE=cpu.",
        )
    if wanted == "auto":
        return "cuda" if cuda else "cpu"
    return wanted


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


def refuse_too_large(model: str, needed_mb: int, free_mb: int, device: str) -> None:
    """Raise OutOfMemoryError now, where the system would otherwise kill the process while it loads."""
    if needed_mb > free_mb:
        raise OutOfMemoryError(
            f"Model {model!r} needs about {needed_mb} MiB, and {free_mb} MiB are free on this {device}.",
            hint="Free memory, or choose a smaller model (0.6b) or compute type (bfloat16).",
        )
