"""Requests to one inference server: pooled connections, limits of time and size, retries.

The limit of time is one of the clock. Limits on single reads, which is all that a blocking client offers, are
never reached by a server that sends a byte now and then; so the requests run on an event loop, where anything
can be given up at any moment, whatever it waits for.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from asrq_jobs import __version__
from asrq_jobs.errors import AsrqError, MalformedOutputError, ServerFailedError, ServerUnreachableError
from asrq_worker.backends.server import retry
from asrq_worker.backends.server.options import Options

LARGEST_ANSWER = 8 << 20
"""Bytes; the most verbose answer to 30 s of speech has a hundredth of that."""

_CONNECT_S = 10.0
_CLOSE_S = 5.0


@dataclass(frozen=True)
class Response:
    """What a server said in the end: any status but those that were tried again in vain."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ServerClient:
    """Thread-safe; as many requests run at a time as `options.concurrency` says."""

    def __init__(
        self,
        options: Options,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._options = options
        self._jitter = jitter
        headers = {"User-Agent": f"asrq/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"}
        if options.api_key:
            headers["Authorization"] = f"Bearer {options.api_key.get_secret_value()}"
        self._client = httpx.AsyncClient(
            base_url=options.url,
            headers=headers,
            follow_redirects=False,  # audio and key go where the operator said, nowhere else
            timeout=httpx.Timeout(None, connect=min(_CONNECT_S, options.timeout_s)),
            limits=httpx.Limits(max_connections=options.concurrency),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server-connection", daemon=True)
        self._thread.start()

    def request(self, method: str, path: str, **content: Any) -> Response:
        """Send a request; `content` are `httpx.Request`'s `data`, `files` or `json`.

        Raises:
            ServerUnreachableError: no connection, it broke, or no answer in time.
            ServerFailedError: it answered that it cannot serve now, again and again.
            MalformedOutputError: the answer is too large, or not encoded as it says.
        """
        return asyncio.run_coroutine_threadsafe(self._within_limit(method, path, content), self._loop).result()

    def close(self) -> None:
        """Close all connections; requests in flight fail."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_S)
        self._loop.close()

    async def _end(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._client.aclose()

    async def _within_limit(self, method: str, path: str, content: dict[str, Any]) -> Response:
        limit_s = self._options.timeout_s
        try:
            async with asyncio.timeout(limit_s) as limit:
                return await self._again_and_again(method, path, content, limit.when() or 0.0)
        except TimeoutError:
            raise ServerUnreachableError(
                f"The inference server {self._options.url} did not answer within {limit_s:g} s.",
                hint="Check its load; give it more time with ASRQ_SERVER_TIMEOUT_S, or less at once.",
            ) from None

    async def _again_and_again(self, method: str, path: str, content: dict[str, Any], deadline: float) -> Response:
        failures = 0
        while True:
            failure: AsrqError
            asked_s = None
            try:
                answer = await self._once(method, path, content)
            except httpx.TransportError as error:
                failure = ServerUnreachableError(
                    f"The inference server {self._options.url} cannot be reached: {str(error) or type(error).__name__}."
                )
            else:
                if answer.status not in retry.AGAIN:
                    return answer
                asked_s = retry.retry_after_s(answer.headers.get("retry-after"), datetime.now(UTC))
                failure = self._failure(answer.status, asked_s)
            failures += 1
            pause_s = retry.pause_s(failures, asked_s, self._jitter())
            if failures > retry.RETRIES or asyncio.get_running_loop().time() + pause_s >= deadline:
                raise failure
            await asyncio.sleep(pause_s)

    async def _once(self, method: str, path: str, content: dict[str, Any]) -> Response:
        try:
            async with self._client.stream(method, path, **content) as response:
                body = bytearray()
                async for block in response.aiter_bytes():
                    body += block
                    if len(body) > LARGEST_ANSWER:
                        raise MalformedOutputError(
                            f"The inference server {self._options.url} sent more than {LARGEST_ANSWER >> 20} MiB."
                        )
                return Response(response.status_code, response.headers, bytes(body))
        except httpx.DecodingError:
            raise MalformedOutputError(
                f"The inference server {self._options.url} sent an answer that is not encoded as it says."
            ) from None

    def _failure(self, status: int, asked_s: float | None) -> ServerFailedError:
        if status == httpx.codes.TOO_MANY_REQUESTS:
            wait = "" if asked_s is None else f" and asks to wait {asked_s:.0f} s"
            return ServerFailedError(
                f"The inference server {self._options.url} has too much to do (429){wait}.",
                hint="Lower ASRQ_SERVER_CONCURRENCY, or give the server more capacity.",
            )
        return ServerFailedError(f"The inference server {self._options.url} failed ({status}).")
