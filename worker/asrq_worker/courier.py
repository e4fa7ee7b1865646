"""Delivers webhooks: what the ends of jobs left in `asrq:webhooks` is posted, again and again until it arrives.

A delivery is put there in the same step that ends its job, and leaves when the receiver has answered 2xx or when it
has been tried often enough. It may arrive twice (a courier died between the answer and the note of it), never not at
all while tries are left.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import cast
from urllib.parse import urlsplit

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

from asrq_jobs import __version__, keys, scripts
from asrq_jobs.errors import AsrqError
from asrq_jobs.settings import Settings
from asrq_jobs.webhook import SIGNATURE_HEADER, Delivery, sign
from asrq_worker import reports
from asrq_worker.audio import web
from asrq_worker.logs import Log

_log = Log("asrq.courier")

MOST_TRIES = 12
"""With the waits between them, about two and a half hours."""
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 3600.0
_HIDDEN_S = 120.0  # longer than any one try: resolving, connecting and the answer have limits
_TIMEOUT_S = 10.0
_TRY_S = 30.0  # a receiver that sends a byte now and then is cut off
_POLL_S = 1.0
_AT_ONCE = 4


def wait_s(tries: int, *, jitter: float) -> float | None:
    """Decide how long to wait after so many failed tries; None: no more.

    Doubles from 5 s to an hour; `jitter`, random in [0, 1), spreads it over half its length.
    """
    if tries >= MOST_TRIES:
        return None
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (tries - 1)) * (0.75 + jitter / 2))


class Courier:
    """A thread that looks for deliveries that are due, and a few that post them. Any number may run."""

    def __init__(self, redis: Redis, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._secret = settings.webhook_secret
        self._private_hosts = settings.webhook_private_hosts
        self._clock = clock
        self._stopping = threading.Event()
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._posters = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def __enter__(self) -> Courier:
        """Begin, if the operator has enabled webhooks."""
        if self._secret is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the tries that are under way, each within its limits; the rest stays for the next courier."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._posters.shutdown()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                found = self._hand_out()
            except (RedisError, OSError) as error:
                _log.warning("queue.unreachable", reason=type(error).__name__)
                found = False
            if not found:
                self._stopping.wait(_POLL_S)

    def _hand_out(self) -> bool:
        """Give one delivery that is due to a poster; False if there is none, or nobody free."""
        if not self._free.acquire(timeout=_POLL_S):
            return False
        try:
            now = self._clock()
            claim = scripts.load(self._redis, "claim_webhook")
            raw = cast("bytes | None", claim([keys.WEBHOOKS], [f"{now:.6f}", f"{now + _HIDDEN_S:.6f}"]))
        except BaseException:
            self._free.release()
            raise
        if raw is None:
            self._free.release()
            return False
        self._posters.submit(self._deliver, raw)
        return True

    def _deliver(self, raw: bytes) -> None:
        try:
            delivery = Delivery.model_validate_json(raw)
            self._settle(raw, delivery, self._post(delivery))
        except ValidationError:  # written by hand
            self._redis.zrem(keys.WEBHOOKS, raw)
        except (RedisError, OSError) as error:
            _log.warning("queue.unreachable", reason=type(error).__name__)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not cost the others their deliveries
            _log.error("courier.defect", error=error)
            reports.capture(error)
        finally:
            self._free.release()

    def _post(self, delivery: Delivery) -> str | None:
        """Try once; return why it failed, or None."""
        assert self._secret is not None  # noqa: S101  # `start` looked
        body = delivery.notice.to_json().encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"asrq/{__version__}",
            SIGNATURE_HEADER: sign(self._secret.get_secret_value(), body, at=self._clock()),
        }
        try:
            parts = web.parse(delivery.url, ("https", "http"))
            connection = web.connect(parts, self._private_hosts, timeout_s=_TIMEOUT_S)
            cut = threading.Timer(_TRY_S, connection.sock.shutdown, [socket.SHUT_RDWR])
            cut.daemon = True
            cut.start()
            try:
                connection.request("POST", web.target(parts), body=body, headers=headers)
                status = connection.getresponse().status
            finally:
                cut.cancel()
                connection.close()
        except AsrqError as error:
            return error.code
        except (OSError, ValueError, http.client.HTTPException) as error:
            return type(error).__name__
        return None if 200 <= status < 300 else str(status)

    def _settle(self, raw: bytes, delivery: Delivery, failure: str | None) -> None:
        tried = delivery.model_copy(update={"tries": delivery.tries + 1})
        wait = wait_s(tried.tries, jitter=random.random()) if failure else None  # noqa: S311  # spreads tries, guards nothing
        pipe = self._redis.pipeline(transaction=True)
        pipe.zrem(keys.WEBHOOKS, raw)
        if failure is None:
            pipe.hincrby(keys.STATS, "webhooks_delivered", 1)
        elif wait is None:
            pipe.hincrby(keys.STATS, "webhooks_given_up", 1)
        else:
            pipe.zadd(keys.WEBHOOKS, {tried.model_dump_json(): self._clock() + wait})
        pipe.execute()
        job_id, host = delivery.notice.id, urlsplit(delivery.url).hostname
        if failure is None:
            _log.info("webhook.delivered", id=job_id, host=host, tries=tried.tries)
        elif wait is None:
            _log.error("webhook.given_up", id=job_id, host=host, tries=tried.tries, reason=failure)
        else:
            _log.warning("webhook.failed", id=job_id, host=host, reason=failure, again_in_s=round(wait, 1))
