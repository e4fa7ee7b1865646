"""Error reports to Sentry, when a DSN is set: only defects, and never what users say or where their files are.

An event is built from a list of what it may hold; anything else that the SDK gathers, now or in a later version, is
not sent.
"""

from __future__ import annotations

import platform
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from asrq_jobs import __version__, extras
from asrq_jobs.errors import (
    AsrqError,
    DecoderCrashedError,
    DecoderTimeoutError,
    EngineCrashedError,
    EngineTimeoutError,
    ExtraMissingError,
    InferenceError,
    InternalError,
    MalformedOutputError,
    PoisonedError,
    SettingsError,
)
from asrq_jobs.settings import Settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

# Their sentences are made of numbers, signals and what the system says: of all messages, these alone are sent.
_ENDS = (EngineCrashedError, EngineTimeoutError, DecoderCrashedError, DecoderTimeoutError, PoisonedError)
_DEFECTS = (*_ENDS, InferenceError, InternalError, MalformedOutputError)
_EVENT = ("event_id", "timestamp", "level", "platform", "release", "environment", "sdk", "tags")
_EXCEPTION = ("type", "module", "mechanism")
_FRAME = ("function", "module", "lineno", "in_app", "pre_context", "context_line", "post_context")
_NAMES = re.compile(r"""'[^']*'|"[^"]*"|\S*[/\\]\S*""")

_QUIET_S = 3600.0
_FLUSH_S = 2.0

_reporting: _Reporting | None = None


def configure(settings: Settings) -> None:
    """Start reporting if `sentry_dsn` is set.

    Raises:
        ExtraMissingError: a DSN is set and sentry-sdk is not installed.
        SettingsError: the DSN is none.
    """
    global _reporting  # noqa: PLW0603  # as global as the SDK that it switches on
    if settings.sentry_dsn is None:
        return
    try:
        import sentry_sdk
    except ImportError:
        raise ExtraMissingError(
            "ASRQ_SENTRY_DSN is set, but sentry-sdk is not installed.", hint=extras.hint("sentry")
        ) from None
    try:
        sentry_sdk.init(
            dsn=settings.sentry_dsn.get_secret_value(),
            release=f"asrq@{__version__}",
            default_integrations=False,  # they look at requests, arguments, logs and other people's code
            include_local_variables=False,
            auto_session_tracking=False,
            max_breadcrumbs=0,
            before_send=_scrubbed,
        )
    except ValueError:  # whose words quote it, and with it the key
        raise SettingsError(
            "Setting sentry_dsn: it is not the address of a project.",
            hint="Copy it from the project's settings in Sentry: https://key@host/1.",
        ) from None
    _tag(python=platform.python_version(), system=platform.system())
    _reporting = _Reporting(settings)


def name_worker(name: str) -> None:
    """Tag what is reported from now on with the worker's name."""
    if _reporting is not None:
        _tag(worker=name)


def capture(
    error: BaseException, *, job_id: str | None = None, lane: str | None = None, backend: str | None = None
) -> None:
    """Report a defect; does nothing for any other failure, for one reported within the last hour, or without a DSN.

    `backend` None: the one that serves by the settings.
    """
    reporting = _reporting  # which another thread may end
    if reporting is None or (isinstance(error, AsrqError) and not isinstance(error, _DEFECTS)):
        return
    import sentry_sdk

    backend = backend or reporting.settings.backend
    if not reporting.is_news(error, backend, time.monotonic()):
        return
    model = reporting.settings.model_of(backend).replace("\\", "/").rpartition("/")[2]
    tags = {
        "job_id": job_id,
        "lane": lane,
        "backend": backend,
        "model": model,
        "code": error.code if isinstance(error, AsrqError) else None,
    }
    with sentry_sdk.new_scope() as scope:
        for name, value in tags.items():
            if value is not None:
                scope.set_tag(name, value)
        scope.capture_exception(error)


def close() -> None:
    """Send what still waits to be sent, for at most two seconds, and stop reporting."""
    global _reporting  # noqa: PLW0603  # as `configure`
    if _reporting is None:
        return
    import sentry_sdk

    _reporting = None
    sentry_sdk.get_client().close(timeout=_FLUSH_S)


def _scrubbed(event: Event, hint: Hint) -> Event:
    """Return what may leave of an event: type, stack and tags. Messages may quote a path or a text, and stay here."""
    del hint
    values: list[dict[str, Any]] = event.get("exception", {}).get("values", [])
    kept: dict[str, Any] = {name: event[name] for name in _EVENT if name in event}  # type: ignore[literal-required]  # names of its keys
    kept["exception"] = {"values": [_exception(value) for value in values]}
    return kept  # type: ignore[return-value]  # as above


def _exception(value: dict[str, Any]) -> dict[str, Any]:
    ours = (value.get("module"), value["type"]) in {(kind.__module__, kind.__name__) for kind in _ENDS}
    frames = value.get("stacktrace", {}).get("frames", [])
    return {
        **{name: value[name] for name in _EXCEPTION if name in value},
        "value": _NAMES.sub("…", value["value"]) if ours else "(removed)",
        "stacktrace": {"frames": [_frame(frame) for frame in frames]},
    }


def _frame(frame: dict[str, Any]) -> dict[str, Any]:
    """Keep the code; of a file that belongs to no package, the name without its folders."""
    file = frame.get("filename") or ""
    if file == frame.get("abs_path"):
        file = file.replace("\\", "/").rpartition("/")[2]
    return {**{name: frame[name] for name in _FRAME if name in frame}, "filename": file}


def _tag(**tags: str) -> None:
    import sentry_sdk

    for name, value in tags.items():
        sentry_sdk.get_global_scope().set_tag(name, value)  # the other scopes belong to one thread


class _Reporting:
    """What is reported for whom, and what was reported lately: a job that fails alike at each attempt is one report."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._reported: dict[tuple[object, ...], float] = {}

    def is_news(self, error: BaseException, backend: str, now: float) -> bool:
        """Whether nothing like it was reported within the last hour; `now` is in seconds."""
        like = (type(error), backend, None if isinstance(error, AsrqError) else _place(error))
        with self._lock:
            if now - self._reported.get(like, float("-inf")) < _QUIET_S:
                return False
            self._reported[like] = now
            return True


def _place(error: BaseException) -> tuple[str, int] | None:
    """Where it was raised: file and line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else None
