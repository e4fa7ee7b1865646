"""Audio on its way into Redis: read, measured and hashed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from asrq_jobs.errors import AudioEmptyError, AudioNotFoundError, AudioTooLargeError
from asrq_jobs.request import BlobAudio


def prepare(audio: bytes | Path, name: str | None, *, max_mb: int) -> tuple[bytes, BlobAudio]:
    """Return the bytes to store and how a request names them; `max_mb` is in MiB.

    Raises:
        AudioNotFoundError, AudioEmptyError, AudioTooLargeError: the file cannot be sent.
    """
    if isinstance(audio, Path):
        name = name or audio.name
        audio = _read(audio, max_mb)
    _check_size(len(audio), name, max_mb)
    return audio, BlobAudio(sha256=hashlib.sha256(audio).hexdigest(), bytes=len(audio), name=name)


def _read(path: Path, max_mb: int) -> bytes:
    try:
        _check_size(path.stat().st_size, path.name, max_mb)  # before it is in memory
        return path.read_bytes()
    except OSError as error:
        raise AudioNotFoundError(f"Cannot read {path}: {error.strerror}.", hint="Check the path.") from None


def _check_size(size: int, name: str | None, max_mb: int) -> None:
    if size == 0:
        raise AudioEmptyError(f"{name or 'The audio'} is empty (0 bytes).")
    if size > max_mb * 2**20:
        raise AudioTooLargeError(
            f"{name or 'The audio'} has {size / 2**20:.0f} MiB, the limit is {max_mb}.",
            hint="Send compressed audio (opus, mp3), or a path that the worker can read.",
        )
