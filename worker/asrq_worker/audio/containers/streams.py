"""Streams of frames without a container: MPEG audio, ADTS, AC-3, DTS."""

from __future__ import annotations

from asrq_worker.audio.containers import frames
from asrq_worker.audio.containers.openings import next_opening, opens
from asrq_worker.audio.containers.part import MOST_LOSSES, MOST_STEPS, Content, Part

_SEARCHED = 1 << 16  # bytes: what was recorded of a radio begins within a frame
_CERTAIN = 10  # frames in a row, which no container has within it


def part(content: Content, start: int, first: int) -> Part | None:
    """Return the stream of which a frame begins at `first`, or, in a file that is nothing else, soon after.

    It ends where another one begins: of another codec, rate or number of channels, or with a table of contents.
    None if there is none.
    """
    found = _first(content, start, first)
    if found is None:
        return None
    at, stream = found
    begin, last, losses = at, at, 0
    for _ in range(MOST_STEPS):
        head = content.read(at, frames.HEAD)
        frame = frames.read(head)
        another = at > begin and frames.is_table(head)
        if frame and frame.stream == stream and not another:
            last, at = at, at + frame.length
        elif content.is_padding(at):
            return Part(start, min(at, content.size), known=False)
        elif another or opens(content, at):
            return Part(start, at, known=False)
        elif losses == MOST_LOSSES:
            break
        else:
            losses += 1
            at = next_opening(content, last + 1)  # the last frame may be one that was cut off
            last = at
    return Part(start, content.size, known=False)


def _first(content: Content, start: int, first: int) -> tuple[int, tuple[object, ...]] | None:
    """Return where the first frame is, and what is common to those of its stream."""
    if frame := frames.row(content, first):
        return first, frame.stream
    for at in range(first, min(first + _SEARCHED, content.size) if start == 0 else first):
        if frame := frames.row(content, at, _CERTAIN):
            return at, frame.stream
    return None
