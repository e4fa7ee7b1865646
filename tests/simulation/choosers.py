"""Who decides what is open: at random in bursts or by priorities, or as decided before."""

from __future__ import annotations

import random
from collections.abc import Sequence

from simulation.scheduler import CLOCK

_THERE = 0.5  # how often something fails where a scenario has it fail
_CHANGES = 40  # about as many steps pass between two changes of priority


class Recorded:
    """Keeps what was chosen. Index 0 is the usual; so a run is the list of its choices, zeros at the end left out."""

    def __init__(self) -> None:
        self.choices: list[int] = []

    def choose(self, what: str, options: Sequence[str]) -> int:
        """Choose, and keep it."""
        chosen = self._choose(what, options)
        self.choices.append(chosen)
        return chosen

    def _choose(self, what: str, options: Sequence[str]) -> int:
        raise NotImplementedError


class Replayed(Recorded):
    """Chooses as told, and then the usual."""

    def __init__(self, told: Sequence[int]) -> None:
        super().__init__()
        self._told = told

    def _choose(self, what: str, options: Sequence[str]) -> int:
        at = len(self.choices)
        chosen = self._told[at] if at < len(self._told) else 0
        return chosen if chosen < len(options) else 0


class AtRandom(Recorded):
    """Each run is of another kind: it changes often or seldom, has faults often or seldom, goes by priorities or not.

    Uniform steps find little. Bursts have one go far while the others stay where they are; priorities with a few
    changes find what takes a certain order of few steps (Burckhardt et al. 2010, "A randomized scheduler with
    probabilistic guarantees of finding bugs").
    """

    def __init__(self, source: random.Random) -> None:
        super().__init__()
        self._random = source
        self._switch = source.choice([0.02, 0.1, 0.3, 0.7])
        self._clock = source.choice([0.0, 0.01, 0.05, 0.2])
        self._fault = source.choice([0.02, 0.05, 0.1, 0.3])
        self._by_priority = source.random() < 0.4
        self._priorities: dict[str, float] = {}

    def _choose(self, what: str, options: Sequence[str]) -> int:
        if what != "next":
            often = self._fault if what == "fault" else _THERE
            return self._random.randrange(1, len(options)) if self._random.random() < often else 0
        ready = [name for name in options if name != CLOCK]
        if len(ready) < len(options) and self._random.random() < self._clock:
            return len(options) - 1
        if self._by_priority:
            for name in ready:
                self._priorities.setdefault(name, self._random.random())
            if self._random.randrange(_CHANGES) == 0:
                self._priorities[ready[0]] = self._random.random()
            return max(range(len(ready)), key=lambda at: self._priorities[ready[at]])
        return self._random.randrange(len(ready)) if self._random.random() < self._switch else 0
