"""Tells whether a media file ends before its container says it should; FFmpeg itself passes over it silently.

Formats: RIFF/WAVE (a `data` chunk's size against the bytes present), Ogg (RFC 3533: the last page of a whole file
carries the end-of-stream flag), MP3 (the number of frames in a Xing or Info tag), and containers whose header
states the length.
"""

from __future__ import annotations

import os
from typing import BinaryIO

_STATES_LENGTH = frozenset({"aiff", "asf", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
_TOLERANCE_S = 0.5  # encoder delay, padding and edit lists
_TOLERANCE = 0.02
_OPEN_ENDED = 0x7FFFF000  # programs that stream WAV write this or more for "until the end"
_PAGE = 65_307  # longest Ogg page


def cut_off(file: BinaryIO, container: str, *, stated_s: float | None, decoded_s: float) -> bool:
    """Return whether there was more to come.

    `container` is FFmpeg's name of the demuxer, `stated_s` the length that it reports (for some formats only a
    guess from the bit rate), `decoded_s` what came out.
    """
    if container == "wav":
        return _wav_cut_off(file)
    if container == "ogg":
        return _ogg_cut_off(file)
    if stated_s is None or not (container in _STATES_LENGTH or (container == "mp3" and _mp3_counts_frames(file))):
        return False
    return decoded_s < stated_s - max(_TOLERANCE_S, stated_s * _TOLERANCE)


def _wav_cut_off(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    at = 12
    while at + 8 <= size:
        file.seek(at)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] == b"data":
            return size - at - 8 < length < _OPEN_ENDED
        at += 8 + length + length % 2
    return False


def _ogg_cut_off(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _PAGE))
    tail = file.read()
    page = tail.rfind(b"OggS")
    return page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4


def _mp3_counts_frames(file: BinaryIO) -> bool:
    file.seek(0)
    header = file.read(10)
    skip = 0
    if header[:3] == b"ID3" and len(header) == 10:
        for byte in header[6:]:  # seven bits a byte
            skip = skip << 7 | byte & 0x7F
        skip += 10
    file.seek(skip)
    first_frame = file.read(2048)
    return b"Xing" in first_frame or b"Info" in first_frame
