"""Deliveries to a real HTTP server that fails first."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from redis import Redis, exceptions
from support.waiting import until

from asrq_jobs import Client, PathAudio, keys, performing
from asrq_jobs.groups import GroupState
from asrq_jobs.settings import Settings
from asrq_jobs.webhook import SIGNATURE_HEADER, Delivery, Payload, verify
from asrq_worker.queue import calls
from asrq_worker.reaper import courier
from asrq_worker.reaper.courier import MOST_TRIES, Courier, _wait_s

SECRET = "the operator's"  # noqa: S105  # of this test


@dataclass
class Receiver:
    """Answers with the given statuses, the last one forever, and keeps what came."""

    url: str
    statuses: list[int]
    got: list[tuple[bytes, str]] = field(default_factory=list)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.got.append((body, self.headers[SIGNATURE_HEADER]))
            self.send_response(received.statuses.pop(0) if len(received.statuses) > 1 else received.statuses[0])
            self.send_header("Location", f"{received.url}/elsewhere")
            self.end_headers()
            received.came.release()

        def log_message(self, *args: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Receiver(f"http://127.0.0.1:{server.server_port}/done?key=1", [200])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield received
    server.shutdown()
    server.server_close()


class Clock:
    """Time that the test moves, by which the courier leaves a host alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def settings(*, private: bool = True) -> Settings:
    return Settings(webhook_secret=SECRET, webhook_private_hosts=private)


def leave(redis: Redis, url: str, *, tries: int = 0, job_id: str = "a") -> Delivery:
    delivery = Delivery(url=url, payload=Payload(id=job_id, status="failed", code="no_audio", at=999.0), tries=tries)
    redis.zadd(keys.WEBHOOKS, {delivery.model_dump_json(): 0})
    return delivery


def left(redis: Redis) -> list[tuple[Delivery, float]]:
    return [
        (Delivery.model_validate_json(raw), due) for raw, due in redis.zrange(keys.WEBHOOKS, 0, -1, withscores=True)
    ]


def make_due(redis: Redis) -> None:
    """Let the time pass until all is due again."""
    redis.zadd(keys.WEBHOOKS, dict.fromkeys(redis.zrange(keys.WEBHOOKS, 0, -1), 0), xx=True)


def broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "_POLL_S", 0.05)


@contextmanager
def mute() -> Iterator[tuple[str, list[bytes]]]:
    """A receiver that takes what comes and never answers: its URL, and what came on each connection."""
    came: list[bytes] = []
    kept: list[socket.socket] = []

    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            with suppress(TimeoutError):
                kept.append(listener.accept()[0])
                came.append(kept[-1].recv(1))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}/secret?key=1", came
        finally:
            done.set()
            thread.join()
            for connection in kept:
                connection.close()


@pytest.fixture
def at_work(redis: Redis) -> Iterator[None]:
    """A courier."""
    with Courier(redis, settings()):
        yield


@pytest.mark.usefixtures("at_work")
def test_a_receiver_that_fails_first_gets_it_later_signed(redis: Redis, receiver: Receiver) -> None:
    receiver.statuses = [500, 429, 302, 204]
    leave(redis, receiver.url)
    for tries in (1, 2, 3):
        assert receiver.came.acquire(timeout=60)
        until(lambda: [delivery.tries for delivery, _ in left(redis)] == [tries])  # noqa: B023  # called at once
        [(_, due)] = left(redis)
        wait = 5 * 2 ** (tries - 1)
        assert 0.75 * wait - 1 <= due - redis.time()[0] <= 1.25 * wait + 1
        make_due(redis)
    assert receiver.came.acquire(timeout=60)
    until(lambda: not left(redis))
    assert redis.hget(keys.STATS, "webhooks_delivered") == b"1"
    bodies = {body for body, _ in receiver.got}
    assert len(receiver.got) == 4
    assert bodies == {Payload(id="a", status="failed", code="no_audio", at=999.0).to_json().encode()}
    for body, signature in receiver.got:
        assert verify(SECRET, signature, body, now=redis.time()[0])


@pytest.mark.usefixtures("at_work")
def test_the_end_of_a_group_is_told_as_that_of_a_job(redis: Redis, receiver: Receiver) -> None:
    ended = GroupState(id="night", size=2, open=0, completed=1, failed=1, canceled=0, at=999.5)
    redis.zadd(keys.WEBHOOKS, {Delivery(url=receiver.url, payload=ended).model_dump_json(): 0})
    assert receiver.came.acquire(timeout=60)
    until(lambda: not left(redis))
    [(body, signature)] = receiver.got
    assert verify(SECRET, signature, body, now=redis.time()[0])
    assert json.loads(body) == ended.model_dump(mode="json")


