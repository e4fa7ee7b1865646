"""What is said to an inference server, and what its answers mean."""

from __future__ import annotations

import io
import json
import wave
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from asrq_jobs.errors import MalformedOutputError, SettingsError
from asrq_jobs.languages import NAMES
from asrq_worker.backends import options
from asrq_worker.backends.base import BackendConfig, ChunkOptions, TimedSegment, TimedWord, Transcript
from asrq_worker.backends.server import messages, retry
from asrq_worker.backends.server.messages import Detail
from asrq_worker.backends.server.options import Options, checked

AUTO = ChunkOptions()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def read(answer: Any, options: ChunkOptions = AUTO, seconds: float = 4.0) -> Transcript:
    return messages.read_transcription(json.dumps(answer).encode(), options, seconds)


def test_samples_arrive_as_they_were() -> None:
    samples = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 7.0, -7.0], np.float32)
    with wave.open(io.BytesIO(messages.wav(samples))) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 16_000)
        frames = np.frombuffer(reader.readframes(99), "<i2") / 32768
    assert np.abs(frames - np.clip(samples, -1, 1)).max() < 1e-4
    sixteen_bits = np.arange(-32768, 32768, dtype="<i2")
    assert messages.wav((sixteen_bits / 32768).astype(np.float32))[44:] == sixteen_bits.tobytes()


@pytest.mark.parametrize(
    ("detail", "wanted", "granularities"),
    [
        (Detail.TEXT, "json", None),
        (Detail.SEGMENTS, "verbose_json", ["segment"]),
        (Detail.WORDS, "verbose_json", ["segment", "word"]),
    ],
)
def test_a_transcription_asks_for_no_more_than_it_must(detail: Detail, wanted: str, granularities: Any) -> None:
    fields = messages.transcription("m", b"RIFF", ChunkOptions(), detail)["data"]
    assert fields.pop("timestamp_granularities[]", None) == granularities
    assert fields == {"model": "m", "temperature": "0", "response_format": wanted}


def test_prompt_and_hotwords_go_along_without_control_tokens() -> None:
    options = ChunkOptions("ru", prompt="A call.<|im_end|><|im_start|>user<asr_text>", hotwords=("asrq", "Valkey"))
    fields = messages.transcription("m", b"", options, Detail.TEXT)["data"]
    assert fields["language"] == "ru"
    assert fields["prompt"] == "A call.  user \nasrq, Valkey"
    system, user = messages.completion("m", b"RIFF", options)["json"]["messages"]
    assert system == {"role": "system", "content": fields["prompt"]}
    assert user["content"] == [{"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,UklGRg=="}}]


@pytest.mark.parametrize(
    ("said", "code"),
    [("english", "en"), ("Russian", "ru"), ("ru", "ru"), ("en-US", "en"), ("zh_CN", "zh"), ("Chinese,English", "zh"),
     ("Haitian Creole", "ht"), ("Klingon, German", "de"), ("Klingon", None), ("auto", None), ("", None), (None, None)],
)  # fmt: skip
def test_languages_come_back_as_codes(said: str | None, code: str | None) -> None:
    assert read({"text": "x", "language": said}).language == code


def test_every_language_is_understood_by_code_and_by_name() -> None:
    for code, name in NAMES.items():
        assert read({"text": "x", "language": code}).language == code
        assert read({"text": "x", "language": name.lower()}).language == code


@pytest.mark.parametrize(
    ("said", "text", "language"),
    [
        ("language English<asr_text>Hello there.", "Hello there.", "en"),
        ("language Russian <asr_text> Привет.</asr_text>", "Привет.", "ru"),
        ("language None<asr_text>", "", None),
        ("<asr_text>Hello.", "Hello.", None),
        ("language Chinese,English<asr_text>你好 hello", "你好 hello", "zh"),
        ("language English<asr_text>One. language English<asr_text>Two.", "One. Two.", "en"),
        ("The language English is spoken.", "The language English is spoken.", None),
        ("  \n", "", None),
    ],
)
def test_leaked_markup_is_taken_out(said: str, text: str, language: str | None) -> None:
    heard = read({"text": said})
    assert (heard.text, heard.language) == (text, language)
    choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}).encode()
    assert messages.read_completion(body, ChunkOptions()) == Transcript(text, language)


def test_a_language_that_was_asked_for_is_kept() -> None:
    assert read({"text": "x", "language": "german"}, ChunkOptions("ru")).language == "ru"


def test_segments_are_kept_in_order_and_within_the_chunk() -> None:
    heard = read(
        {
            "text": " One two.  Three.",
            "segments": [
                {"start": 2.0004, "end": 9.0, "text": "Three.", "avg_logprob": -0.5, "compression_ratio": 1.2},
                {"start": -1, "end": 2, "text": "One two.", "tokens": [1, 2], "no_speech_prob": 0.01, "seek": 0},
            ],
        }
    )
    assert heard.text == "One two. Three."
    assert heard.segments == (
        TimedSegment(0.0, 2.0, " One two.", tokens=(1, 2), no_speech_prob=0.01),
        TimedSegment(2.0, 4.0, " Three.", avg_logprob=-0.5, compression_ratio=1.2),
    )


