"""Stores such as S3, through fsspec: what is below an address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from asrq_jobs.errors import ExtraMissingError, UsageError
from asrq_jobs.redaction import redacted, redacted_url
from asrq_jobs.sources import MEDIA_EXTENSIONS

_WEB = ("http", "https")
"""Schemes whose addresses name one file each: the web has no listing."""
_WILDCARDS = "*?["
_FINGERPRINTS = ("ETag", "etag", "md5Hash", "content_md5", "checksum")


@dataclass(frozen=True)
class Stored:
    """A file in a store. `name` is its path from where the listing began, `version` changes with its content."""

    name: str
    url: str
    version: str


def is_listed(address: str) -> bool:
    """Whether an address means several files: a folder, with a slash at its end, or a pattern."""
    scheme, _, rest = address.partition("://")
    return scheme.lower() not in _WEB and (rest.endswith("/") or any(sign in rest for sign in _WILDCARDS))


def opened(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path of the address in it.

    Raises:
        ExtraMissingError: a package for the scheme is not installed.
        UsageError: the address has no meaning, or the store does not let us in.
    """
    scheme = address.partition("://")[0]
    try:
        import fsspec

        files, path = fsspec.url_to_fs(address)
    except ImportError as error:
        raise ExtraMissingError(
            f"Addresses of the scheme {scheme} need a package: {error}.",
            hint="Install fsspec and the package for the scheme beside asrq, such as s3fs for s3://….",
        ) from None
    except Exception as error:  # each file system raises errors of its own library
        raise _cannot("use", address, error) from error
    return files, str(path)


def listed(address: str) -> Iterator[Stored]:
    """Yield the audio and video files of a folder, or the files that a pattern finds, sorted; hidden ones are left out.

    Raises:
        ExtraMissingError: a package for the scheme is not installed.
        UsageError: the store does not answer, or not us.
    """
    base = _before_wildcards(address)
    files, root = opened(base)
    try:
        if base == address:
            found = files.find(root, detail=True)
        else:
            found = files.glob(root.rstrip("/") + "/" + address.removeprefix(base), detail=True)
    except Exception as error:  # each file system raises errors of its own library
        raise _cannot("list", address, error) from error
    for path, info in sorted(found.items()):
        name = path.removeprefix(root.rstrip("/")).lstrip("/")
        if info.get("type") == "file" and _is_taken(name, any_ending=base != address):
            yield Stored(name, f"{base}{name}", _version(info))


def _cannot(do: str, address: str, error: Exception) -> UsageError:
    return UsageError(
        f"Cannot {do} {redacted_url(address)}: {type(error).__name__}: {redacted(str(error))}.",
        hint="Check the address and the credentials; they are those that fsspec's package for the scheme takes.",
    )


def _is_taken(name: str, *, any_ending: bool) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and (any_ending or path.suffix.lower() in MEDIA_EXTENSIONS)


def _before_wildcards(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    first = min((rest.index(sign) for sign in _WILDCARDS if sign in rest), default=len(rest))
    return scheme + separator + rest[: rest.rfind("/", 0, first) + 1]


def _version(info: Mapping[str, Any]) -> str:
    """Return what a store says of a file's content, or else its size and when it was written."""
    for field in _FINGERPRINTS:
        if info.get(field):
            return str(info[field])
    written = (info.get(field) for field in ("mtime", "LastModified", "last_modified", "updated", "modify", "created"))
    return f"{info.get('size')} {next((when for when in written if when is not None), '')}"
