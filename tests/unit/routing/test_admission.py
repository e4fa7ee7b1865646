"""A request that cannot be served is refused before any work."""

from __future__ import annotations

from typing import Any

import pytest

from asrq_jobs.errors import NotServedError, UnsupportedOptionError
from asrq_jobs.request import PathAudio, Request
from asrq_worker.backends.base import Capabilities, ChunkOptions, Identity
from asrq_worker.routing.admission import admit

SERVED = Identity("whisper", "1.2.1", "tiny.en", None, "cpu", "int8")
CAN = Capabilities(languages=frozenset({"en"}), detects_language=False, word_timestamps=True, prompt=True)


def _request(**fields: Any) -> Request:
    return Request.build(id="a", audio=PathAudio(path="/a.wav"), **fields)


def test_what_can_be_done_becomes_options() -> None:
    request = _request(language="en", word_timestamps=True, prompt="Grafana", backend="whisper", model="tiny.en")
    assert admit(request, SERVED, CAN) == ChunkOptions(language="en", word_timestamps=True, prompt="Grafana")


def test_auto_is_left_to_the_backend() -> None:
    assert admit(_request(), SERVED, Capabilities(languages=frozenset({"en", "ru"}))).language is None


def test_languages_to_choose_among_are_handed_on_and_one_is_no_choice() -> None:
    can = Capabilities(languages=frozenset({"en", "ru"}))
    assert admit(_request(languages=("ru", "en")), SERVED, can) == ChunkOptions(languages=("ru", "en"))
    assert admit(_request(languages=("Russian",)), SERVED, can) == ChunkOptions(language="ru")
    assert admit(_request(languages=("en",)), SERVED, CAN) == ChunkOptions(language="en"), "no detection is needed"
    with pytest.raises(UnsupportedOptionError, match="German"):
        admit(_request(languages=("en", "de")), SERVED, can)
    with pytest.raises(UnsupportedOptionError, match="ru, en"):
        admit(_request(languages=("ru", "en")), SERVED, Capabilities(languages=frozenset()))


@pytest.mark.parametrize("fields", [{"backend": "qwen"}, {"model": "base"}])
def test_another_backend_or_model_is_not_served(fields: dict[str, str]) -> None:
    with pytest.raises(NotServedError) as caught:
        admit(_request(**fields), SERVED, CAN)
    assert next(iter(fields.values())) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"language": "ru"}, "Russian"),
        ({"language": "en", "task": "translate"}, "translate"),
        ({"language": "en", "hotwords": ("Grafana",)}, "hotwords"),
    ],
)
def test_an_option_beyond_the_model_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedOptionError, match=named):
        admit(_request(**fields), SERVED, CAN)


@pytest.mark.parametrize("known", [{"en"}, {"en", "ru"}])
def test_detection_is_refused_where_there_is_none(known: set[str]) -> None:
    """Even where one language is all that the model knows: it would hear any speech as that."""
    blind = Capabilities(languages=frozenset(known), detects_language=False)
    with pytest.raises(UnsupportedOptionError, match="auto") as caught:
        admit(_request(), SERVED, blind)
    assert "English (en)" in (caught.value.hint or "")
    assert "as `language` (option --language)" in (caught.value.hint or "")
