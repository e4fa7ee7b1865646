"""Following many jobs at once over one connection, and whether there is anybody to serve them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

from asrq_jobs import events, keys
from asrq_jobs.client import Client
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import AsrqError, JobNotFoundError, QueueAuthError, QueueError, WaitTimeoutError
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.serving import nobody
from asrq_jobs.states import JobState, without_result

_LOOK_S = 1.0
_LOOKS_AT = 20  # jobs whose state is read at one look, in turn: enough for a screen, little for a thousand jobs
_WORKERS_AFTER_S = 2.0  # a user whose job starts at once need not know
_WORKERS_EVERY_S = 5.0
_PAUSE_S = 0.5
_MOST_NAMED = 100


@dataclass(frozen=True)
class Condition:
    """How the queue is: whether the server answers, and in a sentence that no worker takes jobs.

    No sentence: one does, or we may not know.
    """

    answers: bool = True
    absence: str | None = None


News = Event | JobState | Result | AsrqError
Told = tuple[str, News | Condition]  # of a job, by its id; or of the queue, under no id


class Following:
    """Jobs that are followed until each has ended; some may be added at any time.

    Of each job come its events, now and then its state, and last its result, or the error that there is no such job.
    Of the queue comes its condition when it changes. An outage of up to `redis_retry_s` is ridden out once the server
    has answered (`reached`); nothing is missed or comes twice.
    """

    def __init__(
        self,
        client: Client,
        job_ids: Iterable[str] = (),
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._now = now
        self._pause = pause
        self._new = list(dict.fromkeys(job_ids))
        self._after: dict[str, str] = {}  # the last entry seen of each that has not ended
        self._condition = Condition()
        self._away_since: float | None = None
        self._timeout_s: float | None = None
        self._deadline = inf
        self.reached = False
        self._may_see_workers = True
        self._next_look = now() + _LOOK_S
        self._next_workers = now() + _WORKERS_AFTER_S

    def add(self, job_id: str, *, known: bool = False) -> None:
        """Follow one more; `known`: the server has just said that there is such a job."""
        self.reached = self.reached or known
        if job_id not in self._after and job_id not in self._new:
            self._new.append(job_id)

    @property
    def left(self) -> list[str]:
        """The jobs that have not ended."""
        return [*self._after, *self._new]

    def limit(self, timeout_s: float | None) -> None:
        """Count from now on how long there is to wait; None: forever."""
        self._timeout_s = timeout_s
        self._deadline = inf if timeout_s is None else self._now() + timeout_s

    def news(self, within_s: float = _LOOK_S) -> Iterator[Told]:
        """Wait for about `within_s` seconds at most, and yield what has happened.

        Raises:
            WaitTimeoutError: the time that `limit` gave has passed; jobs that were just added are looked at first.
            QueueError: Redis cannot be reached or refuses.
        """
        within_s = min(within_s, self._deadline - self._now())
        if within_s <= 0 and not self._new:
            ids = self.left
            sentence = f"{_count(len(ids))} not ended within {self._timeout_s:g} s."
            raise WaitTimeoutError(sentence, hint=commands_for(ids))
        try:
            yield from self._asked(within_s)
            yield from self._of_the_queue()
        except QueueError as error:
            since = self._away_since = self._now() if self._away_since is None else self._away_since
            if not (error.retryable and self.reached) or self._now() - since >= self._client.settings.redis_retry_s:
                raise
            yield from self._becomes(Condition(answers=False))
            self._pause(max(0.0, min(_PAUSE_S, within_s)))

    def _asked(self, within_s: float) -> Iterator[Told]:
        for job_id, news in self._found(within_s):
            self.reached, self._away_since = True, None
            if isinstance(news, Result | AsrqError):
                del self._after[job_id]
            yield job_id, news
        self.reached, self._away_since = True, None
        if not self._condition.answers:
            yield from self._becomes(Condition())

    def _found(self, within_s: float) -> Iterator[tuple[str, News]]:
        if self._new:
            yield from self._first_looks()
        elif self._now() >= self._next_look:
            self._next_look = self._now() + _LOOK_S
            yield from self._looks(_LOOKS_AT)
        elif self._after:
            longest_s = min(
                max(within_s, 0.0), self._next_look - self._now(), self._client.settings.redis_timeout_s / 2
            )
            yield from self._entries(longest_s)

    def _first_looks(self) -> Iterator[tuple[str, News]]:
        while self._new:
            found = _look(self._client, self._new[0])
            job_id = self._new.pop(0)
            self._after[job_id] = "0"
            yield job_id, found

    def _looks(self, most: int) -> Iterator[tuple[str, News]]:
        """Look at some jobs, each time at others."""
        for job_id in list(islice(self._after, most)):
            self._after[job_id] = self._after.pop(job_id)
            yield job_id, _look(self._client, job_id)

    def _entries(self, block_s: float) -> Iterator[tuple[str, News]]:
        """Wait for new entries and yield them as events; what follows a terminal one is the result."""
        for job_id, entries in _read(self._client, self._after, block_s):
            for entry, event in entries:
                self._after[job_id] = entry
                yield job_id, event
            if entries[-1][1].terminal:
                yield job_id, _look(self._client, job_id)  # its state, if it was retried by hand in the meantime

    def _of_the_queue(self) -> Iterator[Told]:
        if self._may_see_workers and self._after and self._now() >= self._next_workers:
            self._next_workers = self._now() + _WORKERS_EVERY_S
            try:
                yield from self._becomes(Condition(absence=nobody(self._client.workers())))
            except QueueAuthError:
                self._may_see_workers = False

    def _becomes(self, condition: Condition) -> Iterator[Told]:
        if condition != self._condition:
            self._condition = condition
            yield "", condition


def follow(client: Client, job_ids: Sequence[str], *, timeout_s: float | None = None) -> Iterator[Told]:
    """Yield what happens to the jobs, and to the queue, until each has ended: see `Following`.

    Raises:
        WaitTimeoutError: `timeout_s` seconds have passed.
        QueueError: Redis cannot be reached or refuses.
    """
    following = Following(client, job_ids)
    following.limit(timeout_s)
    while following.left:
        yield from following.news()


def _look(client: Client, job_id: str) -> Result | JobState | AsrqError:
    """Return the result of a job that has ended, the state of one that has not, or why there is neither."""
    result = client.result(job_id, peek=True)
    if result:
        return result
    try:
        state = client.state(job_id)
    except JobNotFoundError as error:
        return error
    lost = without_result(job_id, state.status, held=state.worker is not None)
    if lost is None:
        return state
    return client.result(job_id, peek=True) or lost  # it may have ended between the two looks


def _read(client: Client, after: dict[str, str], block_s: float) -> list[tuple[str, list[tuple[str, Event]]]]:
    """Wait for entries of any of the streams; without a count, so that a terminal event that comes last is last."""
    by_stream = {keys.events(job_id): job_id for job_id in after}
    wanted: dict[Any, Any] = {keys.events(job_id): entry for job_id, entry in after.items()}
    with queue_errors(client.settings):
        answer = client.redis.xread(wanted, block=max(1, int(block_s * 1000)))
    return [(by_stream[stream], entries) for stream, entries in events.read(answer, Event)]


def _count(jobs: int) -> str:
    return "One job has" if jobs == 1 else f"{jobs} jobs have"


def commands_for(job_ids: Iterable[str], *options: str) -> str:
    """Return what to type to wait for these jobs again, with the same options, or to stop them."""
    ids = list(job_ids)
    named = " ".join(ids) if len(ids) <= _MOST_NAMED else "ID… (`asrq list` shows them)"
    again = " ".join([named, *map(shlex.quote, options)])
    return f"Wait again: asrq wait {again}. Stop: asrq cancel {'ID…' if len(ids) > 1 else named}."
