"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding: `mend` is what to do about it, None where nothing is to be done."""

    name: str
    status: Status
    message: str
    mend: str | None = None
