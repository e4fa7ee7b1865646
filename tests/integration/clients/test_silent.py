"""A server that accepts and says nothing: commands answer after their timeout and one more try, with a code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from conftest import Asrq
from support.relay import Silence

from asrq_jobs import AsyncClient, Client
from asrq_jobs.errors import QueueUnreachableError
from asrq_jobs.settings import Settings

COMMANDS = (
    ("status", "job"),
    ("result", "job"),
    ("cancel", "job"),
    ("retry", "job"),
    ("list",),
    ("dead", "list"),
    ("backend", "show"),
    ("models", "list", "--loaded"),
    ("reaper", "--once"),
    ("worker", "--check"),
    ("reaper", "--check"),
    ("doctor",),
)


@pytest.fixture
def silent() -> Iterator[Silence]:
    with Silence() as listening:
        yield listening


def test_a_call_is_tried_twice(silent: Silence) -> None:
    settings = Settings(redis_url=silent.url, redis_timeout_s=1.0)
    with Client(settings) as client, pytest.raises(QueueUnreachableError):
        client.state("job")
    assert silent.accepted == 2


def test_so_is_one_of_asyncio(silent: Silence) -> None:
    async def ask() -> None:
        async with AsyncClient(Settings(redis_url=silent.url, redis_timeout_s=1.0)) as client:
            await client.state("job")

    with pytest.raises(QueueUnreachableError):
        asyncio.run(ask())
    assert silent.accepted == 2


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_says_so(
    silent: Silence, asrq: Asrq, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ASRQ_REDIS_URL", silent.url)
    monkeypatch.setenv("ASRQ_REDIS_TIMEOUT_S", "1")
    done = asrq(*command)
    assert done.returncode != 0
    assert "does not answer" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= silent.accepted <= 2
