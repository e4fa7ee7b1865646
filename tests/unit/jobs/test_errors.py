"""Errors carry what a user can do about them."""

from __future__ import annotations

import ast

from conftest import REPO

from asrq_jobs.errors import AsrqError, AudioError, DeadlineError, EngineError, PoisonedError, SetupError


def test_bad_audio_always_comes_with_what_to_do() -> None:
    """Those without a hint of their own are given one, with the figures, wherever they are raised."""
    without = {cls.code for cls in AudioError.__subclasses__() if cls.default_hint is None}
    assert without == {"audio_too_large", "audio_too_long", "audio_mismatch"}


def test_a_backend_that_does_not_serve_always_comes_with_what_to_do() -> None:
    kinds: tuple[type[AsrqError], ...] = (SetupError, EngineError, DeadlineError, PoisonedError)
    kinds += tuple(cls for kind in kinds for cls in kind.__subclasses__())
    bare = {cls.__name__ for cls in kinds if cls.default_hint is None}
    assert "ModelMissingError" in bare, "what is left has its hint where it is made"
    made = [
        (path.name, call.lineno)
        for folder in ("jobs", "worker")
        for path in (REPO / folder).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in bare
        if not any(keyword.arg == "hint" for keyword in call.keywords)
    ]
    assert made == []
