"""A file as the containers that follow each other in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, Protocol

from asrq_worker.audio.containers import ebml, ogg, transport, wave
from asrq_worker.audio.containers.chunks import HEAD, ROWS
from asrq_worker.audio.containers.part import Part, read_at, size_of
from asrq_worker.audio.containers.tags import without_tags


class _Kind(Protocol):
    @property
    def begins(self) -> Callable[[bytes], bool]: ...

    @property
    def part(self) -> Callable[[BinaryIO, int, int], Part]: ...


_KINDS: tuple[_Kind, ...] = (wave, ebml, ogg, *ROWS)


def parts(file: BinaryIO) -> list[Part]:
    """Return the parts of a file, at least one; a file of a kind that is not known here is one.

    What lies behind the last one belongs to it, but for tags.
    """
    size, at = without_tags(file, size_of(file)), 0
    found: list[Part] = []
    while at < size:
        head = read_at(file, at, HEAD)
        kind = next((kind for kind in _KINDS if kind.begins(head)), None)
        if kind is None:
            break
        found.append(kind.part(file, at, size))
        at = found[-1].stop
    if not found:
        return [Part(0, size, cut=transport.is_cut(file, size), known=False)]
    return [*found[:-1], replace(found[-1], stop=size)]
