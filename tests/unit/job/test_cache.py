"""A result serves another job only if nothing that decides a text differs."""

from __future__ import annotations

from typing import Any

import pytest

from asrq_jobs.request import PathAudio, Request
from asrq_worker.job import cache

ASKED: dict[str, Any] = {"id": "a", "audio": PathAudio(path="/a.wav")}
HEARD: dict[str, Any] = {"sha256": "0" * 64, "fingerprint": "f", "chunk_s": 28.0, "stand_in": False}

OF_MATTER = {
    "task": "translate", "language": "ru", "languages": ("en", "ru"), "backend": "fake", "model": "m", "track": 2,
    "diarize": True, "speakers": 2, "min_speakers": 3, "max_speakers": 4,
    "channels": "separate", "word_timestamps": True, "prompt": "Grafana", "hotwords": ("Valkey",),
}  # fmt: skip
OF_NO_MATTER = {
    "id": "b", "lane": "interactive", "audio": PathAudio(path="/b.wav"), "timeout_s": 9, "queue_ttl_s": 9,
    "webhook": "http://a/", "deliver": "s3://a/b", "retries": 2, "keep": "nothing",
    "metadata": {"order": "4711"}, "tags": ("night",), "group": {"id": "night", "size": 2},
}  # fmt: skip


def key(asked: dict[str, Any], heard: dict[str, Any]) -> str:
    return cache.key(Request.build(**ASKED | asked), **HEARD | heard)


def test_the_key_covers_every_field_of_a_request_that_decides_a_text() -> None:
    assert {*OF_MATTER, *OF_NO_MATTER, "schema_"} == set(Request.model_fields), "which is a new field?"
    told_apart = {name: {"diarize": True} for name in ("speakers", "min_speakers", "max_speakers")}
    keys = [key({name: value} | told_apart.get(name, {}), {}) for name, value in OF_MATTER.items()]
    assert len({key({}, {}), *keys}) == len(keys) + 1
    assert {key({name: value}, {}) for name, value in OF_NO_MATTER.items()} == {key({}, {})}


@pytest.mark.parametrize(
    "heard", [{"sha256": "1" * 64}, {"fingerprint": "g"}, {"chunk_s": 20.0}, {"stand_in": True}, {"voices": "v"}]
)
def test_the_key_covers_the_audio_and_how_it_is_heard(heard: dict[str, Any]) -> None:
    assert key({}, heard) != key({}, {})


def test_the_key_covers_the_versions_of_what_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key({}, {})
    cache._decoding.cache_clear()
    monkeypatch.setattr("importlib.metadata.version", lambda _package: "999")
    assert key({}, {}) != before
    cache._decoding.cache_clear()
