"""What clients are told when somebody has written over a key that all jobs share, and what becomes of the job."""

from __future__ import annotations

import pytest
from conftest import Asrq
from integration.security.damaging import damage, reaping
from redis import Redis
from support.waiting import until

from asrq_jobs import Client, keys
from asrq_jobs.errors import QueueUnusableError
from asrq_jobs.request import PathAudio, Request


@pytest.mark.parametrize(
    ("command", "damaged"),
    [
        ("submit", keys.RQ_QUEUES),
        ("cancel", keys.registry("canceled", "batch")),
        ("cancel", keys.STATS),
        ("retry", keys.queue("batch")),
        ("purge", keys.registry("failed", "batch")),
        ("erase", keys.LEASES),
    ],
)
def test_a_command_that_meets_a_damaged_key_says_so_and_works_once_it_is_repaired(
    redis: Redis, client: Client, asrq: Asrq, command: str, damaged: str
) -> None:
    audio = PathAudio(path="/audio")
    if command != "submit":
        client.submit_request(Request.build(id="job", audio=audio))
    if command in {"retry", "purge"}:
        client.cancel("job")
        redis.hset(keys.job("job"), "status", "failed")
    do = {
        "submit": lambda: client.submit_request(Request.build(id="job", audio=audio)),
        "cancel": lambda: client.cancel("job"),
        "retry": lambda: client.retry("job"),
        "purge": lambda: client.purge("job"),
        "erase": lambda: client.erase("job"),
    }[command]
    before = redis.dump(keys.job("job"))
    damage(redis, damaged)
    with pytest.raises(QueueUnusableError) as refused:
        do()
    assert "reaper" in (refused.value.hint or "")
    if command in {"cancel", "retry", "erase"}:
        done = asrq(command, "job")
        assert done.returncode == 3
        assert done.stderr.startswith("asrq: error: A key of the queue in Redis")
        assert refused.value.hint in done.stderr
        assert "Traceback" not in done.stderr
    assert redis.dump(keys.job("job")) == before
    with reaping(redis, client.settings):
        until(lambda: redis.exists(keys.aside(damaged)))
    do()
