"""Which Transformers has Qwen3-ASR itself."""

from __future__ import annotations

import importlib.metadata

import pytest

from asrq_worker.backends.qwen import implementation


@pytest.mark.parametrize(
    ("installed", "native"),
    [("4.57.6", False), ("5.9.0", False), ("5.12.1", False), ("5.13.0", True), ("5.24.0.dev0", True), ("6.0.0", True)],
)
def test_it_is_transformers_5_13_and_later(monkeypatch: pytest.MonkeyPatch, installed: str, *, native: bool) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _package: installed)
    assert implementation.is_native() == native
    assert implementation.version() == (f"transformers/{installed}" if native else f"qwen-asr/{installed}")


def test_without_transformers_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert not implementation.is_native()
