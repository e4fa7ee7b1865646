"""What an operator says about the inference server, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr

from asrq_jobs import languages
from asrq_jobs.errors import SettingsError, UnknownLanguageError

Api = Literal["transcriptions", "chat"]

_KEY_HINT = "Check ASRQ_SERVER_API_KEY."
_URL_HINT = "Set ASRQ_SERVER_URL, for example to http://gpu-host:8000."


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


@dataclass(frozen=True)
class Options:
    """The settings of this backend; `model` reaches it as `BackendConfig.model`."""

    model: Annotated[str, Field(description="Model name at the inference server.")] = ""
    url: Annotated[str, Field(description="Address of an OpenAI-compatible inference server.")] = ""
    api: Annotated[Api, Field(description="Which of its two interfaces.")] = "transcriptions"
    api_key: Annotated[SecretStr | None, Field(description="Its key.")] = None
    concurrency: Annotated[int, Field(ge=1, le=256, description="Requests to it at the same time.")] = 4
    # Below `ASRQ_ENGINE_STALL_S`: a server that is slow must cost its chunk, not the engine's process.
    timeout_s: Annotated[float, Field(gt=0, description="Limit for one chunk there; below engine_stall_s.")] = 50.0
    languages: Annotated[
        tuple[str, ...], BeforeValidator(_split), Field(description="Languages it knows; none: all.")
    ] = ()


def checked(options: Options) -> Options:
    """Return the options as the backend uses them.

    The URL has scheme, host, port and perhaps a path, without the `/v1` that the API's paths begin with; the languages
    are ISO 639-1 codes, all of them where none was given.

    Raises:
        SettingsError: one does not fit; no message holds the key.
    """
    key = options.api_key.get_secret_value().strip() if options.api_key else ""
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("The inference server's key has characters that no header can carry.", hint=_KEY_HINT)
    return replace(
        options,
        url=_base(options.url),
        api_key=SecretStr(key) if key else None,
        languages=tuple(sorted(_codes(options.languages) or languages.NAMES)),
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
