"""Which model a client gets by the name that it asks for, and the names that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from asrq_jobs.errors import NotServedError


class ServedModel(BaseModel):
    """A name that transcriptions can be asked for, as OpenAI's API lists models."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str


class Models(BaseModel):
    """All of them."""

    object: str = "list"
    data: list[ServedModel]


def _offered(workers: Mapping[str, Any]) -> dict[str, str]:
    """Return the models that workers say they serve, each with its backend; `workers` as a client gets them.

    The model of a backend that has only one may have no name, which nobody can ask for.
    """
    return {
        offer["model"]: str(offer.get("backend"))
        for offer in sorted(offers(workers), key=lambda offer: str(offer["model"]))
    }


def offers(workers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what workers have announced of each backend of theirs that serves."""
    return [offer for announced in workers.values() for offer in _offers(announced) if "error" not in offer]


def _offers(announced: Any) -> list[dict[str, Any]]:
    serves = announced.get("serves") if isinstance(announced, dict) else None
    listed = serves if isinstance(serves, list) else []
    return [offer for offer in listed if isinstance(offer, dict) and isinstance(offer.get("model"), str)]


def listing(names: Mapping[str, str], workers: Mapping[str, Any]) -> Models:
    """Return what can be asked for: the models that workers serve, and the operator's names for them.

    `names` has the model of each name of the operator's, or nothing for whatever the workers serve.
    """
    here = _offered(workers)
    ours = [
        ServedModel(id=name, owned_by="asrq") for name, model in names.items() if (model in here if model else here)
    ]
    named = {model.id for model in ours}
    return Models(
        data=[*ours, *(ServedModel(id=id_, owned_by=by) for id_, by in here.items() if id_ not in {"", *named})]
    )


def chosen(name: str, names: Mapping[str, str], workers: Mapping[str, Any]) -> str | None:
    """Return the model that a job is to name for a name that a client asks for; None: whatever the workers serve.

    The operator's names come first, then the models that a worker serves now.

    Raises:
        NotServedError: it is neither.
    """
    if name in names:
        return names[name] or None
    if name in (here := _offered(workers)):
        return name
    known = ", ".join(dict.fromkeys(each for each in (*names, *here) if each))
    raise NotServedError(f"There is no model {name!r} here.", hint=f"Models: {known}.")
