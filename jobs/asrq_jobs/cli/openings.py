"""How audio files begin, so that one is not taken for raw samples: as such it is a moment of loud noise. Pure."""

from __future__ import annotations

_OPENINGS = (
    ("FLAC", 0, b"fLaC"), ("Ogg", 0, b"OggS"), ("MP3", 0, b"ID3"), ("Matroska or WebM", 0, b"\x1aE\xdf\xa3"),
    ("WAV", 8, b"WAVE"), ("AIFF", 8, b"AIF"), ("MP4", 4, b"ftyp"),
)  # fmt: skip

_SURE = 3  # frames in a row, each as long as its header says: no sound has that by chance
_HEADER = 6
_KBPS = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of MPEG-1 and of later versions, by layer; later ones have the same for the second and third (ISO/IEC 11172-3,
13818-3)."""
_RATES = (44_100, 48_000, 32_000)
_HALVED = {3: 0, 2: 1, 0: 2}
"""How often the rates are halved, by the bits of the version: MPEG-1, 2, 2.5."""
_ADTS_RATES = 13
"""How many rates AAC has in ADTS (ISO/IEC 13818-7)."""


def kind(opening: bytes) -> str | None:
    """Return of what kind the file is that begins so; None: of none that is known."""
    for name, at, mark in _OPENINGS:
        if opening[at:].startswith(mark):
            return name
    if _frames(opening) < _SURE:
        return None
    return {0: "AAC", 1: "MP3"}.get(_layer(opening), "MPEG audio")


def undecided(opening: bytes) -> bool:
    """Whether more of it is needed to tell."""
    return bool(opening) and opening[0] == 0xFF and 0 <= _frames(opening) < _SURE


def _layer(header: bytes) -> int:
    """The bits: 3 for the first, 2, 1; 0 in ADTS."""
    return header[1] >> 1 & 3


def _frames(opening: bytes) -> int:
    """Return how many frames of MPEG audio or ADTS begin there in a row; -1 where anything else does."""
    at = count = 0
    while at + _HEADER <= len(opening):
        header = opening[at : at + _HEADER]
        size = _size(header)
        if not size or header[1] & 0xFE != opening[1] & 0xFE or _rate(header) != _rate(opening):
            return -1
        at, count = at + size, count + 1
    return count


def _rate(header: bytes) -> int:
    return header[2] >> 2 & (3 if _layer(header) else 15)


def _size(header: bytes) -> int:
    """Return the length of a frame in bytes; 0: this is no header of one."""
    if header[0] != 0xFF or header[1] < 0xE0:
        return 0
    if _layer(header) == 0:
        return _adts(header)
    bits, halved = header[2] >> 4, _HALVED.get(header[1] >> 3 & 3)
    if halved is None or bits in {0, 15} or _rate(header) == len(_RATES):
        return 0
    first, layer, padding = halved == 0, 4 - _layer(header), header[2] >> 1 & 1
    per_second = 1000 * _KBPS[first, layer if first else min(layer, 2)][bits] // 8
    samples = 384 if layer == 1 else 576 if layer == 3 and not first else 1152
    slots = samples * per_second // (4 if layer == 1 else 1) // (_RATES[_rate(header)] >> halved)
    return (slots + padding) * (4 if layer == 1 else 1)


def _adts(header: bytes) -> int:
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if header[1] >= 0xF0 and _rate(header) < _ADTS_RATES and size > _HEADER else 0
