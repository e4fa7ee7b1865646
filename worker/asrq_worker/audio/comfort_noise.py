"""Frames by which telephones say that nobody speaks (discontinuous transmission, DTX), which FFmpeg may not decode.

Sizes: 3GPP TS 26.101 and 26.201 (AMR: a descriptor of at most 6 bytes, NO_DATA of 1, with their headers), ITU-T G.729
annex B (2 bytes), G.723.1 annex A (1 and 4), 3GPP2 C.S0014 and C.S0020 (EVRC, QCELP: blank and eighth-rate, 1 to 4).
"""

from __future__ import annotations

_CODECS = frozenset({"amr_nb", "amr_wb", "evrc", "g723_1", "g729", "qcelp", "speex"})
_LONGEST = 7  # bytes; frames of speech have more


def is_comfort_noise(codec: str, size: int) -> bool:
    """Return whether a frame that was refused is silence rather than damage. `codec` is FFmpeg's canonical name.

    A frame without bytes is silence in any codec.
    """
    return size == 0 or (size <= _LONGEST and codec in _CODECS)
