"""Whether what a cheap search found in a short window is to be trusted, or heard again. Pure.

Each sign was seen where a short window had gone wrong: the text stops in the midst of speech, says once what was said
eight times, says three times what was said once, or is a guess. What the signs cost and save is in
docs/explanation/quality-and-speed.md.
"""

from __future__ import annotations

from asrq_worker.backends.spoken import Sound, letters, seconds_of_sound
from asrq_worker.backends.whisper.segments import spans
from asrq_worker.backends.whisper.steps import Decoded

REPETITIVE = 2.4
"""zlib ratio of a text above which it counts as repeating itself (OpenAI's value)."""
DOUBTFUL = -1.0
"""Mean log probability of tokens below which a text is a guess (OpenAI's value)."""

_UNHEARD_S = 1.0  # of sound after the last segment
_OVERRUN_S = 1.0  # a text whose times end so long after the speech has more than was said
SLOWEST = 3.0
"""Letters a second of sound: a text with fewer is not all that was said. Slow sentences have 7, in Chinese 4."""
SLOW = 10.0
"""The same for a greedy search, which writes once what was said twice. Few sentences have fewer."""


def doubtful(
    decoded: Decoded, first_time: int, sounds: Sound, start: float, seconds: float, slowest: float = SLOWEST
) -> bool:
    """Whether a window that begins at `start` of the clip, and holds so many seconds of it, is to be heard again.

    Args:
        decoded: what was found.
        first_time: the token for 0.0 s.
        sounds: where the clip sounds.
        start: seconds.
        seconds: seconds.
        slowest: letters a second of sound below which a text is in doubt.
    """
    if decoded.truncated or decoded.logprob < DOUBTFUL or decoded.compression_ratio > REPETITIVE:
        return True
    if not decoded.tokens or decoded.tokens[-1] < first_time:
        return True
    parts, heard_s = spans(decoded.tokens, first_time, seconds)
    end = parts[-1].end
    return (
        end > seconds + _OVERRUN_S
        or seconds_of_sound(sounds, start + end, start + heard_s) > _UNHEARD_S
        or letters(decoded.text) < slowest * seconds_of_sound(sounds, start, start + heard_s)
    )
