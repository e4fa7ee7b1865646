"""What an examination finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from asrq_jobs import extras
from asrq_jobs.cli import failure
from asrq_jobs.errors import AsrqError, ExtraMissingError, StorageError

Status = Literal["ok", "off", "warn", "fail"]
"""`off`: it is not set up here, and nothing asks for it."""


@dataclass(frozen=True)
class Check:
    """One finding: `fix` is what to do about it, None where nothing is to be done."""

    name: str
    status: Status
    message: str
    fix: str | None = None


def failed(name: str, error: Exception) -> Check:
    """Return the finding that a question has failed: what is examined may be broken in any way."""
    told = _told(error)
    return Check(name, "fail", told.message, told.hint)


def guarded(name: str, question: Callable[[], Check]) -> Check:
    """Return what a check finds; if it fails, that is a finding, too, and the next check follows."""
    try:
        return question()
    except Exception as error:  # noqa: BLE001  # see `failed`
        return failed(name, error)


def _told(error: Exception) -> AsrqError:
    if isinstance(error, ImportError):
        return ExtraMissingError(f"A package is missing or broken: {error}.", hint=extras.hint("worker"))
    if isinstance(error, OSError):
        return StorageError(f"The system does not let this user look: {error}.")
    return error if isinstance(error, AsrqError) else failure.from_defect(error)
