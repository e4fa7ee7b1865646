"""Whether a process does its work: pure judgements of facts, with the reason for each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Requirement:
    """One thing that must hold; `message` describes it."""

    name: str
    ok: bool
    message: str


@dataclass(frozen=True)
class Health:
    """The body of /healthz and /readyz. `state` is where the process is in its life."""

    state: str
    checks: tuple[Requirement, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"ok": self.ok, "state": self.state, "checks": [asdict(check) for check in self.checks]}


def worker_lives(state: str, *, hanging: Sequence[str], ended: Sequence[str]) -> Health:
    """Judge whether a worker is to be restarted: a restart would fix what is wrong.

    Args:
        state: of the worker.
        hanging: backends whose engine is past its deadline and should long have been killed.
        ended: names of threads that should run and do not.
    """
    return Health(
        state,
        (
            Requirement("engine", not hanging, f"Hanging: {', '.join(hanging)}." if hanging else "No engine hangs."),
            _threads_run(ended),
        ),
    )


def worker_serves(
    state: str,
    *,
    serving: Sequence[str],
    warm: Collection[str],
    blocked: str | None,
    redis_error: str | None,
) -> Health:
    """Judge whether a worker takes jobs and can do them.

    Args:
        state: of the worker.
        serving: backends that the policy names, the one that stands in included.
        warm: backends whose engine is loaded, warmed up and running.
        blocked: why it cannot write what jobs need written, or None.
        redis_error: why Redis does not answer, or None.
    """
    able = [backend for backend in serving if backend in warm]
    model = f"Warm: {', '.join(able)}." if able else f"Not loaded: {', '.join(serving)}."
    return Health(
        state,
        (
            Requirement("state", state == "ready", f"The worker is {state}."),
            Requirement("model", bool(able), model),
            Requirement("storage", blocked is None, blocked or "Audio can be kept."),
            _redis_answers(redis_error),
        ),
    )


def reaper_lives(
    state: str, *, silent_s: float, patience_s: float, redis_error: str | None, ended: Sequence[str]
) -> Health:
    """Judge whether a reaper is to be restarted: it has not looked for too long although Redis answers.

    `silent_s` is the time since its last look, or since its start; `ended` names threads that should run and do not.
    """
    ok = silent_s <= patience_s or redis_error is not None
    return Health(state, (Requirement("rounds", ok, f"The last look was {silent_s:.0f} s ago."), _threads_run(ended)))


def reaper_serves(state: str, *, silent_s: float, patience_s: float, redis_error: str | None) -> Health:
    """Judge whether a reaper leads, or stands by to lead."""
    ok = state != "starting" and silent_s <= patience_s
    message = "It has not looked yet." if state == "starting" else f"The last look was {silent_s:.0f} s ago."
    return Health(state, (Requirement("rounds", ok, message), _redis_answers(redis_error)))


def _threads_run(ended: Sequence[str]) -> Requirement:
    """Judge the threads that the process cannot do without."""
    return Requirement("threads", not ended, f"Ended: {', '.join(ended)}." if ended else "All threads run.")


def gateway_serves(redis_error: str | None) -> Health:
    """Judge whether a gateway can make jobs of requests; `redis_error` says why Redis does not answer, if so."""
    return Health("ready", (_redis_answers(redis_error),))


def _redis_answers(error: str | None) -> Requirement:
    """Judge Redis."""
    return Requirement("redis", error is None, error or "Redis answers.")
