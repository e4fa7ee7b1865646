"""What an answer of Redis means: whether to wait, or that waiting will not help."""

from __future__ import annotations

import pytest
from redis._parsers import BaseParser

from asrq_jobs.connection import explain
from asrq_jobs.settings import Settings


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        ("LOADING Redis is loading the dataset in memory", "queue_refused", True),
        ("READONLY You can't write against a read only replica.", "queue_refused", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", "queue_refused", True),
        ("MASTERDOWN Link with MASTER is down", "queue_refused", True),
        ("BUSY Redis is busy running a script.", "queue_refused", True),
        ("MISCONF Errors writing to the AOF file", "queue_refused", True),
        ("NOREPLICAS Not enough good replicas to write.", "queue_refused", True),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "queue_refused", True),
        ("CLUSTERDOWN The cluster is down", "queue_refused", True),
        ("ERR max number of clients reached", "queue_unreachable", True),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "queue_unusable", False),
        ("ERR DB index is out of range", "queue_unusable", False),
        ("ERR unknown command 'LMOVE'", "queue_unusable", False),
        ("ERR value is not an integer or out of range", "queue_unusable", False),
        ("NOPERM this user has no permissions to run the 'keys' command", "queue_auth", False),
        ("WRONGPASS invalid username-password pair or user is disabled.", "queue_auth", False),
    ],
)
def test_what_redis_will_always_refuse_is_not_to_be_tried_again(answer: str, code: str, retryable: bool) -> None:
    error = explain(BaseParser.parse_error(answer), Settings())
    assert (error.code, error.retryable, bool(error.hint)) == (code, retryable, True)
