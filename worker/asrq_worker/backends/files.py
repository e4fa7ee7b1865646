"""Where a model's files are. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Source = Literal["folder", "wheel", "hub"]


@dataclass(frozen=True)
class ModelFiles:
    """A model on this host that is ready to load."""

    name: str
    """As it was asked for."""
    path: Path
    """Its folder."""
    source: Source
    revision: str | None
    """Wheel and version, commit of the hub, or None for a plain folder."""

    @property
    def size_mb(self) -> float:
        """What the files in its folder take, MiB."""
        return sum(path.stat().st_size for path in self.path.iterdir() if path.is_file()) / 2**20
