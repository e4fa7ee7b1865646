"""One layer of retries, limited in time."""

from __future__ import annotations

import asyncio
import copy
import threading

import pytest
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from asrq_jobs import retries
from asrq_jobs.retries import AsyncRetry, Retry, _Tries

ERRORS = [RedisConnectionError]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Fails so often, and counts."""

    def __init__(self, failures: int, error: type[Exception] = RedisConnectionError) -> None:
        self.tried = 0
        self.told: list[object] = []
        self._failures = failures
        self._error = error

    def __call__(self) -> str:
        self.tried += 1
        if self.tried <= self._failures:
            raise self._error("away")
        return "here"

    async def later(self) -> str:
        return self()

    def fail(self, *told: object) -> None:
        self.told.append(told)

    async def fail_later(self, *told: object) -> None:
        self.told.append(told)


def test_tries_until_the_time_is_over_and_once_more_in_any_case() -> None:
    clock = Clock()
    tries = _Tries(1.0, ConstantBackoff(0.25), clock=clock)
    assert [tries.failed(), tries.failed()] == [0.25, 0.25]
    clock.now += 1
    assert tries.failed() is None
    slow = _Tries(1.0, ConstantBackoff(0.25), clock=clock)
    clock.now += 5  # the first try has waited for its whole timeout
    assert [slow.failed(), slow.failed()] == [0.0, None]
    assert _Tries(0.0, ConstantBackoff(0.25), clock=clock).failed() is None


def test_only_the_outermost_call_tries_again() -> None:
    retry, server = Retry(0.001, ConstantBackoff(0), ERRORS), Server(1000)
    inner = copy.deepcopy(retry)  # as each connection has its own

    with pytest.raises(RedisConnectionError):
        retry.call_with_retry(lambda: inner.call_with_retry(server, server.fail), server.fail, with_failure_count=True)
    outer = [told for told in server.told if len(told) == 2]  # type: ignore[arg-type]  # tuples of what was told
    assert server.tried == len(outer) >= 2
    assert len(server.told) == 2 * server.tried  # each layer may clear up after each failure


def test_what_comes_back_is_there() -> None:
    server = Server(3)
    assert Retry(60, ConstantBackoff(0), ERRORS).call_with_retry(server, server.fail) == "here"
    assert server.tried == 4
    assert Retry(60, ConstantBackoff(0), ERRORS).call_with_retry(server, server.fail) == "here"  # and nothing is left


def test_other_errors_are_not_tried_again() -> None:
    server = Server(3, ResponseError)
    with pytest.raises(ResponseError):
        Retry(60, ConstantBackoff(0), ERRORS).call_with_retry(server, server.fail)
    refused = Server(3)
    with pytest.raises(RedisConnectionError):
        Retry(60, ConstantBackoff(0), ERRORS).call_with_retry(refused, refused.fail, is_retryable=lambda _error: False)
    assert (server.tried, refused.tried) == (1, 1)


def test_the_same_for_asyncio_task_by_task(monkeypatch: pytest.MonkeyPatch) -> None:
    retry, server, other = AsyncRetry(60, ConstantBackoff(0), ERRORS), Server(2), Server(2)

    async def nested(which: Server) -> str:
        return await retry.call_with_retry(
            lambda: retry.call_with_retry(which.later, which.fail_later), which.fail_later, with_failure_count=True
        )

    async def both() -> list[str]:
        return list(await asyncio.gather(nested(server), nested(other)))

    assert asyncio.run(both()) == ["here", "here"]
    assert (server.tried, other.tried) == (3, 3)
    assert (len(server.told), len(other.told)) == (4, 4)
    assert not retries._trying.get()


def test_what_is_over_is_not_tried_again() -> None:
    server, over = Server(1000), threading.Event()

    def fail(error: Exception) -> None:
        server.fail(error)
        if server.tried == 5:
            over.set()

    with retries.until(over.is_set), pytest.raises(RedisConnectionError):
        Retry(60, ConstantBackoff(0), ERRORS).call_with_retry(server, fail)
    assert server.tried == 6
