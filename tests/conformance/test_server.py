"""What only the server backend promises, over HTTP to our own backends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.kinds import release
from support.needs import missing
from support.openai_server import Behaviour, serving

from asrq_jobs.errors import ModelMissingError, ServerFailedError, ServerRefusedError, UnsupportedOptionError
from asrq_worker.backends.base import (
    SAMPLE_RATE,
    Backend,
    BackendConfig,
    Chunk,
    ChunkOptions,
    Samples,
    TimedSegment,
    TimedWord,
    Transcript,
)
from asrq_worker.backends.registry import backend_class
from asrq_worker.backends.server import retry
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import ChunkRef
from asrq_worker.process.backoff import Backoff

ENGLISH = ChunkOptions(language="en")


@contextmanager
def over(name: str, model: str, folder: Path, **options: Any) -> Iterator[tuple[Backend, Backend]]:
    """Give a loaded server backend and the backend that its server runs."""
    behind = backend_class(name)(BackendConfig(model, folder))
    try:
        behind.load()
    except ModelMissingError:
        missing(f"the model {model}")
    with serving(Behaviour(behind)) as url:
        given = {"url": url, "timeout_s": 300, "concurrency": 2, **options}
        backend = backend_class("server")(BackendConfig("remote-model", folder, options=given))
        backend.load()
        backend.warm_up()
        try:
            yield backend, behind
        finally:
            release(backend)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with over("fake", "fake", tmp_path_factory.mktemp("fake")) as (backend, _):
        yield backend


@pytest.fixture
def noise() -> Samples:
    return np.random.default_rng(7).normal(scale=0.1, size=3 * SAMPLE_RATE).astype(np.float32)


def one(backend: Backend, samples: Samples, options: ChunkOptions = ENGLISH) -> Transcript:
    [outcome] = backend.transcribe_batch([Chunk(samples, options)])
    assert isinstance(outcome, Transcript), outcome
    return outcome


def timed(text: str, said: TimedSegment | TimedWord) -> tuple[str, float, float]:
    """A text with its times, in the milliseconds that the API is read in."""
    return text, round(said.start, 3), round(said.end, 3)


def test_speech_comes_back_as_from_the_model_itself(data: Path, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples, _ = soundfile.read(data / "hello-en.flac", dtype="float32")
    with over("whisper", "base", tmp_path) as (backend, behind):
        for options in (ENGLISH, ChunkOptions("en", word_timestamps=True)):
            far, near = one(backend, samples, options), one(behind, samples, options)
            assert len(near.text) > 20
            assert (far.text, far.language) == (near.text, "en")
            assert [timed(s.text, s) for s in far.segments] == [timed(s.text, s) for s in near.segments]
            assert [[timed(w.word, w) for w in s.words or ()] for s in far.segments] == [
                [timed(w.word.strip(), w) for w in s.words or ()] for s in near.segments
            ]
            assert far.language_probability is None, "the API does not tell it"


def test_a_poisoned_item_fails_alone(fake: Backend, noise: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF", Backoff(0.01, 8.0))
    options = (ENGLISH, ChunkOptions("en", prompt="fail"), ChunkOptions("xx"), ENGLISH)
    first, failed, refused, last = fake.transcribe_batch([Chunk(noise, given) for given in options])
    assert isinstance(first, Transcript)
    assert first == last
    assert isinstance(failed, ServerFailedError)
    assert isinstance(refused, UnsupportedOptionError)
    assert refused.hint


def test_languages_go_there_and_come_back(fake: Backend, noise: Samples) -> None:
    for language in ("ru", "en", "yue", "ht"):
        assert one(fake, noise, ChunkOptions(language)).language == language
    assert one(fake, noise, ChunkOptions()).language == "en", "as the server detects, `english`"


def test_what_is_not_possible_is_refused(fake: Backend, noise: Samples, tmp_path: Path) -> None:
    [refused] = fake.transcribe_batch([Chunk(noise, ChunkOptions(task="translate"))])
    assert isinstance(refused, UnsupportedOptionError)
    with over("fake", "fake", tmp_path, languages=["ru"]) as (backend, _):
        [refused] = backend.transcribe_batch([Chunk(noise, ENGLISH)])
        assert isinstance(refused, UnsupportedOptionError)
        assert re.search("does not know English", refused.message)


def test_in_the_engines_process(tmp_path: Path, noise: Samples) -> None:
    spool = tmp_path / "noise.f32"
    noise.tofile(spool)
    behind = backend_class("fake")(BackendConfig("fake", tmp_path))
    behind.load()
    with serving(Behaviour(behind, key="sesame")) as url:
        for key in ("sesame", "wrong"):
            options = {"url": url, "api_key": key, "concurrency": 3, "languages": ["en"]}
            engine = Engine("server", BackendConfig("remote-model", tmp_path, options=options))
            engine.start()
            try:
                if key == "wrong":
                    with pytest.raises(ServerRefusedError, match="refuses our key"):
                        engine.wait_ready(120)
                    assert engine.final, "another try would not fix it"
                    continue
                loaded = engine.wait_ready(120)
                assert loaded.identity.device == "remote"
                assert (loaded.capabilities.parallel, loaded.capabilities.word_timestamps) == (3, True)
                done = engine.submit([ChunkRef(spool, 0, len(noise), ENGLISH)]).result(120)
                [heard] = done.items
                assert isinstance(heard, Transcript)
                assert heard.text
            finally:
                engine.close()
