"""asrq, the client side: submit speech to a queue and get text back.

from asrq_jobs import Client

with Client() as client:
    job = client.submit_file("talk.mp3", language="ru")
    print(client.wait(job.id).text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrq_jobs.aio import AsyncClient
    from asrq_jobs.client import Client
    from asrq_jobs.dead import DeadLetter
    from asrq_jobs.errors import AsrqError, ErrorInfo
    from asrq_jobs.events import Event
    from asrq_jobs.groups import AsyncGroup, Group, GroupEvent, GroupState
    from asrq_jobs.live import AsyncLive, Live
    from asrq_jobs.request import BlobAudio, LiveAudio, PathAudio, Request, UrlAudio
    from asrq_jobs.result import Result, Segment, Word
    from asrq_jobs.settings import Settings
    from asrq_jobs.states import JobState, Submitted

__version__ = "0.1.0"

# Loaded on first use, so that `asrq --help` and programs that need one name stay quick.
_HOMES = {
    "AsrqError": "errors", "AsyncClient": "aio", "AsyncGroup": "groups", "AsyncLive": "live", "BlobAudio": "request",
    "Client": "client", "DeadLetter": "dead", "ErrorInfo": "errors", "Event": "events", "Group": "groups",
    "GroupEvent": "groups", "GroupState": "groups", "JobState": "states", "Live": "live", "LiveAudio": "request",
    "PathAudio": "request", "Request": "request", "Result": "result", "Segment": "result", "Settings": "settings",
    "Submitted": "states", "UrlAudio": "request", "Word": "result",
}  # fmt: skip

__all__ = [
    "AsrqError",
    "AsyncClient",
    "AsyncGroup",
    "AsyncLive",
    "BlobAudio",
    "Client",
    "DeadLetter",
    "ErrorInfo",
    "Event",
    "Group",
    "GroupEvent",
    "GroupState",
    "JobState",
    "Live",
    "LiveAudio",
    "PathAudio",
    "Request",
    "Result",
    "Segment",
    "Settings",
    "Submitted",
    "UrlAudio",
    "Word",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"asrq_jobs.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
