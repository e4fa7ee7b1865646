"""The HTTP server: right answers, and no client that could do harm."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.waiting import until

from asrq_jobs.errors import InUseError
from asrq_jobs.settings import Settings
from asrq_worker.monitor import catalogue, server
from asrq_worker.monitor.health import Health, Requirement
from asrq_worker.monitor.registry import Metrics
from asrq_worker.monitor.server import _MonitorServer, listening

WELL = Health("ready", (Requirement("redis", True, "Redis answers."),))
UNWELL = Health("loading", (Requirement("model", False, "Not loaded: fake."),))


class Told:
    """A monitor that tells what the test says."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.metrics.read(catalogue.LEADING, lambda: {(): 1.0})
        self.ready: Callable[[], Health] = lambda: UNWELL
        self.closed = False

    def alive(self) -> Health:
        return WELL

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def running(told: Told) -> Iterator[_MonitorServer]:
    serving = _MonitorServer("127.0.0.1", 0, told)
    yield serving
    serving.close()


def get(running: _MonitorServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Ask; returns status, type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def test_answers(running: _MonitorServer) -> None:
    status, kind, body = get(running, "/metrics?whatever")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "\nasrq_reaper_leading 1.0\n" in body
    status, kind, body = get(running, "/healthz")
    assert (status, kind, json.loads(body)) == (200, "application/json", WELL.document())
    status, _, body = get(running, "/readyz")
    assert (status, json.loads(body)) == (503, UNWELL.document())
    assert get(running, "/")[0] == 404
    assert get(running, "/metrics", "POST")[0] == 501


def test_a_defect_is_an_answer_too(running: _MonitorServer, told: Told) -> None:
    def broken() -> Health:
        raise KeyError("broken")

    told.ready = broken
    assert get(running, "/readyz")[0] == 500
    assert get(running, "/healthz")[0] == 200


def test_clients_that_say_nothing_are_cut_off_and_keep_nobody_out_for_long(
    running: _MonitorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_PATIENCE_S", 0.5)
    silent = [socket.create_connection(("127.0.0.1", running.port), timeout=30) for _ in range(20)]
    silent[0].send(b"GET /metrics HTTP/1.0\r\nX-Slow: ")
    for connection in silent:  # most are turned away at once, the others when patience ends
        assert _ended(connection)
        connection.close()
    until(lambda: _answers(running))  # a place is free as soon as the thread that had it notices


def _ended(connection: socket.socket) -> bool:
    """Whether the server ends it, be it without having read what was sent."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def _answers(running: _MonitorServer) -> bool:
    try:
        return get(running, "/healthz")[0] == 200
    except (http.client.RemoteDisconnected, ConnectionError):  # turned away: all are still busy
        return False


def test_a_client_that_does_not_read_holds_nothing_up(running: _MonitorServer, told: Told) -> None:
    told.metrics.read(catalogue.ENGINE_STATE, lambda: {("x" * 1000, str(n)): 1.0 for n in range(5000)})
    with socket.create_connection(("127.0.0.1", running.port)) as deaf:
        deaf.send(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert get(running, "/healthz")[0] == 200
        began = time.monotonic()
        running.close()
        assert time.monotonic() - began < 5


def test_close_does_not_wait_for_an_answer_in_the_making(running: _MonitorServer, told: Told) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> Health:
        asked.set()
        go_on.wait(20)
        return WELL

    told.ready = slow
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.send(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert asked.wait(5)
        running.close()
        client.settimeout(5)
        assert client.recv(1) == b""
    go_on.set()


def test_a_port_that_is_taken_is_told_in_a_sentence(running: _MonitorServer, told: Told) -> None:
    taken = Settings(metrics_port=running.port)
    with (
        pytest.raises(InUseError, match=rf"Cannot listen on 127.0.0.1:{running.port}") as caught,
        listening(taken, told),
    ):
        pass
    assert "--metrics-port" in (caught.value.hint or "")
    assert told.closed


def test_without_a_port_nothing_listens(told: Told) -> None:
    before = threading.active_count()
    with listening(Settings(), told):
        assert threading.active_count() == before
    assert told.closed
