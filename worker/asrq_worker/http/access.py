"""The keys of the gateway that an operator has given out, as a file of their hashes.

    [anna]
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    requests = 4          # at a time
    audio_s = 36000       # a day

A key is a long random word, so a plain hash of it tells nothing. The holder's name begins the ids of the holder's
jobs, which is all that a gateway has to know to tell them from those of others.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from asrq_jobs.errors import InvalidRequestError, SettingsError, UnauthorizedError
from asrq_jobs.states import missing

_LONGEST_ID = 64
_SCHEME = "bearer "


class Holder(BaseModel):
    """The holder of a key. `requests`: how many at a time in one gateway; `audio_s`: seconds a day (UTC); None: any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_]{1,20}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    requests: int | None = Field(default=None, ge=1)
    audio_s: float | None = Field(default=None, gt=0)

    @property
    def begins(self) -> str:
        """How the ids of the holder's jobs begin."""
        return f"{self.name}-"

    def owns(self, job_id: str) -> bool:
        """Whether a job is one of the holder's."""
        return job_id.startswith(self.begins)


_holders: TypeAdapter[dict[str, dict[str, object]]] = TypeAdapter(dict[str, dict[str, object]])


def read(path: Path) -> tuple[Holder, ...]:
    """Read the file of keys.

    Raises:
        SettingsError: it cannot be read, or is none.
    """
    try:
        tables = _holders.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
        found = tuple(Holder.model_validate({**table, "name": name}) for name, table in tables.items())
    except OSError as error:
        raise SettingsError(
            f"Cannot read the keys in {path}: {error.strerror}.",
            hint="Check ASRQ_HTTP_KEYS, and who may read the file.",
        ) from None
    except (ValueError, ValidationError):
        found = ()
    if not found:
        raise SettingsError(
            f"{path} is no file of keys.",
            hint="For each a table with its name, and in it sha256: see docs/how-to/give-out-keys.md.",
        )
    return found


def holder(authorization: str, holders: Sequence[Holder]) -> Holder:
    """Return whose key a header has. That takes as long for any key.

    Raises:
        UnauthorizedError: nobody's.
    """
    key = authorization[len(_SCHEME) :] if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
    digest = hashlib.sha256(key.strip().encode()).hexdigest()
    found = [each for each in holders if hmac.compare_digest(each.sha256, digest)]
    if not key or not found:
        raise UnauthorizedError("This needs a key." if not key else "Nobody has this key.")
    return found[0]


def job_id(name: str, whose: Holder | None) -> str:
    """Return the id of a job from the name that its client gives it.

    Raises:
        InvalidRequestError: it would be too long.
    """
    found = f"{whose.begins}{name}" if whose else name
    if len(found) > _LONGEST_ID:
        raise InvalidRequestError(
            f"The key is too long: with the name before it, it has more than {_LONGEST_ID} characters."
        )
    return found


def refuse_foreign(job_id: str, whose: Holder | None) -> None:
    """Let nobody see that there are jobs of others.

    Raises:
        JobNotFoundError: it is not the holder's.
    """
    if whose is not None and not whose.owns(job_id):
        raise missing(job_id)
