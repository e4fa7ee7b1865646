"""A file as the containers that follow each other in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, Protocol

from asrq_worker.audio.containers import ebml, frames, ogg, transport, wave
from asrq_worker.audio.containers.chunks import HEAD, ROWS
from asrq_worker.audio.containers.part import Content, Part
from asrq_worker.audio.containers.tags import without_tags

_MOST = 10_000  # songs in a chain of a radio, for a month


class _Kind(Protocol):
    @property
    def begins(self) -> Callable[[bytes], bool]: ...

    @property
    def part(self) -> Callable[[Content, int], Part]: ...


_KINDS: tuple[_Kind, ...] = (wave, ebml, ogg, *ROWS)


def parts(file: BinaryIO) -> list[Part]:
    """Return the parts of a file, at least one; a file of a kind that is not known here is one.

    Bytes behind the last one belong to it, but for tags, and for zeros where its structure says that it ended.
    """
    size, at = without_tags(file, file.seek(0, os.SEEK_END)), 0
    content = Content(file, size)
    found: list[Part] = []
    while at < size and len(found) < _MOST:
        head = content.read(at, HEAD)
        kind = next((kind for kind in _KINDS if kind.begins(head)), None)
        if kind is None:
            break
        found.append(kind.part(content, at))
        at = found[-1].stop
    if not found:
        return [transport.part(content) or Part(0, frames.last_stop(content), known=False)]
    return found if content.is_padding(at) else [*found[:-1], replace(found[-1], stop=size)]
