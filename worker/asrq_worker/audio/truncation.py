"""Whether fewer seconds came out of a file than it states, where its kind can be relied on.

For most containers their own structure says more: see `containers`.
"""

from __future__ import annotations

from asrq_worker.audio.containers import frames
from asrq_worker.audio.containers.part import Content, Part
from asrq_worker.audio.containers.tags import after_id3

_COUNT_SAMPLES = frozenset({"ape", "tak", "tta", "wv"})
_EXACT_S = 0.05
_TOLERANCE_S = 0.5  # what encoders add at both ends
_TOLERANCE = 0.02


def falls_short(
    content: Content, part: Part, container: str, *, stated_s: float | None, decoded_s: float
) -> bool | None:
    """Return whether there was more to come, or None if the file does not say.

    `container` is FFmpeg's name of the demuxer, `stated_s` the length that it reports (for some formats only a guess
    from the bit rate), `decoded_s` what came out.
    """
    if container == "mp3":
        stated_s = frames_s(content, part)
    if stated_s is None:
        return None
    if container == "flac":  # what is cut out without being encoded anew keeps the count of the whole
        return None if decoded_s < stated_s - _EXACT_S else False
    if container in _COUNT_SAMPLES:
        return decoded_s < stated_s - _EXACT_S
    short = decoded_s < stated_s - max(_TOLERANCE_S, stated_s * _TOLERANCE)
    return True if short and container == "mp3" else None


def frames_s(content: Content, part: Part) -> float | None:
    """Return how long the frames are that the first frame of an MP3 file counts, in seconds; None if it counts none."""
    return frames.counted_s(content.read(after_id3(content, part.start), frames.HEAD))
