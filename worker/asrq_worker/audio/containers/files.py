"""A file as the containers that follow each other in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO, Protocol

from asrq_worker.audio.containers import ebml, ogg, streams, transport, unsized, wave
from asrq_worker.audio.containers.chunks import HEAD, ROWS
from asrq_worker.audio.containers.openings import next_opening
from asrq_worker.audio.containers.part import Content, Part
from asrq_worker.audio.containers.tags import after_id3, without_tags

_MOST = 10_000  # songs in a chain of a radio, for a month


class _Container(Protocol):
    @property
    def begins(self) -> Callable[[bytes], bool]: ...

    @property
    def part(self) -> Callable[[Content, int], Part]: ...


_CONTAINERS: tuple[_Container, ...] = (wave, ebml, ogg, *ROWS, unsized)


def parts(file: BinaryIO) -> list[Part]:
    """Return the parts of a file, at least one; a file of a kind that is not known here is one.

    What is nothing that is known belongs to the part before it, but for tags at the end of the file, and for zeros
    where its structure says that it ended.
    """
    size, at = without_tags(file, file.seek(0, os.SEEK_END)), 0
    content = Content(file, size)
    found: list[Part] = []
    while at < size and len(found) < _MOST and not (found and content.is_padding(at)):
        if part := _part(content, at):
            found.append(part)
            at = part.stop
        elif found:
            at = next_opening(content, at + 1)
            found[-1] = replace(found[-1], stop=at)
        else:
            return [Part(0, size, known=False)]
    if at < size and not content.is_padding(at):
        found[-1] = replace(found[-1], stop=size)
    return found or [Part(0, size, known=False)]


def _part(content: Content, start: int) -> Part | None:
    first = after_id3(content, start)
    head = content.read(first, HEAD)
    if kind := next((kind for kind in _CONTAINERS if kind.begins(head)), None):
        return replace(kind.part(content, first), start=start)
    return transport.part(content, start) or streams.part(content, start, first)
