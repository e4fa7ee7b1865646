"""Bridges on the fake backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .app import App

Start = Callable[..., App]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start bridges of a test's own; each is gone after it."""
    running: list[App] = []

    def make(*options: str, **settings: Any) -> App:
        running.append(App(tmp_path, *options, **settings))
        return running[-1]

    yield make
    for app in running:
        app.kill()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A warm bridge that the tests of a module share."""
    shared = App(tmp_path_factory.mktemp("bridge"), parallel=4, lane_depth=3)
    try:
        shared.op("ready")
        yield shared
    finally:
        shared.kill()


@pytest.fixture(scope="session")
def clip(data: Path) -> Path:
    """Six seconds of speech."""
    return data / "hello-en.flac"
