"""Tags at the end of a file, or before its padding, that are no part of its container: ID3v1, APEv2, Lyrics3v2."""

from __future__ import annotations

from typing import BinaryIO

from asrq_worker.audio.containers.part import Content, read_at

_ID3_BYTES = 128
_APE_BYTES = 32  # of its header and of its footer
_APE_HAS_HEADER = 1 << 31
_LYRICS = b"LYRICS200"
_LYRICS_DIGITS = 6
_MOST = 3  # one of each


def without_tags(file: BinaryIO, size: int) -> int:
    """Return where the tags begin at the end of a file of `size` bytes, or before its padding; `size` without any."""
    zeros_at = Content(file, size).zeros_at
    ends = range(zeros_at, min(size, zeros_at + _ID3_BYTES) + 1)  # a tag may end in zeros of its own
    size = next((end for end in ends if 0 < _last_tag(file, end) < end), size)
    for _ in range(_MOST):
        length = _last_tag(file, size)
        if not 0 < length < size:
            break
        size -= length
    return size


def _last_tag(file: BinaryIO, end: int) -> int:
    """Return the length of the tag that ends there, or 0."""
    begin = max(0, end - _ID3_BYTES - len(b"APE"))
    tail = read_at(file, begin, end - begin)
    if tail[-_ID3_BYTES:].startswith(b"TAG") and len(tail) >= _ID3_BYTES and not tail.startswith(b"APETAGEX"):
        return _ID3_BYTES
    footer = tail[-_APE_BYTES:]
    if footer.startswith(b"APETAGEX"):
        has_header = int.from_bytes(footer[20:24], "little") & _APE_HAS_HEADER
        return int.from_bytes(footer[12:16], "little") + (_APE_BYTES if has_header else 0)
    digits = tail[-len(_LYRICS) - _LYRICS_DIGITS : -len(_LYRICS)]
    if tail.endswith(_LYRICS) and digits.isdigit():
        return int(digits) + _LYRICS_DIGITS + len(_LYRICS)
    return 0
