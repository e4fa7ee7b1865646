"""OpenAI's own Python package against the gateway and a real worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.processes import worker

from asrq_jobs import Client

if TYPE_CHECKING:
    import openai


@pytest.fixture
def audio(data: Path) -> Path:
    return data / "hello-en.flac"


def test_every_format_from_a_real_worker(official: openai.OpenAI, valkey_url: str, client: Client, audio: Path) -> None:
    import openai

    ask = official.audio.transcriptions
    with worker(valkey_url, model="fake-model"):
        plain = ask.with_raw_response.create(file=audio, model="whisper-1", language="en", temperature=0.2)
        job = client.result(plain.headers["X-Asrq-Job"])
        assert job is not None
        assert job.text
        assert plain.parse().text == job.text
        assert job.audio is not None
        assert job.audio.name == "hello-en.flac"

        whole = ask.create(
            file=audio,
            model="fake-model",
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            prompt="Hello.",
            extra_body={"hotwords": "asrq, Valkey"},
        )
        assert whole.text == job.text
        assert whole.language == "english"
        assert whole.duration == job.duration
        assert whole.segments
        assert whole.words
        assert whole.words[0].word == job.text
        only_words = ask.create(
            file=audio, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"]
        )
        assert only_words.segments is None
        assert only_words.words

        assert ask.create(file=audio, model="whisper-1", response_format="text") == f"{job.text}\n"
        subtitles = ask.create(file=audio, model="whisper-1", response_format="srt")
        assert subtitles.startswith("1\n00:00:0")
        assert job.text in subtitles
        assert ask.create(file=audio, model="whisper-1", response_format="vtt").startswith("WEBVTT\n")
        assert official.audio.translations.create(file=audio, model="whisper-1").text == job.text

        names = [model.id for model in official.models.list()]
        assert names == ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "fake-model"]
        assert official.models.retrieve("fake-model").owned_by == "fake"
        with pytest.raises(openai.NotFoundError, match="no model 'large-v9' here") as unknown:
            ask.create(file=audio, model="large-v9")
        assert unknown.value.code == "not_served"

        with pytest.raises(openai.BadRequestError) as unreadable:
            ask.create(file=("notes.txt", b"This is no audio."), model="whisper-1")
        assert unreadable.value.code == "audio_unreadable"
        assert isinstance(unreadable.value.body, dict)
        assert "Check that the file plays" in unreadable.value.body["hint"]


def test_many_wait_at_once(address: str, valkey_url: str, audio: Path) -> None:
    import openai

    async def main() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            ask = client.audio.transcriptions
            asked = (ask.create(file=audio, model="whisper-1", prompt=f"{number}") for number in range(20))
            return [answer.text for answer in await asyncio.gather(*asked)]

    with worker(valkey_url):
        assert len(set(asyncio.run(main()))) == 1
