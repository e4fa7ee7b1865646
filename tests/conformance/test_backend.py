"""What every backend promises, checked on each kind with the same tests; `capabilities` says what is to be expected."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conformance.kinds import EXPORT_OF, KINDS, ONE_OF_EACH, Candidate, Spoken, load, release
from support.hearing import alike, assert_same, check, heard, one

from asrq_jobs.errors import CanceledError, ShutdownError, UnsupportedOptionError
from asrq_jobs.languages import NAMES
from asrq_worker.backends.base import SAMPLE_RATE, Backend, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.engine.engine import BatchDone, Engine
from asrq_worker.engine.messages import ChunkRef
from asrq_worker.engine.scheduler import ChunkDone, ChunkTask, Scheduler

pytest_plugins = ("qwen_checkpoint.fixtures",)

whatever_is_spoken = pytest.mark.parametrize(
    "kind", ONE_OF_EACH, ids=lambda kind: kind.name, indirect=True, scope="module"
)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Candidate:
    found: Candidate = request.param
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models are joined or made: once for all kinds."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def config(kind: Candidate, request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendConfig]:
    with kind.configure(request, folder) as given:
        yield given


@pytest.fixture(scope="module")
def backend(kind: Candidate, config: BackendConfig) -> Iterator[Backend]:
    loaded = load(kind.backend, config)
    yield loaded
    release(loaded)


@pytest.fixture(scope="module")
def speech(kind: Candidate, config: BackendConfig) -> dict[str, Spoken]:
    return kind.speech()


@pytest.fixture(scope="module")
def sound(speech: dict[str, Spoken]) -> Samples:
    """Two seconds of what the model knows best; noise, if it knows nothing."""
    if not speech:
        return np.random.default_rng(1).normal(scale=0.1, size=2 * SAMPLE_RATE).astype(np.float32)
    return np.resize(next(iter(speech.values())).samples, 2 * SAMPLE_RATE)


@pytest.fixture
def options(backend: Backend, speech: dict[str, Spoken]) -> ChunkOptions:
    """The language of `sound`, where it can be told."""
    language = next(iter(speech), "en")
    return ChunkOptions(language if language in backend.capabilities().languages else None)


@pytest.mark.parametrize("family", list(EXPORT_OF))
def test_real_exports_are_among_the_kinds(family: str) -> None:
    if f"onnx-{family}" not in {kind.name for kind in KINDS}:
        pytest.skip(f"no ONNX weights here: set {EXPORT_OF[family]} to a folder with a {family} export")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_speech_is_recognised(kind: Candidate, backend: Backend, speech: dict[str, Spoken], language: str) -> None:
    can = backend.capabilities()
    if language not in speech:
        if can.languages and language not in can.languages:
            assert isinstance(one(backend, np.zeros(100, np.float32), ChunkOptions(language)), UnsupportedOptionError)
        pytest.skip(f"no {NAMES[language]} here that {kind.name} could recognise")
    spoken = speech[language]
    if language in can.languages:
        told = heard(backend, spoken.samples, ChunkOptions(language))
        assert alike(told.text, spoken.text) >= spoken.share
        assert (told.language, told.language_probability) == (language, None)
    if can.detects_language and kind.tells_language and spoken.detectable:
        found = heard(backend, spoken.samples)
        assert alike(found.text, spoken.text) >= spoken.share
        assert found.language == language
    elif not can.languages:
        assert alike(heard(backend, spoken.samples).text, spoken.text) >= spoken.share


@whatever_is_spoken
@pytest.mark.parametrize("seconds", [0, 1 / SAMPLE_RATE, 0.1, 30])
def test_silence_is_empty_without_asking_the_model(backend: Backend, options: ChunkOptions, seconds: float) -> None:
    transcript = heard(backend, np.zeros(round(seconds * SAMPLE_RATE), np.float32), options)
    assert transcript == Transcript("", None)


@whatever_is_spoken
@pytest.mark.parametrize("scale", [1e-3, 0.1, 100.0])
def test_noise_is_no_error(backend: Backend, options: ChunkOptions, scale: float) -> None:
    noise = np.random.default_rng(7).normal(scale=scale, size=3 * SAMPLE_RATE).astype(np.float32)
    assert len(heard(backend, noise, options).text) < 200


@whatever_is_spoken
@pytest.mark.parametrize("seconds", [0.1, 0.25])
def test_scraps_of_speech_are_no_error(backend: Backend, sound: Samples, options: ChunkOptions, seconds: float) -> None:
    heard(backend, sound[SAMPLE_RATE : SAMPLE_RATE + round(seconds * SAMPLE_RATE)], options)


@whatever_is_spoken
def test_the_longest_chunk(backend: Backend, sound: Samples, options: ChunkOptions) -> None:
    longest_s = backend.capabilities().longest_chunk_s
    assert 10 <= longest_s <= 30
    full = np.zeros(round(longest_s * SAMPLE_RATE), np.float32)
    full[: len(sound)] = full[-len(sound) :] = sound
    assert heard(backend, full, options).text


@whatever_is_spoken
def test_numbers_that_are_not_finite_are_silence(backend: Backend, sound: Samples, options: ChunkOptions) -> None:
    broken = sound.copy()
    broken[::1000] = np.nan
    broken[1::1000] = np.inf
    heard(backend, broken, options)
    assert heard(backend, np.full(SAMPLE_RATE, np.nan, np.float32), options) == Transcript("", None)


def test_capabilities_are_honest(backend: Backend, sound: Samples, options: ChunkOptions) -> None:
    can = backend.capabilities()
    assert can.languages <= set(NAMES)
    assert can.detects_language or can.languages
    assert can.parallel >= 1
    assert can.max_batch >= 1
    assert "transcribe" in can.tasks
    for language in sorted(can.languages):
        assert isinstance(one(backend, sound[:0], ChunkOptions(language)), Transcript), language
    assert 0 <= (heard(backend, sound, options).language_probability or 0) <= 1


@pytest.mark.parametrize("option", ["translate", "word_timestamps", "prompt", "hotwords"])
def test_an_option_is_served_or_refused_with_a_hint(
    backend: Backend, sound: Samples, options: ChunkOptions, option: str
) -> None:
    can, language = backend.capabilities(), options.language
    asked, possible = {
        "translate": (ChunkOptions(language, task="translate"), "translate" in can.tasks),
        "word_timestamps": (ChunkOptions(language, word_timestamps=True), can.word_timestamps),
        "prompt": (ChunkOptions(language, prompt="A call."), can.prompt),
        "hotwords": (ChunkOptions(language, hotwords=("asrq", "Valkey")), can.hotwords),
    }[option]
    if possible:
        heard(backend, sound, asked)
        return
    refused = one(backend, sound, asked)
    assert isinstance(refused, UnsupportedOptionError)
    assert refused.hint
    assert not refused.retryable


def test_a_language_that_the_model_does_not_know_is_refused(backend: Backend, sound: Samples) -> None:
    claimed = backend.capabilities().languages
    for language in ("xx", *[code for code in NAMES if code not in claimed][:1]):
        refused = one(backend, sound, ChunkOptions(language))
        assert isinstance(refused, UnsupportedOptionError)
        assert language in refused.message
        assert refused.hint


def test_a_model_that_tells_no_languages_has_to_be_told(backend: Backend, sound: Samples) -> None:
    """Whatever is spoken, it would answer in what it knows."""
    if backend.capabilities().detects_language:
        assert isinstance(one(backend, sound, ChunkOptions()), Transcript)
        return
    refused = one(backend, sound, ChunkOptions())
    assert isinstance(refused, UnsupportedOptionError)
    assert "language=auto" in refused.message
    assert all(f"({code})" in (refused.hint or "") for code in backend.capabilities().languages)


def test_word_times(backend: Backend, sound: Samples, options: ChunkOptions) -> None:
    assert all(segment.words is None for segment in heard(backend, sound, options).segments)
    if not backend.capabilities().word_timestamps:
        return
    transcript = heard(backend, sound, ChunkOptions(options.language, word_timestamps=True))
    timed = [word for segment in transcript.segments for word in segment.words or ()]
    assert "".join(word.word for word in timed).replace(" ", "") == transcript.text.replace(" ", "")
    assert [word.start for word in timed] == sorted(word.start for word in timed)


@whatever_is_spoken
def test_a_batch_equals_its_chunks_and_a_poisoned_one_fails_alone(
    backend: Backend, sound: Samples, options: ChunkOptions
) -> None:
    good = [Chunk(sound, options), Chunk(sound[:SAMPLE_RATE], options), Chunk(sound[: SAMPLE_RATE // 20], options)]
    alone = [backend.transcribe_batch([chunk])[0] for chunk in good]
    assert all(isinstance(outcome, Transcript) for outcome in alone)
    poison, broken = Chunk(sound, ChunkOptions("xx")), Chunk(np.full(SAMPLE_RATE, np.nan, np.float32), options)
    first, refused, second, nothing, third = backend.transcribe_batch([good[0], poison, good[1], broken, good[2]])
    assert [first, second, third] == alone
    assert isinstance(refused, UnsupportedOptionError)
    assert nothing == Transcript("", None)
    assert backend.transcribe_batch([]) == []


@whatever_is_spoken
def test_the_same_samples_give_the_same_text_side_by_side(
    backend: Backend, sound: Samples, options: ChunkOptions
) -> None:
    noisy = sound + np.random.default_rng(3).normal(scale=0.05, size=len(sound)).astype(np.float32)
    chunks = [Chunk(samples, options) for samples in (sound, noisy[:SAMPLE_RATE])]
    alone = [backend.transcribe_batch([chunk])[0] for chunk in chunks]
    can = backend.capabilities()
    with ThreadPoolExecutor(can.parallel + can.spare) as threads:
        side_by_side = list(threads.map(lambda chunk: backend.transcribe_batch([chunk])[0], chunks * 2))
    assert side_by_side == alone * 2


@whatever_is_spoken
def test_it_loads_twice_in_one_process(
    kind: Candidate, config: BackendConfig, backend: Backend, sound: Samples, options: ChunkOptions
) -> None:
    before = backend.transcribe_batch([Chunk(sound, options)])
    other = load(kind.backend, config)
    assert other.transcribe_batch([Chunk(sound, options)]) == before
    release(other)
    assert backend.transcribe_batch([Chunk(sound, options)]) == before


class Held:
    """Stands before an engine: what it has done is told to the scheduler only when the gate of that time is open."""

    def __init__(self, engine: Engine) -> None:
        self._submit = engine.submit
        self.gate = threading.Event()
        self._went = threading.Condition()
        self._ends: set[int] = set()

    def submit(self, refs: Sequence[ChunkRef]) -> Future[BatchDone]:
        told, real, gate = Future[BatchDone](), self._submit(refs), self.gate

        def tell() -> None:
            try:
                done = real.result(120)
            except ShutdownError as error:  # the test is over
                told.set_exception(error)
                return
            assert gate.wait(60)
            told.set_result(done)

        threading.Thread(target=tell, daemon=True).start()
        with self._went:
            self._ends.update(ref.stop for ref in refs)
            self._went.notify_all()
        return told

    def has(self, end: int) -> bool:
        """Wait until the engine has been given the chunk that ends there."""
        with self._went:
            return self._went.wait_for(lambda: end in self._ends, 60)


@whatever_is_spoken
def test_a_canceled_chunk_is_dropped_and_its_batch_mates_go_on(
    kind: Candidate,
    config: BackendConfig,
    backend: Backend,
    sound: Samples,
    options: ChunkOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a real engine's process; what it transcribes is what the backend transcribes here."""
    path = tmp_path / "sound.f32"
    sound.astype("<f4").tofile(path)
    whole, part = len(sound), len(sound) - SAMPLE_RATE // 4
    engine = Engine(kind.backend, config)
    engine.start()
    try:
        can = engine.wait_ready(120).capabilities
        assert can == backend.capabilities()
        held = Held(engine)
        monkeypatch.setattr(engine, "submit", held.submit)
        scheduler = Scheduler(engine)

        def submit(job: str, end: int) -> Future[ChunkDone]:
            return scheduler.submit([ChunkTask(job, "batch", path, 0, end, options)])[0]

        # What runs first keeps the engine busy. When one place is free, the others meet in a batch, if there are any.
        first_gate = held.gate
        for number in range(can.parallel):
            end = SAMPLE_RATE + number
            submit(f"first-{end}", end)
            assert held.has(end)
            held.gate = threading.Event() if number == 0 else held.gate
        canceled, mate = submit("canceled", part), submit("mate", whole)
        gate, held.gate = held.gate, threading.Event()
        first_gate.set()
        assert held.has(part), "the shorter one goes first"
        scheduler.cancel("canceled")
        with pytest.raises(CanceledError):
            canceled.result(0)
        gate.set()
        held.gate.set()
        done = mate.result(120)
        assert_same(done.transcript, heard(backend, sound, options))
        check(done.transcript, whole / SAMPLE_RATE)
        assert (done.batch_size, engine.restarts) == (min(can.max_batch, 2), 0)
        scheduler.close()
    finally:
        engine.close()
