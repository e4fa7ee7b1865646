"""Structured logs on stderr: one event a line with its fields, as JSON or, on a terminal, for reading.

Transcripts, prompts, paths and URLs are never fields, nor are the messages of exceptions, which may quote them.
A line stays one line and sends no controls to a terminal, even if its fields hold some.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Literal

from asrq_jobs.display import visible, visible_json
from asrq_jobs.redaction import redacted
from asrq_jobs.settings import Settings
from asrq_worker.telemetry import reports

Field = str | int | float | bool | None

_FIELDS = "asrq_fields"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Field] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = _stack(record.exc_info[1])
        shown = {name: redacted(value) if isinstance(value, str) else value for name, value in line.items()}
        return visible_json(json.dumps(shown, ensure_ascii=False))


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = " ".join(f"{name}={_told(value)}" for name, value in getattr(record, _FIELDS, {}).items())
        line = f"{at} {record.levelname.lower():7} {visible(redacted(record.getMessage()))} {fields}".rstrip()
        if not record.exc_info:
            return line
        return "\n    ".join([line, *map(visible, _stack(record.exc_info[1]).splitlines())])


def _told(value: Field) -> str:
    """Return a value as one word: quoted, where it could be taken for more fields."""
    text = redacted(str(value))
    plain = text and text == visible(text) and not any(mark in text for mark in ' "=')
    return text if plain else visible_json(json.dumps(text, ensure_ascii=False))


def _stack(error: BaseException | None) -> str:
    """The traceback, causes first, without the messages of the exceptions: these may quote a path or a text."""
    parts: list[str] = []
    while error is not None:
        parts.append(f"{''.join(traceback.format_tb(error.__traceback__))}{type(error).__qualname__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nwhich led to\n".join(reversed(parts))


def configure(settings: Settings) -> None:
    """Send all logs of this process to stderr in the configured form."""
    style: Literal["json", "console"] = (
        settings.log_format if settings.log_format != "auto" else ("console" if sys.stderr.isatty() else "json")
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries name files and URLs below that
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it would choose INFO for itself
    for ours in ("asrq", "asrq_worker"):
        logging.getLogger(ours).setLevel(settings.log_level.upper())


def silence() -> None:
    """Send the logs of this process nowhere."""
    logging.getLogger().handlers[:] = [logging.NullHandler()]


class Log:
    """A logger whose lines are an event name and fields."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Field) -> None:
        """Log what only someone hunting a defect wants."""
        self._logger.debug(event, extra={_FIELDS: fields})

    def info(self, event: str, **fields: Field) -> None:
        """Log what happened."""
        self._logger.info(event, extra={_FIELDS: fields})

    def warning(self, event: str, **fields: Field) -> None:
        """Log what an operator should know."""
        self._logger.warning(event, extra={_FIELDS: fields})

    def error(self, event: str, *, error: BaseException | None = None, **fields: Field) -> None:
        """Log a failure, with its traceback if an exception is given."""
        self._logger.error(event, exc_info=error, extra={_FIELDS: fields})

    def defect(
        self,
        event: str,
        error: BaseException,
        *,
        job_id: str | None = None,
        lane: str | None = None,
        backend: str | None = None,
        **fields: Field,
    ) -> None:
        """Log a defect of ours with its traceback, and report it (see `reports.capture`)."""
        self.error(event, error=error, **({} if job_id is None else {"id": job_id}), **fields)
        reports.capture(error, job_id=job_id, lane=lane, backend=backend)