LABELS = {"metadata": {"order": "4711"}, "tags": ["night"]}
AUDIO = PathAudio(path="/clip.wav")


def delivered(redis: Redis, receiver: Receiver) -> dict[str, Any]:
    """What is told of a job "a" that ended just now."""
    payload = Payload(id="a", status="failed", at=redis.time()[0] + 1.0)
    redis.zadd(keys.WEBHOOKS, {Delivery(url=receiver.url, payload=payload).model_dump_json(): 0})
    with Courier(redis, settings()):
        assert receiver.came.acquire(timeout=60)
        until(lambda: not left(redis))
    return dict(json.loads(receiver.got[-1][0]))


def labels(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in ("metadata", "tags") if name in told}


def test_labels_come_from_the_job_and_go_with_it(client: Client, redis: Redis, receiver: Receiver) -> None:
    client.submit(AUDIO, id="a", **LABELS)
    assert labels(delivered(redis, receiver)) == LABELS
    client.erase("a")
    assert labels(delivered(redis, receiver)) == {}
    client.submit(AUDIO, id="a")
    assert labels(delivered(redis, receiver)) == {}


def test_labels_of_a_later_job_under_the_same_id_are_not_told(client: Client, redis: Redis, receiver: Receiver) -> None:
    leave(redis, receiver.url)  # ended long ago
    client.submit(AUDIO, id="a", **LABELS)
    with Courier(redis, settings()):
        assert receiver.came.acquire(timeout=60)
    assert labels(json.loads(receiver.got[0][0])) == {}


def test_a_damaged_job_is_reported_without_labels(redis: Redis, receiver: Receiver) -> None:
    redis.set(keys.job("a"), "damaged")
    assert labels(delivered(redis, receiver)) == {}


def test_an_outage_while_labels_are_read_is_no_try(
    redis: Redis, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Exception] = [exceptions.ResponseError("MASTERDOWN"), exceptions.ConnectionError("away")]
    read = redis.hmget

    def read_or_fail(*names: Any) -> Any:
        if failures:
            raise failures.pop()
        return read(*names)

    monkeypatch.setattr(redis, "hmget", read_or_fail)
    leave(redis, receiver.url)
    with Courier(redis, settings()):
        for remaining in (1, 0):
            until(lambda: len(failures) == remaining and left(redis)[0][1] > 0)  # noqa: B023  # called at once
            assert [delivery.tries for delivery, _ in left(redis)] == [0]
            make_due(redis)
        assert receiver.came.acquire(timeout=60)


@pytest.mark.usefixtures("at_work")
def test_after_the_last_try_it_is_given_up(redis: Redis, receiver: Receiver) -> None:
    receiver.statuses = [500]
    leave(redis, receiver.url, tries=MOST_TRIES - 1)
    assert receiver.came.acquire(timeout=60)
    until(lambda: not left(redis))
    assert redis.hget(keys.STATS, "webhooks_given_up") == b"1"


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://user:pass@127.0.0.1/", "http://127.0.0.1:0/", "http://[::1"]
)
def test_a_url_that_is_none_is_a_failed_try(redis: Redis, url: str) -> None:
    leave(redis, url, tries=MOST_TRIES - 1)
    until(lambda: not left(redis))
    assert redis.hget(keys.STATS, "webhooks_given_up") == b"1"


def test_private_addresses_are_refused_unless_allowed(redis: Redis, receiver: Receiver) -> None:
    leave(redis, receiver.url, tries=MOST_TRIES - 1)
    with Courier(redis, settings(private=False)):
        until(lambda: not left(redis))
    assert receiver.got == []


