"""One layer of retries for commands to Redis, limited in time.

redis-py's own are nested: a command is tried again, and so is the connection inside each of its tries, and the health
check inside that. A server that accepts connections and never answers would be tried thirty-six times. Here only the
outermost call tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from redis.asyncio.retry import Retry as _AsyncRetry
from redis.backoff import AbstractBackoff
from redis.retry import Retry as _Retry

T = TypeVar("T")

_trying: ContextVar[bool] = ContextVar("trying", default=False)
_over: ContextVar[Callable[[], bool]] = ContextVar("over", default=lambda: False)


@contextmanager
def until(over: Callable[[], bool]) -> Iterator[None]:
    """What this thread or task calls inside is not tried again once the time is over."""
    token = _over.set(over)
    try:
        yield
    finally:
        _over.reset(token)


class _Tries:
    """The tries of one call: whether there is to be another one after a failure, and after which pause."""

    def __init__(
        self, within_s: float, backoff: AbstractBackoff, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Until `within_s` has passed, and one more time in any case; 0: never again."""
        self._within_s = 0.0 if _trying.get() else within_s
        self._backoff = backoff
        self._clock = clock
        self._began = clock()
        self.failures = 0

    def failed(self) -> float | None:
        """Note a failure; return how many seconds to wait before the next try, or None if there is to be none."""
        self.failures += 1
        late = self._clock() - self._began >= self._within_s
        # A connection that lay idle may have been cut without a word, which only the first failure tells.
        if not self._within_s or (late and self.failures > 1) or _over.get()():
            return None
        return 0.0 if late else self._backoff.compute(self.failures)

    @contextmanager
    def outermost(self) -> Iterator[None]:
        """Calls inside are not tried again by themselves."""
        token = _trying.set(True)
        try:
            yield
        finally:
            _trying.reset(token)


class Retry(_Retry):
    """For `Redis(retry=…)`."""

    def __init__(self, within_s: float, backoff: AbstractBackoff, errors: Iterable[type[Exception]]) -> None:
        """Try again after `errors`, for `within_s` seconds and at least once; 0: never."""
        super().__init__(backoff, int(within_s > 0), tuple(errors))
        self._within_s = within_s

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Do it; after each failure call `fail` with the error, and the number of failures if wanted."""
        tries = _Tries(self._within_s, self._backoff)
        with tries.outermost():
            while True:
                try:
                    return do()
                except self._supported_errors as error:
                    if is_retryable is not None and not is_retryable(error):
                        raise
                    pause_s = tries.failed()
                    fail(error, tries.failures) if with_failure_count else fail(error)
                    if pause_s is None:
                        raise
                time.sleep(pause_s)


class AsyncRetry(_AsyncRetry):
    """The same for asyncio."""

    def __init__(self, within_s: float, backoff: AbstractBackoff, errors: Iterable[type[Exception]]) -> None:
        super().__init__(backoff, int(within_s > 0), tuple(errors))  # type: ignore[arg-type]  # its type leaves out OSError, its code does not
        self._within_s = within_s

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Awaitable[Any]],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Do it; after each failure call `fail` with the error, and the number of failures if wanted."""
        tries = _Tries(self._within_s, self._backoff)
        with tries.outermost():
            while True:
                try:
                    return await do()
                except self._supported_errors as error:
                    if is_retryable is not None and not is_retryable(error):
                        raise
                    pause_s = tries.failed()
                    await (fail(error, tries.failures) if with_failure_count else fail(error))
                    if pause_s is None:
                        raise
                await asyncio.sleep(pause_s)
