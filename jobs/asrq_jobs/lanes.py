"""How many slots a worker has on which lanes, as settings write it."""

from __future__ import annotations

from asrq_jobs.request import LANES


def parse_lanes(text: str) -> dict[str, int]:
    """Parse `interactive:2,batch:6`.

    Raises:
        ValueError: not of that form, an unknown lane, or no slot at all.
    """
    slots: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        lane, _, count = part.partition(":")
        if lane not in LANES or not count.isdecimal():
            raise ValueError(f"{part!r} is not lane:slots; write for example interactive:2,batch:6")
        slots[lane] = int(count)
    if not sum(slots.values()):
        raise ValueError("at least one lane needs a slot; write for example interactive:2,batch:6")
    return slots
