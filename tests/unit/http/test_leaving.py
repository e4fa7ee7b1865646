"""Something that is done for a client, and the client that goes away meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asrq_worker.http import gateway
from asrq_worker.http.gateway import ClientGoneError, unless_left


async def _gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def _stays() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


def test_what_was_done_is_given_to_who_stays() -> None:
    async def work() -> str:
        return "done"

    assert asyncio.run(unless_left(_stays, work())) == "done"


def test_who_goes_away_is_not_waited_for_by_what_takes_a_cancellation_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a library does that has just run into its own timeout."""
    monkeypatch.setattr(gateway, "_AGAIN_S", 0.01)
    canceled = 0

    async def work() -> None:
        nonlocal canceled
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                canceled += 1
                if canceled == 3:
                    raise

    with pytest.raises(ClientGoneError):
        asyncio.run(unless_left(_gone, work()))
    assert canceled == 3
