"""The parent's side of a child process: starts it, sends and receives JSON lines, kills it.

The child is `python -m <module>` with pipes for stdin and stdout; what it prints to stderr goes to ours. It ends
by itself when its stdin closes, so it cannot outlive the parent, and it ignores SIGINT, SIGTERM and Ctrl-Break: a
Ctrl-C or a service manager that signals the whole group must not take it away from a parent that drains.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from asrq_worker.process.environment import handed_on
from asrq_worker.process.handover import Handover
from asrq_worker.process.stdio import Message
from asrq_worker.process.supervision import Supervised

log = logging.getLogger(__name__)

# Linux sends a child's parent-death signal when the *thread* that started it ends (prctl(2)), so all children are
# started by one thread that lives as long as the process.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="child-starter")


class Child:
    """A running child process. `env` is its whole environment; without it, it has what any program needs. `files`: it
    gets open files with its messages (process/handover.py).

    `on_message` is called in a reader thread for each line; `on_exit` once, in the same thread, with the exit
    code, when the child is gone and reaped.

    Raises:
        OSError: no memory, process or thread for it now.
    """

    def __init__(
        self,
        module: str,
        *,
        on_message: Callable[[Message], None],
        on_exit: Callable[[int], None],
        env: dict[str, str] | None = None,
        files: bool = False,
    ) -> None:
        self._on_message = on_message
        self._on_exit = on_exit
        self._write_lock = threading.Lock()
        self._handover = Handover() if files else None
        try:
            self._process = _starter.submit(
                subprocess.Popen,
                [sys.executable, "-m", module, *(self._handover.arguments if self._handover else ())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=self._handover.inherited if self._handover else (),
                # ONNX Runtime, which finds the speech, tells its maker about each use unless this is set.
                env={"ORT_DISABLE_TELEMETRY": "1"} | (handed_on() if env is None else env),
            ).result()
        except OSError:
            self._close_handover()
            raise
        if self._handover:
            self._handover.started()
        self._reader = Supervised(f"{module}-{self.pid}", self._read, ends=True)
        try:
            self._reader.start()
        except RuntimeError as error:  # the limit for processes counts threads as well
            self._process.kill()
            self._process.communicate()
            self._close_handover()
            raise OSError(str(error)) from error

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, message: Message, files: Sequence[int] = ()) -> bool:
        """Send one message, and open files with it; False if the child is gone. The files stay ours to close."""
        assert self._process.stdin is not None  # noqa: S101  # we asked for a pipe
        try:
            with self._write_lock:
                if self._handover and files:
                    message = message | self._handover.give(files, self.pid)
                line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
                self._process.stdin.write(line)
                self._process.stdin.flush()
        except (OSError, ValueError):  # broken pipe, or closed by `close`
            return False
        return True

    def kill(self) -> None:
        """Kill it at once; `on_exit` follows."""
        self._process.kill()

    def close(self, timeout_s: float = 5.0) -> None:
        """Let it end by closing its stdin, kill it if it does not, and wait until it is reaped.

        One that even then does not end (in a driver that hangs, say) must not keep us: it is told of and left behind.
        """
        if self._write_lock.acquire(timeout=timeout_s):  # a child that does not read may hold a writer up
            try:
                self._close_stdin()
            finally:
                self._write_lock.release()
            self._reader.join(timeout_s)
        if self._reader.alive:
            self.kill()
            self._reader.join(timeout_s)
        if self._reader.alive:
            log.error("Process %d does not end although it was killed; it is left behind.", self.pid)

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # we asked for a pipe
        with self._process.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:  # cut off by its death
                    continue
                try:
                    self._on_message(message)
                except Exception:  # a child that says what it must not say is not to be trusted any further
                    log.exception("A message of child %d could not be handled; it is killed.", self.pid)
                    self.kill()
        code = self._process.wait()
        with self._write_lock:
            self._close_handover()
            self._close_stdin()  # now, not when the garbage collector finds us: we and our owner name each other
        self._on_exit(code)

    def _close_handover(self) -> None:
        if self._handover:
            self._handover.close()

    def _close_stdin(self) -> None:
        assert self._process.stdin is not None  # noqa: S101  # we asked for a pipe
        with contextlib.suppress(OSError):  # it died with our last message unread
            self._process.stdin.close()
