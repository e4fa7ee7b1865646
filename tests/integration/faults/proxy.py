"""A proxy before a Redis server that may be slow, cut connections, refuse them, lose answers or answer errors."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress


class Proxy:
    """Listens on loopback; what it does may be changed at any time. A context manager that gives its URL."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.delay_s = 0.0
        self.accepted = 0
        self._error: bytes | None = None
        self._lose: bytes | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._port = 0
        self.lost = threading.Event()

    def __enter__(self) -> str:
        self.admit()
        return f"redis://127.0.0.1:{self._port}/0"

    def __exit__(self, *raised: object) -> None:
        self.refuse()

    def admit(self) -> None:
        """Listen, on the same port each time."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Listen no more, and cut what is open."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Cut all connections; new ones are welcome."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def answer(self, error: str | None) -> None:
        """Answer each command with an error, until called with None."""
        self._error = f"-{error}\r\n".encode() if error else None
        self.cut()

    def lose_answer(self, to: str) -> None:
        """Cut the connection on which the next command with these words comes, after the server has run it."""
        self.lost.clear()
        self._lose = to.encode()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self.target_port)) as far:
            with self._lock:
                self._open |= {near, far}
            losing = threading.Event()
            back = threading.Thread(target=self._pass_back, args=(far, near, losing), daemon=True)
            back.start()
            try:
                for command in _commands(near):
                    if self._error is not None:
                        near.sendall(self._error)
                        continue
                    if self._lose is not None and self._lose in command:
                        self._lose = None
                        losing.set()
                    far.sendall(command)
            finally:
                with suppress(OSError):
                    far.shutdown(socket.SHUT_RDWR)
                back.join()
                with self._lock:
                    self._open -= {near, far}

    def _pass_back(self, far: socket.socket, near: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while data := far.recv(1 << 16):
                if losing.is_set():
                    self.lost.set()
                    break
                time.sleep(self.delay_s)
                near.sendall(data)
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


def _commands(near: socket.socket) -> Iterator[bytes]:
    """Yield each command as it came: an array of bulk strings (RESP)."""
    with near.makefile("rb") as stream:
        while head := stream.readline():
            command = [head]
            for _ in range(int(head[1:])):
                size = stream.readline()
                command += [size, stream.read(int(size[1:]) + 2)]
            yield b"".join(command)
