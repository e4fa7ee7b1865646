"""`make unit` is quick and the same everywhere, as its tests leave their process alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest


def test_programs_and_connections_are_refused(outside: list[str]) -> None:
    refused: list[str] = []

    def try_in_a_thread() -> None:
        with pytest.raises(RuntimeError, match="belongs to tests/integration"):
            os.system("")  # noqa: S605  # it comes to nothing
        refused.extend(outside)

    with pytest.raises(RuntimeError, match="belongs to tests/integration"):
        subprocess.run([sys.executable, "-c", ""], check=False)
    with pytest.raises(RuntimeError, match="belongs to tests/integration"):
        socket.create_connection(("127.0.0.1", 1))
    thread = threading.Thread(target=try_in_a_thread)
    thread.start()
    thread.join()
    assert refused == ["subprocess.Popen", "socket.connect", "os.system"]
    outside.clear()
