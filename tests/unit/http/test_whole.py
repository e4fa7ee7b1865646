"""Answers after which something is done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.background import BackgroundTask

from asrq_worker.http.gateway import ClientGoneError
from asrq_worker.http.whole import WholeAnswer

BODY = b"0123456789" * 100_000


async def answered(leaves_after: int | None) -> tuple[bytes, bool]:
    """Return what a client got that leaves after so many parts, and whether it was then taken for served."""
    got: list[bytes] = []
    left, served = asyncio.Event(), asyncio.Event()

    async def send(message: Any) -> None:
        if body := message.get("body"):
            got.append(body)
        if len(got) == leaves_after:
            left.set()

    async def receive() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    async def serve() -> None:
        served.set()

    try:
        await WholeAnswer(BODY, background=BackgroundTask(serve))({}, receive, send)
    except ClientGoneError:
        assert leaves_after is not None
    return b"".join(got), served.is_set()


def test_a_client_that_stays_gets_it_all() -> None:
    assert asyncio.run(answered(None)) == (BODY, True)


@pytest.mark.parametrize("parts", [1, 10])
def test_one_that_leaves_before_the_end_was_not_served(parts: int) -> None:
    assert not asyncio.run(answered(parts))[1]
