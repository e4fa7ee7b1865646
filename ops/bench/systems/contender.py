"""The systems compared: each is one or more processes, started as users start them, and a module that submits to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PYTHON = sys.executable
_ASRQ = str(Path(_PYTHON).with_name("asrq"))
_QUEUES = "interactive,batch"


@dataclass(frozen=True)
class Contender:
    """`commands`: its processes, the worker first. `module`: in `contenders`, with `submit`.

    `packages` are what it needs beside asrq's environment, `alone` those that are installed without what they ask for.
    `queues`: it keeps jobs, so it can be asked for one before the others, and may give them to another worker.
    `hears`: in its own way; what only runs the loop's call on a file does with long files and noise what the loop does.
    """

    title: str
    commands: tuple[tuple[str, ...], ...]
    module: str
    packages: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    queues: bool = True
    hears: bool = True


def _python(*arguments: str) -> tuple[tuple[str, ...]]:
    return ((_PYTHON, "-m", *arguments),)


def _own(module: str, *arguments: str) -> tuple[tuple[str, ...]]:
    return _python(f"systems.contenders.{module}", *arguments)


CONTENDERS = {
    "loop": Contender("faster-whisper in a loop", _own("loop"), "loop", queues=False),
    "loop-vad": Contender("the same with its speech detection", _own("loop", "vad"), "loop", queues=False),
    "batched": Contender("BatchedInferencePipeline", _own("batched"), "batched", queues=False),
    "asrq": Contender("asrq", ((_ASRQ, "worker"), (_ASRQ, "reaper")), "asrq_client"),
    "rq": Contender(
        "RQ, model loaded per job", _python("rq.cli", "worker", "--quiet", *_QUEUES.split(",")), "rq_jobs", hears=False
    ),
    "rq-simple": Contender(
        "RQ SimpleWorker, preloaded",
        _python("rq.cli", "worker", "--quiet", "-w", "rq.SimpleWorker", *_QUEUES.split(",")),
        "rq_simple",
        hears=False,
    ),
    "celery": Contender(
        "Celery, preloaded",
        _python("celery", "-A", "systems.contenders.celery_tasks", "worker", "-c", "1", "-Q", _QUEUES, "-l", "ERROR"),
        "celery_tasks",
        ("celery[redis]==5.7.0",),
        hears=False,
    ),
    "dramatiq": Contender(
        "Dramatiq, preloaded",
        _python("dramatiq", "systems.contenders.dramatiq_actors", "-p", "1", "-t", "1"),
        "dramatiq_actors",
        ("dramatiq[redis]==2.2.1",),
        hears=False,
    ),
    "saq": Contender(
        "SAQ, preloaded",
        _python("saq", "systems.contenders.saq_functions.settings"),
        "saq_functions",
        ("saq[redis]==0.26.4",),
        hears=False,
    ),
    "whisper-live": Contender(
        "WhisperLive over HTTP",
        _own("whisper_live_rest"),
        "whisper_live_rest",
        ("websockets>=13", "fastapi>=0.110", "uvicorn>=0.30", "python-multipart>=0.0.9", "httpx>=0.27"),
        alone=("whisper-live==0.10.0",),
        queues=False,
    ),
}

ABSENT = {
    "speaches": "PyPI has no package of that name",
    "whisper.cpp": "pywhispercpp is on PyPI, but no package with a model in its format (ggml)",
}
"""Systems that cannot be measured, and why."""


def install(contender: Contender, folder: Path) -> str | None:
    """Install what a contender needs into a folder; return why that failed, if it did."""
    wanted: list[Sequence[str]] = [[*contender.packages]] if contender.packages else []
    wanted += [["--no-deps", *contender.alone]] if contender.alone else []
    for packages in wanted:
        done = subprocess.run(  # noqa: S603  # pip, with the names above
            [_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder, *packages],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    return None
