"""What an operator says about the Qwen backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True)
class Options:
    """The settings of this backend; `model` reaches it as `BackendConfig.model`."""

    model: Annotated[str, Field(description="0.6b, 1.7b, hub id, or path of a folder.")] = "1.7b"
    attention: Annotated[str | None, Field(description="Attention of Qwen: sdpa, flash_attention_2, eager.")] = None
    aligner: Annotated[str | None, Field(description="Forced aligner for word timestamps of Qwen: path or hub id.")] = (
        None
    )
    max_tokens: Annotated[int, Field(ge=32, description="Longest output of a chunk; what hits it is split.")] = 512
