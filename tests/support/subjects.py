"""What the chaos is done to: the backends, how their workers are set up, and the kinds of jobs that suit each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from asrq_worker.backends.whisper import models

Sort = Literal["short", "long", "garbage"]


@dataclass(frozen=True)
class JobKind:
    """What is asked of a job, how often (`weight`), and the `endings` (statuses, error codes) that are right for it."""

    weight: float
    endings: frozenset[str]
    prompt: str | None = None
    """Commands for the fake backend; {file} stands for the path of a file that only this job knows."""
    audio: Sort = "short"
    retries: int = 20
    queue_ttl_s: int | None = None
    canceled: bool = False
    webhook: bool = False


_COMPLETED = frozenset({"completed"})
_LOST = frozenset({"worker_lost", "decoder_crashed"})  # of few attempts, the chaos may have taken the last
_UNSCRIPTED = {
    "plain": JobKind(70, _COMPLETED),
    "webhook": JobKind(3, _COMPLETED, webhook=True),
    "long": JobKind(3, _COMPLETED, audio="long"),
    "expiring": JobKind(3, _COMPLETED | {"expired"}, queue_ttl_s=2, webhook=True),
    "garbage": JobKind(2, frozenset({"audio_unreadable"}), audio="garbage", webhook=True),
    "canceled": JobKind(5, _COMPLETED | {"canceled"}, canceled=True),
}
_SCRIPTED = _UNSCRIPTED | {
    "canceled": replace(_UNSCRIPTED["canceled"], prompt="sleep:0.2"),
    "slow": JobKind(10, _COMPLETED, "sleep:0.3"),
    "hang": JobKind(0.1, _LOST | {"poisoned"}, "hang", retries=2),
    "crash": JobKind(0.3, frozenset({"poisoned"}), "crash"),
    "broken": JobKind(2, _LOST | {"inference_failed"}, "fail", retries=1, webhook=True),
    "too_long": JobKind(1, _COMPLETED, "oom-over:10", audio="long"),
    "hungry": JobKind(0.3, _COMPLETED, "oom-in:{file}"),
    "insatiable": JobKind(0.2, _LOST | {"out_of_memory"}, "oom", retries=1),
    "leaking": JobKind(3, _COMPLETED, "grow:8"),
}


@dataclass(frozen=True)
class Subject:
    """A backend under the chaos. `child_pause_s` is the longest that a child is stopped: past the limit of a hang."""

    kinds: dict[str, JobKind]
    speech: tuple[str, ...]
    """Recordings in tests/data that it has a stable text for."""
    settings: dict[str, str]
    wear: tuple[dict[str, str], ...]
    """What workers in turn are set to, so that their engines are replaced while they serve."""
    child_pause_s: float
    missing: str | None = None
    """What this machine lacks for it."""


def subject(backend: str) -> Subject:
    """What to do the chaos to for `fake` or `whisper` (with tiny.en)."""
    if backend == "fake":
        return Subject(
            _SCRIPTED,
            ("hello-en", "hello-ru"),
            {"MODEL": "m", "PARALLEL": "4", "ENGINE_STALL_S": "3", "ENGINE_SLOWNESS": "0.5"},
            ({"ENGINE_MAX_BATCHES": "30"}, {"ENGINE_MAX_RSS_MB": "100"}),
            child_pause_s=8,
        )
    there = any(model.name == "tiny.en" and model.ready for model in models.available(Path()))
    return Subject(
        _UNSCRIPTED,
        ("hello-en",),
        {"MODEL": "tiny.en", "ENGINE_STALL_S": "5", "ENGINE_SLOWNESS": "1"},
        ({"ENGINE_MAX_BATCHES": "40"}, {}),
        child_pause_s=16,
        missing=None if there else "the model tiny.en (the extra demo)",
    )
