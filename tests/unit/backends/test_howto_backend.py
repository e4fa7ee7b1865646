"""The backend that the how-to shows is run, and keeps what the how-to promises."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO

from asrq_jobs.errors import AsrqError, SettingsError, UnsupportedOptionError
from asrq_worker.backends.base import SAMPLE_RATE, Backend, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.engine import messages

PAGE = REPO / "docs" / "how-to" / "write-a-backend.md"


@pytest.fixture(scope="module")
def example() -> Iterator[type[Backend]]:
    """The class in the page's only block of Python."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    module = types.ModuleType("howto_backend")
    sys.modules[module.__name__] = module
    exec(compile(code, str(PAGE), "exec"), module.__dict__)  # noqa: S102  # the point of this test
    yield module.ClapBackend
    del sys.modules[module.__name__]


ENGLISH = ChunkOptions("en")


@pytest.fixture
def backend(example: type[Backend], tmp_path: Path) -> Backend:
    made = example(BackendConfig("claps", tmp_path))
    identity = made.load()
    assert (identity.backend, identity.model) == (example.name, "claps")
    made.warm_up()
    return made


def claps(count: int) -> Samples:
    samples = np.random.default_rng(1).normal(scale=0.01, size=(count + 1) * SAMPLE_RATE // 2)
    for n in range(count):
        samples[(n + 1) * SAMPLE_RATE // 2 - 800 :][:400] += 0.9
    return samples.astype(np.float32)


def one(backend: Backend, samples: Samples, options: ChunkOptions = ENGLISH) -> Transcript | AsrqError:
    [outcome] = backend.transcribe_batch([Chunk(samples, options)])
    return outcome


def test_it_transcribes(backend: Backend) -> None:
    heard = one(backend, claps(3))
    assert isinstance(heard, Transcript)
    assert (heard.text, heard.language) == ("clap clap clap", "en")
    assert "".join(segment.text for segment in heard.segments).strip() == heard.text
    assert one(backend, claps(3)) == heard


@pytest.mark.parametrize("seconds", [0, 1 / SAMPLE_RATE, 0.1, 30])
def test_silence_is_empty(backend: Backend, seconds: float) -> None:
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    assert one(backend, samples) == one(backend, np.full_like(samples, np.nan)) == Transcript("", None)


def test_a_batch_equals_its_chunks_and_a_bad_one_fails_alone(backend: Backend) -> None:
    asked = ("en", "ru", "en")
    chunks = [Chunk(claps(n + 1), ChunkOptions(language)) for n, language in enumerate(asked)]
    together = backend.transcribe_batch(chunks)
    assert [type(outcome) for outcome in together] == [Transcript, UnsupportedOptionError, Transcript]
    for chunk, outcome in zip(chunks, together, strict=True):
        if isinstance(outcome, Transcript):
            assert one(backend, chunk.samples, chunk.options) == outcome
    assert backend.transcribe_batch([]) == []


def test_what_it_does_not_claim_is_refused(backend: Backend) -> None:
    can = backend.capabilities()
    assert not can.detects_language
    for options in (ChunkOptions(), ChunkOptions("en", task="translate"), ChunkOptions("en", word_timestamps=True)):
        assert not can.word_timestamps
        assert isinstance(one(backend, claps(1), options), UnsupportedOptionError)


def test_outcomes_reach_the_parent(backend: Backend) -> None:
    outcomes = backend.transcribe_batch([Chunk(claps(2), ENGLISH), Chunk(claps(1), ChunkOptions("ru"))])
    heard, refused = messages.read_items(messages.done(1, outcomes, 2, 0.1))
    assert heard == outcomes[0]
    assert isinstance(refused, UnsupportedOptionError)


def test_a_wrong_option(example: type[Backend], tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        example(BackendConfig("claps", tmp_path, options={"threshold": 2})).load()
