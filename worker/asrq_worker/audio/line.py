"""Which caller gets the next decoder: a pure decision over those that wait and those that have one, without a clock."""

from __future__ import annotations

from dataclasses import dataclass

MOST_IN_A_ROW = 4
"""So many decoders in a row go to urgent callers while a patient one waits; the next one is the patient one's."""


@dataclass(frozen=True)
class Caller:
    """One that waits for a decoder or has one; `number` grows in the order of arrival."""

    number: int
    urgent: bool


class WaitingLine:
    """Urgent callers go before patient ones, each in the order in which they came.

    Patient ones leave one decoder free where there are several, so that long files do not keep all of them from a
    clip; and they have a place now and then, so that clips that never cease do not stop them.
    """

    def __init__(self, decoders: int) -> None:
        self._decoders = decoders
        self._most_patient = max(1, decoders - 1)
        self._waiting: list[Caller] = []
        self.taken = 0
        """Callers that have a decoder."""
        self._patient = 0  # of these
        self._in_a_row = 0
        self._number = 0

    def join(self, *, urgent: bool) -> Caller:
        """Note that one has come to wait."""
        self._number += 1
        caller = Caller(self._number, urgent)
        self._waiting.append(caller)
        return caller

    def leave(self, caller: Caller) -> None:
        """Note that one waits no longer."""
        self._waiting.remove(caller)

    def first(self) -> Caller | None:
        """Return who is to have the next decoder, if any of those that wait may have it."""
        if self.taken == self._decoders:
            return None
        urgent = next((caller for caller in self._waiting if caller.urgent), None)
        patient = self._first_patient()
        if urgent is None or (patient is not None and self._in_a_row >= MOST_IN_A_ROW):
            return patient
        return urgent

    def take(self, caller: Caller) -> None:
        """Note that it has got a decoder, and waits no longer."""
        passed_over = caller.urgent and self._first_patient() is not None
        self._in_a_row = self._in_a_row + 1 if passed_over else 0
        self.taken += 1
        self._patient += not caller.urgent
        self.leave(caller)

    def give_back(self, caller: Caller) -> None:
        """Note that it has a decoder no longer."""
        self.taken -= 1
        self._patient -= not caller.urgent

    def _first_patient(self) -> Caller | None:
        """The first one that may have a decoder now."""
        if self._patient >= self._most_patient:
            return None
        return next((caller for caller in self._waiting if not caller.urgent), None)
