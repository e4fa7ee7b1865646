"""Which beginning of a text that is heard again and again will not change any more. Pure.

Two hearings in a row that agree on a beginning are believed (D. Liu and others, "Low-Latency Sequence-to-Sequence
Speech Recognition and Translation by Partial Hypothesis Selection", 2020), but for the last word of it: the sound may
have ended within that.
"""

from __future__ import annotations

import sys
from itertools import takewhile

from asrq_jobs import atoms
from asrq_jobs.atoms import Atom

_HELD_BACK = 1
"""Words, or characters of a script that has no spaces."""


class Agreement:
    """The hearings of one stretch, to which sound is added. `text` is what to show, `stable` how many characters of it,
    from the first, all later ones have too."""

    def __init__(self) -> None:
        self.text = ""
        self.stable = 0

    def take(self, heard: str) -> None:
        """Take what was heard in all of the stretch so far.

        Where that contradicts what is stable, this stays, and as many words of the hearing are left out.
        """
        before, now = _split(self.text), _split(heard)
        kept = sum(atom.end <= self.stable for atom in before)
        text = atoms.cleaned(heard)
        if text[: self.stable] != self.text[: self.stable]:
            rest = text[now[kept].start :] if kept < len(now) else ""
            text = atoms.joined([self.text[: self.stable], rest])
            now = _split(text)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False)))
        agreed = min(same, len(now) - _HELD_BACK)
        self.text = text
        if agreed > kept:
            self.stable = now[agreed - 1].end


def _split(text: str) -> list[Atom]:
    return atoms.split(text, longest=sys.maxsize)
