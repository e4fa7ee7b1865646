"""Which backends there are, as far as a client can know: those that come with asrq, and those that workers say."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from asrq_jobs.errors import NotServedError

BACKENDS: Final = ("whisper", "qwen", "server", "onnx")
"""Those that come with asrq."""


def refuse_unknown(backend: str, workers: Mapping[str, Any]) -> None:
    """Refuse the name of a backend that nobody knows; `workers` is what each announced last, by name.

    Raises:
        NotServedError: it neither comes with asrq, nor does a worker say that it serves it.
    """
    known = dict.fromkeys((*BACKENDS, *_served(workers)))
    if backend in known:
        return
    near = difflib.get_close_matches(backend.lower(), known, n=2)
    raise NotServedError(
        f"There is no backend {backend!r}.",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"Backends: {', '.join(known)}.",
    )


def _served(workers: Mapping[str, Any]) -> Iterator[str]:
    for announced in workers.values():
        engines = announced.get("engines") if isinstance(announced, dict) else None
        if isinstance(engines, dict):
            yield from engines
