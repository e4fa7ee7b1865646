"""Keeps nagisa, which divides Japanese into words for the forced aligner, out of the way until it is needed.

`qwen-asr` imports it for every language, and its import reads a model: seconds of each start and much of the memory.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_NAME = "nagisa"


class _Later(ModuleType):
    """Stands where the package will; `importlib.util.LazyLoader` loads already when somebody looks for the file."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)


def put_off() -> None:
    """Have `import nagisa` load nothing until something of it is used; not for several threads."""
    if _NAME in sys.modules or (spec := importlib.util.find_spec(_NAME)) is None:
        return
    later = _Later(_NAME)
    later.__spec__ = spec
    sys.modules[_NAME] = later
