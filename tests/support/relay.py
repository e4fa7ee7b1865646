"""A network between a Redis server and those who talk to it, which a test can disturb."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit


class Relay:
    """Forwards a loopback port (`url`) to a server; a context manager. What it does may be changed at any time."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._listener: socket.socket | None = None
        self._port = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._lose: bytes | None = None
        self.server = (self._parts.hostname or "", self._parts.port or 6379)
        """Where new connections lead."""
        self.delay_s = 0.0
        """How much later each answer comes."""
        self.accepted = 0
        self._mute: set[socket.socket] = set()
        self._mutes_all = False
        self.lost = threading.Event()
        """Set when an answer has been lost."""

    @property
    def url(self) -> str:
        """Its address, with the credentials of the server's; there is none before it was up."""
        credentials, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self._port}").geturl()

    def __enter__(self) -> Relay:
        self.up()
        return self

    def __exit__(self, *raised: object) -> None:
        self.down()

    def up(self) -> None:
        """Listen, on the same port each time."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        if self._listener is not None:
            _shut(self._listener)  # ends accept, as close alone would not
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Cut all connections; new ones are welcome."""
        with self._lock:
            for each in self._open:
                _shut(each)

    def say_nothing(self, *, also_to_those_that_come: bool) -> None:
        """Let no answer through any more, on the connections that are open, and on later ones if so."""
        with self._lock:
            self._mute |= self._open
            self._mutes_all = also_to_those_that_come

    def lose_answer(self, to: str) -> None:
        """Cut the connection of the next command that has these words, after the server has run it."""
        self._lose = to.encode()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(self.server) as far:
            with self._lock:
                self._open |= {near, far}
            losing = threading.Event()
            back = threading.Thread(target=self._answer, args=(far, near, losing), daemon=True)
            back.start()
            with suppress(OSError):
                while data := near.recv(1 << 16):
                    if self._lose is not None and self._lose in data:
                        self._lose = None
                        losing.set()
                    far.sendall(data)
            _shut(far)
            back.join()
            with self._lock:
                self._open -= {near, far}

    def _answer(self, far: socket.socket, near: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while data := far.recv(1 << 16):
                if losing.is_set():
                    self.lost.set()
                    break
                time.sleep(self.delay_s)
                if not (self._mutes_all or near in self._mute):
                    near.sendall(data)
        _shut(near)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it is shut already
        connection.shutdown(socket.SHUT_RDWR)


class Silence:
    """A server that accepts connections and never says a word; a context manager."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.accepted = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Silence:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        _shut(self._listener)
        self._listener.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                each, _ = self._listener.accept()
                self.accepted += 1
                self._open.append(each)
