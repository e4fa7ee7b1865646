"""What only Qwen3-ASR promises: the unmodified package on the tiny checkpoint."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qwen_checkpoint.corpus import HOTWORD, HOTWORD_SENTENCE, HOTWORD_TEXT, SENTENCES
from support.hearing import heard, one

from asrq_jobs.errors import UnsupportedOptionError
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, Chunk, ChunkOptions, Samples, Transcript
from asrq_worker.backends.guards import judge
from asrq_worker.backends.qwen.backend import QwenBackend

pytest_plugins = ("qwen_checkpoint.fixtures",)

Clips = dict[str, Samples]


@pytest.fixture
def terse(tiny_qwen: Path, tmp_path: Path, request: pytest.FixtureRequest) -> QwenBackend:
    """A backend, without an aligner, that may say no more than so many tokens: fewer than an operator may choose."""
    terse = QwenBackend(BackendConfig(str(tiny_qwen), tmp_path))
    terse._options = replace(terse._options, max_tokens=request.param)
    terse.load()
    return terse


@pytest.mark.parametrize("forced", [False, True], ids=["auto", "forced"])
def test_every_sentence_exactly_alone_and_batched(qwen: QwenBackend, clips: Clips, *, forced: bool) -> None:
    chunks = [Chunk(clips[each.id], ChunkOptions(each.language if forced else None)) for each in SENTENCES]
    batched = qwen.transcribe_batch(chunks)
    assert batched == [qwen.transcribe_batch([chunk])[0] for chunk in chunks]
    for sentence, outcome in zip(SENTENCES, batched, strict=True):
        assert isinstance(outcome, Transcript), outcome
        assert (outcome.text, outcome.language) == (sentence.text, sentence.language)
        assert outcome.language_probability is None
        seconds = len(clips[sentence.id]) / SAMPLE_RATE
        assert judge(outcome.text, language=sentence.language, seconds=seconds) == ()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (ChunkOptions(), HOTWORD_SENTENCE.text),
        (ChunkOptions(hotwords=("Kubernetes", "Redis")), HOTWORD_SENTENCE.text),
        (ChunkOptions(hotwords=(HOTWORD,)), HOTWORD_TEXT),
        (ChunkOptions(prompt=HOTWORD), HOTWORD_TEXT),
        (ChunkOptions(language="en", prompt=f"{HOTWORD}<|audio_pad|><|im_end|>"), HOTWORD_TEXT),
    ],
    ids=["none", "others", "hotword", "prompt", "prompt with control tokens"],
)
def test_the_context_reaches_the_model(qwen: QwenBackend, clips: Clips, options: ChunkOptions, text: str) -> None:
    assert heard(qwen, clips[HOTWORD_SENTENCE.id], options).text == text


def test_each_chunk_of_a_batch_has_its_own_context_and_language(qwen: QwenBackend, clips: Clips) -> None:
    options = (ChunkOptions(hotwords=(HOTWORD,)), ChunkOptions(), ChunkOptions(language="ru"))
    ids = (HOTWORD_SENTENCE.id, HOTWORD_SENTENCE.id, "ru04")
    outcomes = qwen.transcribe_batch([Chunk(clips[id_], option) for id_, option in zip(ids, options, strict=True)])
    texts = [outcome.text for outcome in outcomes if isinstance(outcome, Transcript)]
    assert texts == [HOTWORD_TEXT, HOTWORD_SENTENCE.text, "Выключи свет на кухне."]


def test_bad_items_fail_alone(qwen: QwenBackend, clips: Clips) -> None:
    good = Chunk(clips["ru05"], ChunkOptions())
    chunks = [
        good,
        Chunk(clips["en01"], ChunkOptions(language="is")),
        Chunk(clips["en01"], ChunkOptions(task="translate")),
        Chunk(clips["en01"][:0], ChunkOptions()),
        Chunk(np.full(SAMPLE_RATE, np.nan, np.float32), ChunkOptions()),
        Chunk(clips["en01"][:1], ChunkOptions()),
        good,
    ]
    first, language, task, empty, broken, scrap, last = qwen.transcribe_batch(chunks)
    assert first == last
    assert isinstance(first, Transcript)
    assert first.text == "Сколько стоит этот билет?"
    for refused in (language, task):
        assert isinstance(refused, UnsupportedOptionError)
        assert refused.hint
    for nothing in (empty, broken, scrap):
        assert isinstance(nothing, Transcript)
        assert (nothing.text, nothing.language, nothing.segments) == ("", None, ())


def test_words_are_timed_in_both_languages(qwen: QwenBackend, clips: Clips) -> None:
    for id_ in ("en03", "ru08"):
        transcript = heard(qwen, clips[id_], ChunkOptions(word_timestamps=True))
        [segment] = transcript.segments
        assert segment.words
        assert "".join(word.word for word in segment.words) == transcript.text
        times = [time for word in segment.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert times[-1] <= len(clips[id_]) / SAMPLE_RATE


@pytest.mark.parametrize("terse", [22], indirect=True)
def test_an_answer_at_the_token_limit_splits_the_chunk(terse: QwenBackend, clips: Clips) -> None:
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    samples = np.concatenate([clips["en03"], pause, clips["en04"]])
    transcript = heard(terse, samples, ChunkOptions(language="en"))
    assert transcript.text == "The meeting starts at nine o'clock. Turn off the lights in the kitchen."
    assert transcript.warnings == ("split_at_token_limit",)
    assert not transcript.truncated
    first, second = transcript.segments
    assert first.text + second.text == transcript.text
    pause_at = len(clips["en03"]) / SAMPLE_RATE
    assert pause_at - 0.3 < first.end == second.start < pause_at + 0.8
    assert second.end == len(samples) / SAMPLE_RATE


@pytest.mark.parametrize("terse", [2, 12], indirect=True)
def test_what_is_still_too_long_says_so(terse: QwenBackend, clips: Clips) -> None:
    limit = terse._options.max_tokens
    transcript = heard(terse, clips["en01"])
    assert transcript.truncated
    assert transcript.warnings == ("truncated",)
    assert transcript.text == ("" if limit == 2 else "The quick brown"), "never the cut header as text"
    assert SENTENCES[0].text.startswith(transcript.text)
    twice = heard(terse, np.concatenate([clips["en01"], clips["en01"]]))
    assert twice.truncated
    assert twice.warnings == ("split_at_token_limit", "truncated")


def test_words_of_japanese_are_found_by_a_package_that_is_loaded_when_they_are(
    tiny_qwen: Path, tiny_aligner: Path
) -> None:
    steps = """if True:
        import sys
        from pathlib import Path
        import soundfile
        from asrq_worker.backends.base import BackendConfig
        from asrq_worker.backends.qwen.backend import QwenBackend

        qwen = QwenBackend(BackendConfig(sys.argv[1], Path(), options={"aligner": sys.argv[2]}))
        qwen.load()
        samples, _ = soundfile.read(sys.argv[3], dtype="float32")
        for text, language in (("It is fine.", "en"), ("今日は天気", "ja")):
            print(*(word.word for word in qwen._model.align(samples, text, language)), "dynet" in sys.modules)
    """
    clip = next(each.clip for each in SENTENCES if each.id == "en01")
    command = [sys.executable, "-c", steps, str(tiny_qwen), str(tiny_aligner), str(clip)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines() == ["It is fine False", "今日 は 天気 True"]


@pytest.mark.parametrize("terse", [64], indirect=True)
def test_word_times_need_an_aligner(terse: QwenBackend, clips: Clips) -> None:
    assert not terse.capabilities().word_timestamps
    refused = one(terse, clips["en01"], ChunkOptions(word_timestamps=True))
    assert isinstance(refused, UnsupportedOptionError)
    assert "word_timestamps" in refused.message
    assert refused.hint
