"""Errors carry what a user can do about them."""

from __future__ import annotations

from asrq_jobs.errors import AudioError


def test_bad_audio_always_comes_with_what_to_do() -> None:
    """Those without a hint of their own are given one, with the figures, wherever they are raised."""
    without = {cls.code for cls in AudioError.__subclasses__() if cls.default_hint is None}
    assert without == {"audio_too_large", "audio_too_long", "audio_mismatch"}
