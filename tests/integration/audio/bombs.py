"""Small files that want to be a lot of work, made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache


def wav(frames: bytes, *, rate: int, channels: int = 1, bits: int = 8, stated: int | None = None) -> bytes:
    """PCM behind a header that says what it likes."""
    width = channels * bits // 8
    size = len(frames) if stated is None else stated
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * width & 0xFFFFFFFF, width & 0xFFFF, bits)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", 36 + len(frames), b"WAVE", b"fmt ", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
        + frames
    )


def flac(seconds: int, *, rate: int, channels: int = 1, stated: bool) -> bytes:
    """Silence in blocks of 65,535 samples (RFC 9639). `stated`: its length is in the header."""
    blocks = seconds * rate // 65_535
    total = blocks * 65_535 if stated else 0
    packed = rate << 44 | (channels - 1) << 41 | 15 << 36 | total
    streaminfo = struct.pack(">HH6xQ16x", 65_535, 65_535, packed)
    return b"fLaC\x80\0\0\x22" + streaminfo + b"".join(_flac_frames(blocks, rate, channels))


def _flac_frames(blocks: int, rate: int, channels: int) -> Iterator[bytes]:
    body = b"\0\0\0" * channels  # each a constant of 16 bits
    for number in range(blocks):
        # Sync, fixed size of blocks; that size in 16 bits behind, the rate as in the streaminfo; channels, 16 bits.
        coded = chr(number).encode("utf-8", "surrogatepass")  # FLAC counts as UTF-8 does
        head = bytes((0xFF, 0xF8, 0x70, (channels - 1) << 4 | 0x8)) + coded + struct.pack(">H", 65_534)
        frame = head + bytes((_crc(head, 8, 0x07),)) + body
        yield frame + struct.pack(">H", _crc(frame, 16, 0x8005))


def opus(seconds: int, *, stated: bool = True) -> bytes:
    """Ogg with packets that hold 120 ms of nothing in two bytes (RFC 6716, 7845). `stated`: pages tell the time."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    packet = bytes((19 << 3 | 3, 6))  # CELT, 20 ms, mono; six frames of the same length, which is none
    pages = [_ogg_page(0, 2, 0, [head]), _ogg_page(1, 0, 0, [tags])]
    left, position, number = seconds * 48_000 // 5_760, 0, 2
    while left:
        count = min(left, 255)
        left -= count
        position += count * 5_760
        pages.append(_ogg_page(number, 0 if left else 4, position if stated else 1, [packet] * count))
        number += 1
    return b"".join(pages)


def _ogg_page(number: int, flags: int, position: int, packets: list[bytes]) -> bytes:
    lacing = bytes(len(packet) for packet in packets)
    page = (
        struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, 1, number, 0, len(packets)) + lacing + b"".join(packets)
    )
    return page[:22] + struct.pack("<I", _crc(page, 32, 0x04C11DB7)) + page[26:]


def with_edits(movie: bytes, entries: int, *, length: int) -> bytes:
    """Put an edit list into the only track of an MP4 whose index is at the end: its first `length` milliseconds, again
    and again."""
    moov = movie.rindex(b"moov") - 4
    assert moov + int.from_bytes(movie[moov : moov + 4]) == len(movie)
    trak = movie.index(b"trak", moov) - 4
    elst = (
        struct.pack(">I4sII", 16 + 12 * entries, b"elst", 0, entries) + struct.pack(">IIHH", length, 0, 1, 0) * entries
    )
    edts = struct.pack(">I4s", 8 + len(elst), b"edts") + elst
    old = movie.find(b"edts", trak)
    grown = bytearray(movie)
    if old >= 0:
        grown[old : old + 4] = b"free"
    size = int.from_bytes(movie[trak : trak + 4])
    grown[trak + size : trak + size] = edts
    for at in (moov, trak):
        grown[at : at + 4] = (int.from_bytes(movie[at : at + 4]) + len(edts)).to_bytes(4)
    return bytes(grown)


@cache
def _table(bits: int, polynomial: int) -> tuple[int, ...]:
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return tuple(table)


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    table, mask, value = _table(bits, polynomial), (1 << bits) - 1, 0
    for byte in data:
        value = (value << 8 ^ table[value >> bits - 8 ^ byte]) & mask
    return value
