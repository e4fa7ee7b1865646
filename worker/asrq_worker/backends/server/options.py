"""What an operator says about the inference server, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from asrq_jobs import languages
from asrq_jobs.errors import SettingsError, UnknownLanguageError

Api = Literal["transcriptions", "chat"]

APIS: tuple[Api, ...] = ("transcriptions", "chat")
DEFAULT_CONCURRENCY = 4
DEFAULT_TIMEOUT_S = 50.0
"""Below `ASRQ_ENGINE_STALL_S`: a server that is slow must cost its chunk, not the engine's process."""

_KEY_HINT = "Check ASRQ_SERVER_API_KEY."
_URL_HINT = "Set ASRQ_SERVER_URL, for example to http://gpu-host:8000."


@dataclass(frozen=True)
class Options:
    """`BackendConfig.options` of the server backend."""

    url: str
    """Scheme, host, port and perhaps a path, without the `/v1` that the API's paths begin with."""
    api: Api = "transcriptions"
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = DEFAULT_CONCURRENCY
    """Requests in flight."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """Limit for one chunk: connecting, all attempts, the pauses between them, and the last byte of the answer."""
    languages: frozenset[str] = frozenset(languages.NAMES)
    """ISO 639-1 codes that the server's model can be asked for."""


def read(options: Mapping[str, Any]) -> Options:
    """Return the options; those of other backends are left out.

    Keys: `url`, and if wanted `api`, `api_key`, `concurrency`, `timeout_s` and `languages` (codes or English names).

    Raises:
        SettingsError: one is missing or does not fit; no message holds the key.
    """
    api = options.get("api") or "transcriptions"
    if api not in APIS:
        raise SettingsError(f"There is no server API {api!r}.", hint=f"Set ASRQ_SERVER_API to {' or '.join(APIS)}.")
    key = (options.get("api_key") or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("The inference server's key has characters that no header can carry.", hint=_KEY_HINT)
    concurrency = options.get("concurrency") or DEFAULT_CONCURRENCY
    timeout_s = options.get("timeout_s") or DEFAULT_TIMEOUT_S
    if concurrency < 1 or timeout_s <= 0:
        raise SettingsError(
            "The inference server's concurrency and time limit must be positive.",
            hint="Check ASRQ_SERVER_CONCURRENCY and ASRQ_SERVER_TIMEOUT_S.",
        )
    return Options(
        url=_base(options.get("url") or ""),
        api=api,
        api_key=key or None,
        concurrency=concurrency,
        timeout_s=timeout_s,
        languages=_codes(options.get("languages") or ()) or frozenset(languages.NAMES),
    )


def _base(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError("The inference server's URL is not an http or https address.", hint=_URL_HINT)
    if parts.username is not None or parts.query or parts.fragment:
        raise SettingsError(
            "The inference server's URL must have no user name, query or fragment.",
            hint="Give the key as ASRQ_SERVER_API_KEY.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


def _codes(names: Any) -> frozenset[str]:
    try:
        return frozenset(map(languages.normalize, names)) - {languages.AUTO}
    except UnknownLanguageError as error:
        raise SettingsError(f"The inference server's languages: {error.message}", hint=error.hint) from None
