"""A walk through the lists of jobs that wait, a part at each look: a look takes no longer however many wait."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import islice, takewhile

from asrq_jobs import rq
from asrq_worker.reaper.snapshot import SeenJob


@dataclass(frozen=True)
class Range:
    """A part of a list, as LRANGE has it: indexes from its end."""

    key: str
    start: int
    stop: int


class Walk:
    """Goes through all lists in turn, each from its tail to its head, and again.

    So what is taken at a head shifts nothing, and what comes at a tail has what waits passed once more. A job that is
    said to wait, and of which a whole turn has passed nothing, is on no list.
    """

    def __init__(self, most: int) -> None:
        """`most` ids are passed at a look."""
        self._most = most
        self._next = ("", 0)  # list and index from its tail
        self._turn = 0
        self._over = -1  # the last turn that is over
        self._proof = 0  # the turn at whose end the present look knows what is on no list
        self._sought: dict[str, int] = {}  # jobs not passed yet, with the turn whose end is the proof; turns ascend
        self._lost: Set[str] = frozenset()

    def parts(self, lengths: Mapping[str, int], *, whole: bool = False) -> list[Range]:
        """Decide which parts of the lists to pass now, by how long they are; with `whole` all of all."""
        if whole:
            self._next = ("", 0)
        begins, left = self._next == ("", 0), sys.maxsize if whole else self._most
        parts = []
        for key in sorted(lengths):
            passed = self._next[1] if key == self._next[0] else 0
            count = min(lengths[key] - passed, left)
            if key < self._next[0] or count < 0:
                continue
            if count > 0:
                parts.append(Range(key, -passed - count, -passed - 1))
            left -= count
            if passed + count < lengths[key]:
                self._next = (key, passed + count)
                self._proof = self._turn + 1
                return parts
        self._next = ("", 0)
        self._over, self._turn = self._turn, self._turn + 1
        self._proof = self._over if begins else self._turn
        return parts

    def overdue(self, again: Set[str]) -> list[str]:
        """Which jobs to look at because a whole turn has not passed them; `again` are those in doubt already.

        What was found lost and is not in doubt any more has been put right, or is a new case: it is sought again.
        """
        for job_id in self._lost - again:
            self._sought.pop(job_id, None)
        over = takewhile(lambda pair: pair[1] <= self._over, self._sought.items())
        return [job_id for job_id, _ in islice(over, self._most)]

    def lost(self, jobs: Mapping[str, SeenJob], passed: Set[tuple[str, str]]) -> Set[str]:
        """Decide which of the jobs looked at wait on no list; `passed` are those on one or in transit, lane and id."""
        lost = set()
        for job_id, job in jobs.items():
            if job.status != rq.QUEUED or job.lane is None or (job.lane, job_id) in passed:
                self._sought.pop(job_id, None)
                continue
            self._sought[job_id] = min(self._proof, self._sought.get(job_id, self._proof))
            if self._sought[job_id] <= self._over:
                lost.add(job_id)
        self._lost = frozenset(lost)
        return self._lost
