"""How long a file says that it is, where that is more than a guess of FFmpeg's."""

from __future__ import annotations

from asrq_worker.audio.containers.part import Content, Part
from asrq_worker.audio.truncation import frames_s

# By their header or index, or, as Ogg, by the time stamp of their last page. FFmpeg's names of demuxers.
_STATE_LENGTH = frozenset(
    {"ape", "asf", "avi", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "tak", "tta", "wv"}
)
# These too, but what streams them writes a length before it knows one.
_BY_BYTES = frozenset({"aiff", "au", "caf", "w64", "wav"})


def stated_s(
    content: Content, part: Part, container: str, *, length_s: float | None, start_s: float, bits_a_second: int
) -> float | None:
    """Return how long the audio is by its container, in seconds; None if that does not say, or says what cannot be.

    `container`, `length_s`, `start_s` and `bits_a_second` are FFmpeg's.
    """
    if container == "mp3":
        return frames_s(content, part)
    if length_s is None:
        return None
    if container in _STATE_LENGTH:  # some count from zero even if the first time stamp is hours later
        return length_s - max(0.0, start_s)
    if container in _BY_BYTES:
        return length_s if 0 < length_s * bits_a_second <= 8 * (part.stop - part.start) else None
    return None
