"""When to ask an inference server again: pure decisions."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRIES = 3
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0

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
    """Return how long to wait after so many failures in a row (from 1).

    `jitter` in [0, 1) spreads the pauses of clients that failed together over half their length; a pause is never
    shorter than what the server asked for.
    """
    own = min(FIRST_PAUSE_S * 2.0 ** (failures - 1), LONGEST_PAUSE_S) * (0.75 + jitter / 2)
    return max(own, asked_s or 0.0)