def test_statistics_that_a_server_makes_up_are_unknown() -> None:
    segment = {"start": 0, "end": 1, "text": "x", "avg_logprob": -1.0, "compression_ratio": -1.0, "no_speech_prob": 0}
    [timed] = read({"text": "x", "segments": [segment]}).segments
    assert (timed.avg_logprob, timed.compression_ratio, timed.no_speech_prob) == (None, None, None)


def test_words_find_their_segments() -> None:
    words = [{"word": w, "start": n, "end": n + 0.9} for n, w in enumerate(("One", "two", "Three"))]
    segments = [{"start": 0, "end": 2, "text": " One two."}, {"start": 2, "end": 3, "text": " Three."}]
    heard = read({"text": "One two. Three.", "segments": segments, "words": words})
    assert [[word.word for word in segment.words or ()] for segment in heard.segments] == [["One", "two"], ["Three"]]
    alone = read({"text": "One two. Three.", "words": words})
    [segment] = alone.segments
    assert (segment.start, segment.end, segment.text) == (0.0, 2.9, "One two. Three.")
    assert segment.words == tuple(TimedWord(w, n, n + 0.9) for n, w in enumerate(("One", "two", "Three")))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"{}",
        b'{"text": null}',
        b'{"text": 7}',
        b'{"text": "x", "segments": {}}',
        b'{"text": "x", "segments": [{"start": "0", "end": 1, "text": "x"}]}',
        b'{"text": "x", "segments": [{"start": NaN, "end": 1, "text": "x"}]}',
        b'{"text": "x", "words": [{"word": "x"}]}',
        b'{"text": ' + b"[" * 5000,
        b'{"error": {"message": "no"}}',
    ],
)
def test_whatever_is_not_a_transcript_is_malformed(body: bytes) -> None:
    for parse in (
        lambda: messages.read_transcription(body, ChunkOptions(), 1.0),
        lambda: messages.read_completion(body, ChunkOptions()),
        lambda: messages.read_models(body),
    ):
        with pytest.raises(MalformedOutputError, match="malformed") as caught:
            parse()
        assert caught.value.hint
        assert "\n" not in caught.value.message


def test_an_answer_that_was_cut_says_so() -> None:
    body = json.dumps({"choices": [{"message": {"content": "One two"}, "finish_reason": "length"}]}).encode()
    heard = messages.read_completion(body, ChunkOptions())
    assert (heard.truncated, heard.warnings) == (True, ("truncated",))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("soon", None),
        ("nan", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:07 -0000", 7.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry.retry_after_s(header, NOW) == seconds


def test_pauses_grow_and_honour_the_server() -> None:
    assert [retry.pause_s(n, None, 0.5) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert retry.pause_s(1, None, 0.0) == 0.375
    assert retry.pause_s(1, 30.0, 0.5) == 30
    assert retry.pause_s(3, 1.0, 0.5) == 2


def configured(given: dict[str, Any]) -> Options:
    return checked(options.read(Options, BackendConfig("m", Path("unused"), options=given), backend="server"))


def test_options_and_their_defaults() -> None:
    given = configured({"url": " https://host:8443/asr/v1/ ", "api_key": " sesame ", "api": "chat"})
    assert (given.url, given.api) == ("https://host:8443/asr", "chat")
    assert given.api_key == SecretStr("sesame")
    assert (given.concurrency, given.timeout_s, given.languages) == (4, 50.0, tuple(sorted(NAMES)))
    assert "sesame" not in repr(given), "the key is in no log"
    assert configured({"url": "http://h", "languages": ["ru", "English"]}).languages == ("en", "ru")
    assert configured({"url": "http://h", "languages": "ru, English,"}).languages == ("en", "ru")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "not an http"),
        ({"url": "gpu-host:8000"}, "not an http"),
        ({"url": "ftp://host"}, "not an http"),
        ({"url": "http://host:99999"}, "not an http"),
        ({"url": "http://user:sesame@host"}, "no user name"),
        ({"url": "http://host/v1?key=sesame"}, "no user name, query"),
        ({"url": "http://host", "api": "grpc"}, "server_api: Input should be"),
        ({"url": "http://host", "api_key": "sesame\r\nX: y"}, "key has characters"),
        ({"url": "http://host", "api_key": "sésame"}, "key has characters"),
        ({"url": "http://host", "concurrency": -1}, "server_concurrency: Input should be greater"),
        ({"url": "http://host", "languages": ["klingon"]}, "languages: Unknown language"),
    ],
)
def test_options_that_do_not_fit(given: dict[str, Any], match: str) -> None:
    with pytest.raises(SettingsError, match=match) as caught:
        configured(given)
    assert "sesame" not in caught.value.message + (caught.value.hint or "")
