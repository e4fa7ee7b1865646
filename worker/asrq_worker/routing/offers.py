"""Which worker can serve a job: pure decisions from the needs of jobs and the offers of workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict

from asrq_jobs import languages
from asrq_jobs.errors import AsrqError, ErrorInfo, NotServedError, RequestError, from_info
from asrq_jobs.lanes import parse_lanes
from asrq_jobs.request import PathAudio, Request, Task
from asrq_worker.backends.base import Capabilities, Identity
from asrq_worker.routing.admission import admit

_Extra = Literal["word_timestamps", "prompt", "hotwords"]
_EXTRAS: tuple[_Extra, ...] = get_args(_Extra)
_ANYTHING = Capabilities(
    languages=frozenset(languages.NAMES),
    tasks=frozenset(get_args(Task)),
    word_timestamps=True,
    prompt=True,
    hotwords=True,
)


class Offer(BaseModel):
    """A backend of a worker, as the worker registers it in `asrq:hosts`.

    `capabilities` are None until it was first loaded: it may be able to do anything. `on_request`: it serves only jobs
    that ask for it by name. `error`: why it cannot be loaded.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    backend: str
    model: str
    on_request: bool = False
    capabilities: Capabilities | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True)
class Need:
    """What a request asks of a worker; any that can do that may serve it.

    As text, it names the list of the jobs that wait for such a worker: `qwen`, `language=ru`,
    `model=large-v3+task=translate`, `whisper+with=prompt,hotwords`.
    """

    backend: str | None = None
    model: str | None = None
    language: str = languages.AUTO
    languages: tuple[str, ...] = ()
    task: Task = "transcribe"
    extras: tuple[_Extra, ...] = ()

    @classmethod
    def of(cls, request: Request) -> Need:
        """Return what a request needs."""
        extras = tuple(name for name in _EXTRAS if getattr(request, name))
        return cls(request.backend, request.model, request.language, request.languages, request.task, extras)

    @classmethod
    def parse(cls, text: str) -> Need:
        """Return the need that a text names.

        Raises:
            ValueError: it names none.
        """
        first, *others = text.split("+")
        backend = [] if "=" in first else [first]
        parts = dict(part.split("=", 1) for part in (*others, *([] if backend else [first])))
        need = cls(
            _unquoted(backend[0]) if backend else None,
            _unquoted(parts["model"]) if "model" in parts else None,
            parts.get("language", languages.AUTO),
            tuple(parts["languages"].split(",")) if "languages" in parts else (),
            "translate" if "task" in parts else "transcribe",
            tuple(name for name in _EXTRAS if name in parts.get("with", "").split(",")),
        )
        if str(need) != text:
            raise ValueError(f"{text!r} names no need")
        return need

    def __str__(self) -> str:
        parts = [_quoted(self.backend)] if self.backend is not None else []
        parts += [f"model={_quoted(self.model)}"] if self.model is not None else []
        parts += [f"language={self.language}"] if self.language != languages.AUTO else []
        parts += [f"languages={','.join(self.languages)}"] if self.languages else []
        parts += ["task=translate"] if self.task == "translate" else []
        parts += [f"with={','.join(self.extras)}"] if self.extras else []
        return "+".join(parts) or f"language={languages.AUTO}"

    def request(self) -> Request:
        """Return a request that needs this, and nothing else.

        Raises:
            RequestError: no request can.
        """
        asked = {"word_timestamps": True, "prompt": "x", "hotwords": ("x",)}
        return Request.build(
            id="need",
            audio=PathAudio(path="-"),
            backend=self.backend,
            model=self.model,
            language=self.language,
            languages=self.languages,
            task=self.task,
            **{name: asked[name] for name in self.extras},
        )


def _quoted(text: str) -> str:
    """Leave letters, digits and `_.-` as they are: a dashboard puts the name of a list into an address."""
    return quote(text, safe="").replace("~", "%7E").replace("%", "~")


def _unquoted(text: str) -> str:
    return unquote(text.replace("~", "%"), errors="strict")


def refusal(need: Need, offers: Sequence[Offer]) -> AsrqError | None:
    """Return why none of a worker's backends can serve what is needed, or None if one can.

    Where several cannot, the reason is that of the one that serves.
    """
    if need.backend is not None:
        asked = [offer for offer in offers if offer.backend == need.backend]
    else:
        asked = [offer for offer in offers if not offer.on_request]
    if not asked:
        return not_here(need.backend, (offer.backend for offer in offers))
    reasons = [_reason(need, offer) for offer in asked]
    return None if None in reasons else reasons[0]


def not_here(backend: str | None, here: Iterable[str]) -> NotServedError:
    """Return the error for a backend that a worker does not have."""
    known = ", ".join(dict.fromkeys(here))
    return NotServedError(
        f"The backend {backend} is not served here.", hint=f"Leave backend out, or ask for one of: {known}."
    )


def admits(need: Need, offer: Offer) -> AsrqError | None:
    """Return why a backend cannot do what is needed, as far as is known before it was loaded; None if it can."""
    identity = Identity(offer.backend, "", offer.model, None, "", "")
    try:
        admit(_asking(need), identity, offer.capabilities or _ANYTHING)
    except RequestError as error:
        return error
    return None


@lru_cache(maxsize=256)  # for each job several times, and most need the same
def _asking(need: Need) -> Request:
    return need.request()


def _reason(need: Need, offer: Offer) -> AsrqError | None:
    return from_info(offer.error) if offer.error is not None else admits(need, offer)


class Registration(BaseModel):
    """The entry of a worker in `asrq:hosts`, as far as it says which jobs it can serve."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lanes: str
    serves: tuple[Offer, ...] = ()

    @classmethod
    def read(cls, announced: bytes | str) -> Registration | None:
        """Parse an entry; None if it is malformed: others may have written it."""
        try:
            read = cls.model_validate_json(announced)
            parse_lanes(read.lanes)
        except ValueError:
            return None
        return read

    def serves_lane(self, lane: str) -> bool:
        """Whether the worker takes jobs from a lane."""
        return bool(parse_lanes(self.lanes).get(lane))


def served(need: Need, lane: str, workers: Iterable[Registration]) -> bool:
    """Whether one of the workers can serve a job of this lane that needs this."""
    return any(worker.serves_lane(lane) and refusal(need, worker.serves) is None for worker in workers)
