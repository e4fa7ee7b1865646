"""Whether fewer seconds came out of a file than it states, where its kind can be relied on.

For most containers their own structure says more: see `containers`.
"""

from __future__ import annotations

from typing import BinaryIO

from asrq_worker.audio.containers.part import Part, read_at

_COUNT_SAMPLES = frozenset({"ape", "tak", "tta", "wv"})
_EXACT_S = 0.05
_TOLERANCE_S = 0.5  # what encoders add at both ends
_TOLERANCE = 0.02


def falls_short(file: BinaryIO, part: Part, container: str, *, stated_s: float | None, decoded_s: float) -> bool | None:
    """Return whether there was more to come, or None if the file does not say.

    `container` is FFmpeg's name of the demuxer, `stated_s` the length that it reports (for some formats only a guess
    from the bit rate), `decoded_s` what came out.
    """
    if stated_s is None:
        return None
    if container == "flac":  # what is cut out without being encoded anew keeps the count of the whole
        return None if decoded_s < stated_s - _EXACT_S else False
    if container in _COUNT_SAMPLES:
        return decoded_s < stated_s - _EXACT_S
    short = decoded_s < stated_s - max(_TOLERANCE_S, stated_s * _TOLERANCE)
    return True if short and container == "mp3" and counts_frames(file, part.start) else None


def counts_frames(file: BinaryIO, start: int) -> bool:
    """Return whether an MP3 file has a Xing or Info tag."""
    header = read_at(file, start, 10)
    skip = 0
    if header[:3] == b"ID3" and len(header) == 10:
        for byte in header[6:]:  # seven bits a byte
            skip = skip << 7 | byte & 0x7F
        skip += 10
    first_frame = read_at(file, start + skip, 2048)
    return b"Xing" in first_frame or b"Info" in first_frame