def test_a_receiver_that_does_not_answer_is_left_alone_for_a_while(
    redis: Redis, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(courier, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr(courier, "_SLOW_S", 0.1)
    monkeypatch.setattr(courier, "_AT_ONCE", 1)
    caplog.set_level(logging.INFO)
    clock = Clock()
    with mute() as (address, came), Courier(redis, settings(), clock=clock):
        leave(redis, f"http://{address}")
        until(lambda: [delivery.tries for delivery, _ in left(redis)] == [1])
        for number in range(20):
            leave(redis, f"http://{address}", job_id=f"also-{number}")
        leave(redis, receiver.url.replace("127.0.0.1", "localhost"), job_id="z")  # due last
        assert receiver.came.acquire(timeout=60)
        until(lambda: {delivery.tries for delivery, _ in left(redis)} == {1})
        assert len(came) == 1, "the others were put off"
        clock.now += 61
        make_due(redis)
        until(lambda: len(came) == 2)
    said = " ".join(str(vars(record)) for record in caplog.records)
    assert "TimeoutError" in said
    assert "slow_host" in said
    assert "secret" not in said
    assert SECRET not in said


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_sends_a_byte_now_and_then_is_cut_off(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(courier, "_TRY_S", 0.3)
    monkeypatch.setattr(courier, "_TIMEOUT_S", 0.3 if scheme == "https" else 10.0)
    answer = b"\x16\x03\x03\x20\x00" if scheme == "https" else b"HTTP/1.1 "  # a long record of TLS begins
    with socket.create_server(("127.0.0.1", 0)) as listener:
        leave(redis, f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/", tries=MOST_TRIES - 1)
        with Courier(redis, settings()):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer)
                deadline = time.monotonic() + 10
                while left(redis):
                    assert time.monotonic() < deadline
                    with suppress(OSError):  # cut off
                        connection.sendall(b"x")
                    time.sleep(0.02)  # the trickle
    assert redis.hget(keys.STATS, "webhooks_given_up") == b"1"


def test_a_try_under_way_does_not_keep_the_courier_from_ending(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(courier, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(Courier, "_settle", broken)  # as if its connection had been closed meanwhile
    with mute() as (address, came):
        leave(redis, f"http://{address}")
        with Courier(redis, settings()) as ending:
            until(lambda: came)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        [(delivery, due)] = left(redis)
        assert (delivery.tries, due > time.time() + 60) == (0, True), "another courier has it later"
    for loop in ending.loops:
        assert loop.join(60)
    assert "defect" not in caplog.text


@pytest.mark.usefixtures("at_work")
def test_a_counter_of_the_wrong_type_repeats_no_delivery(redis: Redis, receiver: Receiver) -> None:
    redis.set(keys.STATS, "damaged")
    leave(redis, receiver.url)
    assert receiver.came.acquire(timeout=60)
    until(lambda: not left(redis))


def test_what_another_courier_has_settled_stays_settled(redis: Redis) -> None:
    tried = Delivery(url="http://127.0.0.1/", payload=Payload(id="job", status="failed", at=1.0))
    assert not calls.settle_webhook(redis, b"claimed", counter=None, tried=tried, wait_s=1.0)
    assert not redis.exists(keys.WEBHOOKS, keys.STATS)


def test_a_defect_counts_as_a_try(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier.web, "connect", broken)
    leave(redis, "http://127.0.0.1/", tries=MOST_TRIES - 1)
    with Courier(redis, settings()):
        until(lambda: not left(redis))
    assert redis.hget(keys.STATS, "webhooks_given_up") == b"1"


@pytest.mark.parametrize("failure", [ConnectionError("away"), ZeroDivisionError()])
def test_neither_an_outage_of_the_queue_nor_a_defect_costs_a_delivery(
    redis: Redis, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    failures = [failure] * courier._AT_ONCE
    run = performing.run

    def run_or_fail(*given: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return run(*given, **named)

    monkeypatch.setattr(performing, "run", run_or_fail)
    leave(redis, receiver.url)
    with Courier(redis, settings()):
        assert receiver.came.acquire(timeout=60)
        until(lambda: not left(redis))
    assert failures == []


def test_a_delivery_whose_courier_died_is_due_again(redis: Redis, receiver: Receiver) -> None:
    leave(redis, receiver.url)
    assert calls.claim_webhook(redis, hidden_s=120) is not None
    assert calls.claim_webhook(redis, hidden_s=120) is None
    make_due(redis)
    with Courier(redis, settings()):
        assert receiver.came.acquire(timeout=60)
    assert left(redis) == []


@pytest.mark.usefixtures("at_work")
def test_what_was_written_by_hand_is_thrown_away(redis: Redis, receiver: Receiver) -> None:
    redis.zadd(keys.WEBHOOKS, {b"\xff": 0, "{}": 0})
    leave(redis, receiver.url)
    assert receiver.came.acquire(timeout=60)
    until(lambda: not redis.zcard(keys.WEBHOOKS))
    assert len(receiver.got) == 1


def test_without_a_secret_nothing_is_delivered(redis: Redis, receiver: Receiver) -> None:
    leave(redis, receiver.url)
    with Courier(redis, Settings(webhook_private_hosts=True)):
        pass
    assert len(left(redis)) == 1
    assert receiver.got == []


def test_waits_double_and_end() -> None:
    waits = [_wait_s(tries, jitter=0.5) for tries in range(1, MOST_TRIES + 1)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, None]
