"""Containers whose header counts their samples: RIFF/WAVE, its 64-bit kin RF64 and BW64 (EBU Tech 3306), its big-endian
RIFX, Sony's Wave64, and Apple's AIFF and AIFF-C.

Their headers are often wrong: written before the length was known, or by a program that was killed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from asrq_worker.audio.containers.openings import next_opening, opens
from asrq_worker.audio.containers.part import MOST_WITHOUT_SOUND, Content, Part

_OPEN_ENDED = 0x7FFFF000  # programs that stream write this or more for "until the end"; others leave 0
_SLACK = 64  # bytes: some count the header too
_LARGE = 0xFFFFFFFF  # the size is in the chunk ds64
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_LIST = bytes.fromhex("6c6973742f91cf11a5d628db04c10000")
_W64_CHUNK = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # behind four letters


@dataclass(frozen=True)
class _Form:
    """How chunks are written: a name of `name` bytes, and a size of `size` bytes, most significant first if `big`,
    which counts what is behind it and `before` more bytes; `align`: what they are filled up to. Those of a file begin
    `first` bytes behind its start, and its sound is in the one named `sound`."""

    sound: bytes
    big: bool = False
    name: int = 4
    size: int = 4
    before: int = 0
    align: int = 2
    first: int = 12

    @property
    def head(self) -> int:
        """The length of a chunk's name and size, in bytes."""
        return self.name + self.size

    @property
    def endless(self) -> int:
        """What a size says at least that means "until the end"."""
        return _OPEN_ENDED << 8 * (self.size - 4)

    def length(self, head: bytes) -> int:
        """Return the bytes of a chunk behind its head."""
        return max(0, int.from_bytes(head[self.name : self.head], "big" if self.big else "little") - self.before)

    def written(self, length: int) -> bytes:
        """Return the size of a chunk with `length` bytes behind its head, or the largest one."""
        size = min(length + self.before, (1 << 8 * self.size) - 1)
        return size.to_bytes(self.size, "big" if self.big else "little")

    def is_chunk(self, head: bytes) -> bool:
        """Return whether a chunk may begin with `head`."""
        if self.name == len(_W64_RIFF):
            return head[4:16] == _W64_CHUNK or head[:16] == _W64_LIST
        return len(head) >= self.head and head[:4].isascii() and head[:4].decode("ascii").isprintable()

    def filled(self, length: int) -> int:
        """Return `length` with what it is filled up with."""
        return length + -length % self.align


_WAVE = _Form(b"data")
_RIFX = _Form(b"data", big=True)
_AIFF = _Form(b"SSND", big=True)
_W64 = _Form(b"data" + _W64_CHUNK, name=16, size=8, before=24, align=8, first=40)


@dataclass(frozen=True)
class _Sound:
    """The chunk with the samples, at `at` of a file that begins at `start`: `length` bytes, as far as the header knows,
    in the chunk itself or, in 64 bits, at `large_at`."""

    form: _Form
    start: int
    at: int
    length: int
    large_at: int | None

    @property
    def body(self) -> int:
        """Where the samples begin."""
        return self.at + self.form.head

    def counts(self, stop: int) -> tuple[tuple[int, bytes], ...]:
        """Return what the header should say if all is sound up to `stop`."""
        length = stop - self.body
        if self.large_at is not None:
            return ((self.large_at, length.to_bytes(8, "little")),)
        whole = self.form.written(stop - self.start - self.form.head)
        return (self.start + self.form.name, whole), (self.at + self.form.name, self.form.written(length))


def begins(head: bytes) -> bool:
    """Return whether the first 16 bytes are those of such a file."""
    return _form(head) is not None


def part(content: Content, start: int) -> Part:
    """Return the part. What follows the samples that the header counts belongs to it, unless it is another file."""
    form = _form(content.read(start, 16))
    assert form is not None  # noqa: S101  # it begins there
    at, large, large_at = start + form.first, 0, 0
    for _ in range(MOST_WITHOUT_SOUND):
        header = content.read(at, 24)
        if len(header) < form.head:
            return Part(start, content.size, cut=True)
        length = form.length(header)
        if header[:4] == b"ds64":
            large, large_at = int.from_bytes(header[16:24], "little"), at + 16
        if header[: form.name] == form.sound:
            wide = large_at > 0 and length == _LARGE
            sound = _Sound(form, start, at, large if wide else length, large_at if wide else None)
            return _with_sound(content, sound)
        at += form.head + form.filled(length)
    return Part(start, content.size, crowded=True)


def _form(head: bytes) -> _Form | None:
    if head[:16] == _W64_RIFF:
        return _W64
    if head[:4] == b"FORM":
        return _AIFF if head[8:12] in (b"AIFF", b"AIFC") else None
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return None
    return _RIFX if head[:4] == b"RIFX" else _WAVE


def _with_sound(content: Content, sound: _Sound) -> Part:
    form, end = sound.form, sound.body + sound.length
    endless = sound.large_at is None and sound.length >= form.endless
    if not endless and end <= content.size:
        for after in (sound.body + form.filled(sound.length), end):  # some leave the padding out
            if (found := _closed(content, sound.start, after, form)) is not None:
                head = content.read(sound.start, form.head)
                right = sound.start + form.head + form.length(head) >= end
                return found if right else replace(found, counts=sound.counts(end))
    stop = next_opening(content, sound.body, raw=False)
    return Part(sound.start, stop, cut=not endless and stop < end - _SLACK, counts=sound.counts(stop))


def _closed(content: Content, start: int, at: int, form: _Form) -> Part | None:
    """Return the part whose samples end at `at`, if what follows is chunks, a tag, padding or nothing."""
    place, size = at, content.size
    for _ in range(MOST_WITHOUT_SOUND):
        header = content.read(place, form.head)
        if opens(content, place):
            return Part(start, place)
        if not form.is_chunk(header):
            break
        place += form.head + form.filled(form.length(header))
    else:
        return Part(start, size, crowded=True)
    if size <= place <= size + form.align - 1 or content.read(at, 3) == b"ID3" or content.is_padding(at):
        return Part(start, size)
    return None
