"""Delivers webhooks: what ended jobs have left in `asrq:webhooks` is posted, again and again until it arrives.

A delivery is put there in the same step that ends its job, and leaves when the receiver has answered 2xx or when it
has been tried often enough. It may arrive twice (a courier died between the answer and the note of it), never not at
all while tries are left.
"""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from asrq_jobs import __version__, keys, rq
from asrq_jobs.errors import AsrqError
from asrq_jobs.settings import Settings
from asrq_jobs.timestamp import iso
from asrq_jobs.webhook import SIGNATURE_HEADER, Delivery, Payload, sign
from asrq_worker.audio import web
from asrq_worker.process.backoff import Backoff
from asrq_worker.process.supervision import wait_while_busy
from asrq_worker.queue import calls
from asrq_worker.queue.loop import Loop, end
from asrq_worker.queue.outage import Outage
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.courier")

MOST_TRIES = 12
"""With the waits between them, about two and a half hours."""
_BACKOFF = Backoff(5.0, 3600.0)
_HIDDEN_S = 120.0  # longer than any one try: resolving, connecting and the answer have limits
_TIMEOUT_S = 10.0
_TRY_S = 30.0  # a receiver that sends a byte now and then is cut off
_SLOW_S = 5.0  # if a try fails no sooner, the next one at this host would only hold up others
_REST_S = 60.0
_POLL_S = 1.0
_AT_ONCE = 4
_PATIENCE_S = 5.0  # at the end; a reaper has 15 s to stop


def _wait_s(tries: int, *, jitter: float) -> float | None:
    """Decide how long to wait after so many failed tries; None: no more. `jitter`: see `Backoff.pause_s`."""
    return None if tries >= MOST_TRIES else _BACKOFF.pause_s(tries, jitter=jitter)


class Courier:
    """A few threads, each of which takes a delivery that is due and posts it. Any number may run."""

    def __init__(self, redis: Redis, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` measures how long a host is left alone."""
        self._redis = redis
        self._settings = settings
        self._secret = settings.webhook_secret
        self._private_hosts = settings.webhook_private_hosts
        self._clock = clock
        self._outage = Outage()
        self._resting: dict[str, float] = {}  # hosts that failed slowly, and until when a try there fails at once
        self.loops = [self._loop() for _ in range(_AT_ONCE)]

    def __enter__(self) -> Courier:
        """Begin, if the operator has enabled webhooks."""
        if self._secret is not None:
            for loop in self.loops:
                loop.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the tries that are under way a moment to finish; what does not is due again for the next courier."""
        for loop in self.loops:
            loop.stop()
        wait_while_busy(self.loops, _PATIENCE_S)
        end(self.loops, self._redis, self._settings)

    def _loop(self) -> Loop:
        def step() -> float:
            claimed = calls.claim_webhook(self._redis, hidden_s=_HIDDEN_S)
            self._outage.over()
            if claimed is None:
                return _POLL_S
            loop.busy = True
            try:
                self._deliver(*claimed)
            finally:
                loop.busy = False
            return 0.0

        loop = Loop("courier", step, self._outage, _log)
        return loop

    def _deliver(self, raw: bytes, now: float) -> None:
        try:
            delivery = Delivery.model_validate_json(raw)
        except ValidationError:  # written by hand
            self._redis.zrem(keys.WEBHOOKS, raw)
            return
        host, began = _host(delivery.url), time.monotonic()
        failure = "slow_host" if self._clock() < self._resting.get(host, 0.0) else self._post(delivery, now)
        if failure and time.monotonic() - began >= _SLOW_S:
            failed_at = self._clock()
            self._resting = {name: until for name, until in self._resting.items() if until > failed_at}
            self._resting[host] = failed_at + _REST_S
        self._settle(raw, delivery, failure)

    def _post(self, delivery: Delivery, now: float) -> str | None:
        """Try once; return why it failed, or None.

        Raises:
            redis.exceptions.RedisError: Redis does not answer; it was not tried.
        """
        assert self._secret is not None  # noqa: S101  # `__enter__` looked
        try:
            payload = delivery.payload
            body = (self._labelled(payload) if isinstance(payload, Payload) else payload).to_json().encode()
            headers = {
                "Content-Type": "application/json",
                "User-Agent": f"asrq/{__version__}",
                SIGNATURE_HEADER: sign(self._secret.get_secret_value(), body, at=now),
            }
            parts = web.parse(delivery.url, ("https", "http"))
            connection = web.connect(parts, self._private_hosts, timeout_s=_TIMEOUT_S)
            try:
                with web.cut_off(connection.sock, _TRY_S):
                    connection.request("POST", web.target(parts), body=body, headers=headers)
                    status = connection.getresponse().status
            finally:
                connection.close()
        except RedisError:  # no fault of the receiver
            raise
        except AsrqError as error:
            return error.code
        except (OSError, ValueError, http.client.HTTPException) as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001  # a defect of ours is a failed try like any other
            _log.defect("courier.defect", error)
            return type(error).__name__
        return None if 200 <= status < 300 else str(status)

    def _labelled(self, payload: Payload) -> Payload:
        """Return it with the metadata and tags of its job; as it is if that is gone, though its id be used again."""
        try:
            found = cast("list[bytes | None]", self._redis.hmget(keys.job(payload.id), rq.CREATED_AT, rq.DATA))
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):  # damaged by somebody; anything else is an outage
                raise
            found = [None, None]
        created_at, data = found
        same = created_at is not None and created_at.decode(errors="replace") <= iso(payload.at)
        if not (same and data):
            return payload
        labels = rq.Labels.of(data)
        return payload.model_copy(update={"metadata": labels.metadata, "tags": labels.tags})

    def _settle(self, raw: bytes, delivery: Delivery, failure: str | None) -> None:
        tried = delivery.model_copy(update={"tries": delivery.tries + 1})
        wait = _wait_s(tried.tries, jitter=random.random()) if failure else None  # noqa: S311  # spreads tries, guards nothing
        counter: calls.WebhookCounter | None = None
        if wait is None:
            counter = "webhooks_given_up" if failure else "webhooks_delivered"
        calls.settle_webhook(self._redis, raw, counter=counter, tried=tried, wait_s=wait or 0.0)
        job_id, host = delivery.payload.id, _host(delivery.url)
        if failure is None:
            _log.info("webhook.delivered", id=job_id, host=host, tries=tried.tries)
        elif wait is None:
            _log.error("webhook.given_up", id=job_id, host=host, tries=tried.tries, reason=failure)
        else:
            _log.warning("webhook.failed", id=job_id, host=host, reason=failure, again_in_s=round(wait, 1))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
