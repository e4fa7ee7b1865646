"""A whole asrq on this machine for all acceptance tests together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.running import up


@pytest.fixture(scope="session")
def _live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with up(folder=tmp_path_factory.mktemp("up")) as (url, _):
        yield url


@pytest.fixture(scope="session")
def _ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with up("--backend", "fake", "--model", "m", folder=tmp_path_factory.mktemp("ready")) as (url, _):
        yield url


@pytest.fixture
def ready(_ready: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same with a worker that answers at once: for what depends on no model."""
    monkeypatch.setenv("ASRQ_REDIS_URL", _ready)
    return _ready


@pytest.fixture
def live(_live: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a queue with a worker (base) behind it; also in `ASRQ_REDIS_URL`."""
    monkeypatch.setenv("ASRQ_REDIS_URL", _live)
    return _live
