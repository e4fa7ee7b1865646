"""What an operator says about the ONNX backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True)
class Options:
    """The settings of this backend; `model` reaches it as `BackendConfig.model`."""

    model: Annotated[str, Field(description="Folder of an ONNX export.")] = ""
    kind: Annotated[str, Field(description="What the export is, as onnx-asr names it.")] = "whisper"
