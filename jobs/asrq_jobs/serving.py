"""What a client can know of the backends that serve its jobs: those that come with asrq, and what workers report."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from asrq_jobs import plugins
from asrq_jobs.errors import NotServedError


def refuse_unknown(backend: str, workers: Mapping[str, Any]) -> None:
    """Refuse the name of a backend that nobody knows; `workers` is the last status of each, by name.

    Raises:
        NotServedError: it neither comes with asrq, nor does a worker say that it has or serves it.
    """
    known = dict.fromkeys((*plugins.OURS, *(name for status in workers.values() for name in _names(status))))
    if backend in known:
        return
    near = difflib.get_close_matches(backend.lower(), known, n=2)
    raise NotServedError(
        f"There is no backend {backend!r}.",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"Backends: {', '.join(known)}.",
    )


def absence(backend: str | None, model: str | None, workers: Mapping[str, Any], there: Collection[str]) -> str | None:
    """Return a sentence if no worker that is there serves a backend and a model; None: any of them.

    `workers` is the last status of each, by name, with those that stopped a short while ago.
    """
    able = [
        name
        for name, status in workers.items()
        for offer in _offers(status)
        if "error" not in offer and backend in {None, offer.get("backend")} and model in {None, offer.get("model")}
    ]
    if any(name in there for name in able):
        return None
    names = (("backend", backend), ("model", model))
    what = " with ".join(f"the {kind} {name}" for kind, name in names if name is not None)
    if able:
        return f"no worker that serves {what} runs now: the job waits for one"
    return f"no worker that is registered serves {what}: if another one takes the job, it fails"


def unproven(backend: str, workers: Mapping[str, Any]) -> str | None:
    """Return a sentence if no worker that is there has loaded a backend yet, with why it cannot be; None: one has."""
    told = [
        (name, offer)
        for name, status in workers.items()
        for offer in _offers(status)
        if offer.get("backend") == backend
    ]
    if any(offer.get("capabilities") and "error" not in offer for _, offer in told):
        return None
    failed = [
        f"{name}: {error.get('message')}" for name, offer in told if isinstance(error := offer.get("error"), dict)
    ]
    why = f" ({'; '.join(failed)})" if failed else ""
    return f"no worker that is there has loaded {backend} yet{why}; have them try now: asrq models load {backend}"


def by_settings(workers: Mapping[str, Any]) -> set[tuple[str, str | None]]:
    """Return what serves and what stands in while no policy is in force, as the workers that are there report it: a
    pair for each choice that their settings make."""
    usual = [
        [str(offer.get("backend")) for offer in _offers(status) if not offer.get("on_request")]
        for status in workers.values()
    ]
    return {(names[0], names[1] if len(names) > 1 else None) for names in usual if names}


def nobody(workers: Mapping[str, Any]) -> str | None:
    """Return a sentence if none of the workers that are there takes jobs, or will once its model is loaded, with what
    blocks those that cannot write; None: one does."""
    states = {status["state"] for status in workers.values()}
    if states - {"draining", "blocked"}:
        return None
    if "blocked" not in states:
        return "no worker is there: the jobs wait until one starts (asrq worker)"
    blocked = [status.get("problem") for status in workers.values() if status["state"] == "blocked"]
    problems = dict.fromkeys(str(problem or "they cannot write").removesuffix(".") for problem in blocked)
    return f"no worker takes jobs: {'; '.join(problems)}"


def _names(status: Any) -> Iterator[str]:
    installed = status.get("backends") if isinstance(status, dict) else None
    yield from map(str, installed if isinstance(installed, list) else ())
    yield from (str(offer.get("backend")) for offer in _offers(status))


def _offers(status: Any) -> Iterator[dict[str, Any]]:
    """What a worker says that it serves; nothing, if somebody else has written it."""
    serves = status.get("serves") if isinstance(status, dict) else None
    yield from (offer for offer in serves if isinstance(offer, dict)) if isinstance(serves, list) else ()
