"""What an operator says about the Whisper backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True)
class Options:
    """The settings of this backend; `model` reaches it as `BackendConfig.model`."""

    model: Annotated[str, Field(description="Size name (tiny.en, base, small, …), hub id, or path of a folder.")] = (
        "base"
    )
    beam_size: Annotated[
        int | None,
        Field(
            ge=1, le=20, description="Whisper's beam; 1: a greedy search. Unset: 1 for short, clear English, else 5."
        ),
    ] = None
