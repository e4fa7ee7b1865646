"""The gateway on a port of this machine, in front of a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from redis import Redis

from asrq_jobs.settings import Settings
from asrq_jobs.testing import ScriptedWorker
from asrq_worker.http.service import serving

if TYPE_CHECKING:  # it takes a second to import: only where it is used
    import openai


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    """What the gateway is to go by, unless a test wants otherwise."""
    return Settings(redis_url=valkey_url, max_audio_mb=1, grace_s=1, redis_retry_s=1, redis_timeout_s=2)


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    """Where it listens."""
    with serving(settings, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    """A client that knows nothing of transcriptions."""
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture
def official(address: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, told to ask us."""
    import openai

    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def scripted(redis: Redis) -> ScriptedWorker:
    """A worker that does as it is told."""
    return ScriptedWorker(redis)
