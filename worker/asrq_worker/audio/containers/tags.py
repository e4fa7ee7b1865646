"""Tags that are no part of a container: ID3v1, APEv2, Lyrics3v2 at its end, or before its padding; ID3v2 before it."""

from __future__ import annotations

from typing import BinaryIO

from asrq_worker.audio.containers.part import Content, read_at

_ID3_BYTES = 128
_ID3V2_BYTES = 10  # of its header and of its footer
_ID3V2_VERSIONS = (2, 3, 4)
_ID3V2_HAS_FOOTER = 0x10
_PADDING = 4096  # bytes behind it at most, which are not counted
_APE_BYTES = 32  # of its header and of its footer
_APE_HAS_HEADER = 1 << 31
_LYRICS = b"LYRICS200"
_LYRICS_DIGITS = 6
_MOST = 3  # one of each


def after_id3(content: Content, at: int) -> int:
    """Return where the tags of ID3v2 end that begin at `at`, and the padding behind them; `at` without any."""
    for _ in range(_MOST):
        head = content.read(at, _ID3V2_BYTES)
        if not _is_id3v2(head):
            break
        length = sum(byte << 7 * (3 - place) for place, byte in enumerate(head[6:]))
        at += _ID3V2_BYTES * (2 if head[5] & _ID3V2_HAS_FOOTER else 1) + length
        padding = content.read(at, _PADDING)
        at += len(padding) - len(padding.lstrip(b"\0"))
    return min(at, content.size)


def _is_id3v2(head: bytes) -> bool:
    sound = len(head) == _ID3V2_BYTES and head[:3] == b"ID3" and head[3] in _ID3V2_VERSIONS
    return sound and not head[5] & 0x0F and max(head[6:]) <= 0x7F


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
