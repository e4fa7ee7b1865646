"""Which backend serves a job, and when a backend on trial is to be rolled back: pure decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from asrq_jobs.errors import (
    AsrqError,
    EngineError,
    NotServedError,
    PoisonedError,
    SetupError,
    UnsupportedOptionError,
)
from asrq_jobs.policy import Policy
from asrq_jobs.request import Request

WINDOW_S = 600.0
FEWEST = 20
MOST_FAILED = 0.10
SLOWER = 2.0


@dataclass(frozen=True)
class Route:
    """Backends to try, in order.

    `wanted` is the one that the policy names, also when it is left out because it is known to fail just now. `trial`:
    it serves as a canary, and must not cost the job anything.
    """

    wanted: str
    candidates: tuple[str, ...]
    trial: bool = False


class Outcome(BaseModel):
    """How a backend did on one job: `code` None if it served it, else why it did not."""

    model_config = ConfigDict(frozen=True)

    at: float
    code: str | None = None
    rtfx: float | None = None


def route(request: Request, policy: Policy, usable: Callable[[str], bool]) -> Route:
    """Choose the backends for a job.

    A job may ask for a backend that serves, stands in or is on trial here. `usable` says whether a backend is not
    known to fail just now; one that is not is left out as long as another remains.

    Raises:
        NotServedError: it asks for another.
    """
    here = [name for name in (policy.backend, policy.canary and policy.canary.backend, policy.fallback) if name]
    if request.backend is not None:
        if request.backend not in here:
            raise NotServedError(
                f"The backend {request.backend} is not served here.",
                hint=f"Leave backend out, or ask for one of: {', '.join(dict.fromkeys(here))}.",
            )
        return Route(request.backend, (request.backend,))
    trial = policy.canary is not None and policy.canary.takes(request.id)
    first = policy.canary.backend if policy.canary is not None and trial else policy.backend
    stand_in = policy.backend if trial else policy.fallback
    wanted = tuple(dict.fromkeys(name for name in (first, stand_in) if name))
    candidates = tuple(name for name in wanted if usable(name)) or wanted
    return Route(first, candidates, trial=trial)


def falls_back(error: AsrqError, *, trial: bool) -> bool:
    """Whether another backend may do better: not for what is wrong with the job or its audio."""
    if isinstance(error, UnsupportedOptionError):
        return trial  # without the trial it would have been served
    return isinstance(error, EngineError | SetupError | PoisonedError)


def verdict(trial: Sequence[Outcome], other: Sequence[Outcome], *, now: float, since: float) -> str | None:
    """Return why a backend on trial is to be rolled back, or None.

    Judged by its outcomes since it was put on trial, of the last ten minutes and at least twenty of them: too many
    failures, or less than half as fast as the other backend in the same time, at the median or at the slow end.
    Nothing ever switches it on again by itself, so it cannot flap.
    """
    begin = max(since, now - WINDOW_S)
    recent = [outcome for outcome in trial if outcome.at >= begin]
    if len(recent) < FEWEST:
        return None
    failed = [outcome.code for outcome in recent if outcome.code is not None]
    if len(failed) > MOST_FAILED * len(recent):
        commonest = max(sorted(set(failed)), key=failed.count)
        return f"{len(failed)} of {len(recent)} jobs failed, most of them with {commonest}"
    for name, quantile in (("median", 0.5), ("95th percentile", 0.95)):
        slow = _slowness(recent, quantile)
        usual = _slowness([outcome for outcome in other if outcome.at >= now - WINDOW_S], quantile)
        if slow is not None and usual is not None and slow > SLOWER * usual:
            return f"{name} of {slow:.2f} s for each second of audio against {usual:.2f}"
    return None


def _slowness(outcomes: Sequence[Outcome], quantile: float) -> float | None:
    """Return a quantile of the seconds of work for each second of audio, or None if there are too few."""
    found = sorted(1 / outcome.rtfx for outcome in outcomes if outcome.rtfx)
    return found[min(len(found) - 1, int(quantile * len(found)))] if len(found) >= FEWEST else None
