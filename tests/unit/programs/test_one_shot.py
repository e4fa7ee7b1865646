"""What runs without a queue starts no more than its files need."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrq_jobs.settings import Settings
from asrq_worker.programs import one_shot


class Built(Exception):  # noqa: N818  # no error
    """The transcriber was to be built with such settings."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.settings = settings


def refuse(settings: Settings) -> None:
    raise Built(settings)


@pytest.mark.parametrize(("files", "decoders"), [(0, 1), (1, 1), (2, 2), (5, 3)])
def test_there_are_no_more_decoders_than_files(monkeypatch: pytest.MonkeyPatch, files: int, decoders: int) -> None:
    monkeypatch.setattr(one_shot, "Transcriber", refuse)
    settings = Settings(decoders=3, backend="fake").with_backends({"beam_size": 2})
    with pytest.raises(Built) as caught:
        list(one_shot.transcribe(settings, [Path("talk.mp3")] * files))
    assert caught.value.settings.decoders == decoders
    assert caught.value.settings.options_of("whisper") == {"beam_size": 2}
