"""A transcript is put where its job says, before anybody hears that the job has completed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from asrq_jobs import formats
from asrq_jobs.errors import DeliveryError, DeliveryRefusedError, UrlNotAllowedError
from asrq_jobs.formats import Format
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.audio import url as urls
from asrq_worker.audio import web
from asrq_worker.audio.url import Rules

_POLL_S = 0.2
_PRIVATE = "Name a public host, or ask the operator to set ASRQ_URL_PRIVATE_HOSTS."
_LONGEST_S = 120.0
_LOOK_S = 20.0
_FORMATS: dict[str, Format] = {".txt": "txt", ".srt": "srt", ".vtt": "vtt", ".tsv": "tsv"}


def refuse(address: str, settings: Settings, check: Callable[[], None]) -> None:
    """Refuse an address to which nothing may be delivered. A host that is not found now may be found later.

    Names are looked up in a thread of their own; `check` as in `deliver`.

    Raises:
        DeliveryRefusedError: it is malformed, the operator has not listed its scheme, its host is not public, or nobody
            can allow it.
    """
    try:
        urls.check_scheme(address, settings.deliver_schemes)
        _form_of(address)
    except ValueError:
        raise DeliveryRefusedError("The URL is malformed.", hint="Check the address.") from None
    except UrlNotAllowedError as error:
        hint = "Check the address, or ask the operator to list its scheme in ASRQ_DELIVER_SCHEMES."
        raise DeliveryRefusedError(error.message, hint=hint) from None
    with suppress(_LateError):
        _done(lambda: urls.look_at(address, _rules(settings)), check, within_s=_LOOK_S)


def _form_of(address: str) -> Format:
    """Return the format that the ending of an address asks for: JSON, unless it is another one's.

    Raises:
        ValueError: the address is malformed.
    """
    return _FORMATS.get(PurePosixPath(urlsplit(address).path).suffix.lower(), "json")


def deliver(result: Result, address: str, settings: Settings, check: Callable[[], None]) -> None:
    """Put a result, in the format of the address, with PUT or through fsspec; what was there is replaced.

    The network is used in a thread of its own, so that `check` is called five times a second even if the network hangs;
    what it raises passes on.

    Raises:
        DeliveryRefusedError: it may not go there, or is not accepted.
        DeliveryError: the network failed, or it took longer than two minutes.
    """
    refuse(address, settings, check)
    content = formats.render(result, _form_of(address)).encode()
    rules = _rules(settings)

    def put() -> None:
        if address.partition("://")[0].lower() in web.SCHEMES:
            web.put(address, content, schemes=rules.schemes, private_hosts=rules.private_hosts)
        else:
            urls.write(address, content, rules)

    try:
        _done(put, check, within_s=_LONGEST_S)
    except _LateError:
        raise DeliveryError(f"The transcript could not be delivered within {_LONGEST_S:g} s.") from None


class _LateError(Exception):
    """What was to be done was not done in time."""


def _rules(settings: Settings) -> Rules:
    return Rules(settings.deliver_schemes, settings.url_private_hosts)


def _done(act: Callable[[], None], check: Callable[[], None], *, within_s: float) -> None:
    """Do what may hang in a thread of its own, and wait for it."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  # it is raised again, by the thread that waits
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="deliver", daemon=True).start()
    for _ in range(round(within_s / _POLL_S)):
        check()
        try:
            return done.result(_POLL_S)
        except UrlNotAllowedError as error:
            raise DeliveryRefusedError(error.message, hint=_PRIVATE) from error
        except NotYetError:
            if done.done():
                raise
    raise _LateError
