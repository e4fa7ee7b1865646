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
from asrq_worker.routing.offers import Need, Offer, admits, not_here

WINDOW_S = 600.0
FEWEST = 20
MOST_FAILED = 0.10
SLOWER = 2.0


@dataclass(frozen=True)
class Route:
    """Backends to try, in order.

    `wanted` is the first of those that the policy names and that can do what is asked, also when it is left out because
    it is known to fail just now. `refused` is why one before it cannot do it.
    """

    wanted: str
    candidates: tuple[str, ...]
    refused: AsrqError | None = None


class BackendOutcome(BaseModel):
    """How a backend did on one job: `code` None if it served it, else why it did not."""

    model_config = ConfigDict(frozen=True)

    at: float
    code: str | None = None
    rtfx: float | None = None


def route(request: Request, policy: Policy, offers: Sequence[Offer], usable: Callable[[str], bool]) -> Route:
    """Choose the backends for a job, of those that `offers` say are here.

    A job may ask for a backend that serves, stands in or is on trial here. Those that cannot do what it asks are left
    out. `usable` says whether a backend is not known to fail just now; one that is not is left out as long as another
    remains.

    Raises:
        NotServedError: it asks for another backend or model.
        UnsupportedOptionError: it asks for something that none of them can do.
    """
    here = {offer.backend: offer for offer in offers}
    if request.backend is not None and request.backend not in here:
        raise not_here(request.backend, here)
    trial = policy.canary is not None and policy.canary.takes(request.id)
    first = policy.canary.backend if policy.canary is not None and trial else policy.backend
    stand_in = policy.backend if trial else policy.fallback
    named = (request.backend,) if request.backend is not None else (first, stand_in)
    need = Need.of(request)
    reasons = {name: admits(need, here[name]) for name in named if name in here}
    able = [name for name, reason in reasons.items() if reason is None]
    refused = next(filter(None, reversed(reasons.values()) if trial else reasons.values()), None)
    if not able:
        raise refused or not_here(request.backend, here)
    return Route(able[0], tuple(name for name in able if usable(name)) or tuple(able), refused)


def falls_back(error: AsrqError) -> bool:
    """Whether another backend may do better: not for what is wrong with the job or its audio."""
    return isinstance(error, EngineError | SetupError | PoisonedError)


def cannot(error: AsrqError) -> bool:
    """Whether a backend cannot do what is asked, which another may."""
    return isinstance(error, NotServedError | UnsupportedOptionError)


def verdict(
    trial: Sequence[BackendOutcome], other: Sequence[BackendOutcome], *, now: float, since: float
) -> str | None:
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


def _slowness(outcomes: Sequence[BackendOutcome], quantile: float) -> float | None:
    """Return a quantile of the seconds of work for each second of audio, or None if there are too few."""
    found = sorted(1 / outcome.rtfx for outcome in outcomes if outcome.rtfx)
    return found[min(len(found) - 1, int(quantile * len(found)))] if len(found) >= FEWEST else None
