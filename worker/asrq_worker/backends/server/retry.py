"""When to ask an inference server again: pure decisions."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from asrq_worker.process.backoff import Backoff

RETRIES = 3
BACKOFF = Backoff(0.5, 8.0)

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes that may be another one next time."""


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3: seconds or a date).

    None if there is none or it is neither; 0 for a date that has passed.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return None if math.isnan(seconds) else max(seconds, 0.0)


def pause_s(failures: int, asked_s: float | None, jitter: float) -> float:
    """Return how long to wait after so many failures in a row: never less than the server asked for.

    `jitter`: see `Backoff.pause_s`.
    """
    return max(BACKOFF.pause_s(failures, jitter=jitter), asked_s or 0.0)
