"""The processes of an engine and the part that each plays: one serves, one may be loading to follow it, some finish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from asrq_worker.engine.incarnation import Incarnation


@dataclass
class Succession:
    """Changed only with the engine's lock held; to look at the processes takes none."""

    serving: Incarnation | None = None
    """Gets the batches, or will when it is loaded."""
    successor: Incarnation | None = None
    """Loads beside the one that serves."""
    retiring: list[Incarnation] = field(default_factory=list)
    """Get no more batches, and end with the last one."""

    def __iter__(self) -> Iterator[Incarnation]:
        return iter([each for each in (self.serving, self.successor, *self.retiring) if each is not None])

    def retire(self, serving: Incarnation) -> None:
        """Put the successor, or nobody yet, in the place of the one that serves."""
        self.retiring.append(serving)
        self.serving, self.successor = self.successor, None

    def remove(self, gone: Incarnation) -> None:
        """Forget a process that has ended; the successor follows the one that served."""
        if gone in self.retiring:
            self.retiring.remove(gone)
        elif gone is self.serving:
            self.serving, self.successor = self.successor, None
        else:
            self.successor = None
