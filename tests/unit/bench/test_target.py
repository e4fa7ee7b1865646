"""What `--backend` means."""

from __future__ import annotations

import pytest

from asrq_jobs.errors import SettingsError, UsageError
from asrq_jobs.settings import Settings
from asrq_worker.bench.target import Target, parse


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("whisper:tiny.en", Target("whisper", "tiny.en")),
        ("whisper", Target("whisper", "base")),
        ("qwen:/models/qwen", Target("qwen", "/models/qwen")),
        (r"qwen:C:\models\qwen", Target("qwen", r"C:\models\qwen")),
    ],
)
def test_backend_and_model(text: str, target: Target) -> None:
    assert parse(text, Settings()) == target


def test_an_unknown_backend_is_said_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="'whimper'") as caught:
        parse("whimper:base", Settings())
    assert "whisper" in (caught.value.hint or "")


def test_a_backend_without_any_model_is_said() -> None:
    with pytest.raises(UsageError, match="names no model"):
        parse("server", Settings())
