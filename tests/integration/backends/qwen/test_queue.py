"""Qwen3-ASR in a real worker, through a real queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qwen_checkpoint.corpus import HOTWORD, HOTWORD_SENTENCE, HOTWORD_TEXT, SENTENCES
from support.processes import Process, worker

from asrq_jobs import Client

pytest_plugins = ("qwen_checkpoint.fixtures",)


@pytest.fixture
def serving(valkey_url: str, tiny_qwen: Path) -> Iterator[Process]:
    with worker(valkey_url, backend="qwen", model=str(tiny_qwen), lanes="interactive:2,batch:16") as running:
        yield running


def test_every_sentence_through_the_queue(client: Client, serving: Process, tiny_qwen: Path) -> None:
    jobs = [client.submit_file(sentence.clip) for sentence in SENTENCES]
    jobs += [client.submit_file(sentence.clip, language=sentence.language) for sentence in SENTENCES]
    hotword = client.submit_file(HOTWORD_SENTENCE.clip, hotwords=(HOTWORD,), lane="interactive")
    refused = client.submit_file(HOTWORD_SENTENCE.clip, word_timestamps=True)
    results = [client.wait(job.id, timeout_s=120) for job in jobs]
    for sentence, result in zip(SENTENCES * 2, results, strict=True):
        assert (result.status, result.text, result.language) == ("completed", sentence.text, sentence.language)
        assert (result.backend, result.backend_version, result.model) == ("qwen", "qwen-asr/0.0.6", str(tiny_qwen))
        assert (result.language_probability, result.warnings, result.truncated) == (None, (), False)
        assert [segment.text for segment in result.segments] == [sentence.text]
        assert result.timings is not None
        assert result.timings.model_load_s
    assert any(result.timings and (result.timings.batch_size or 0) > 1 for result in results)
    assert client.wait(hotword.id, timeout_s=120).text == HOTWORD_TEXT
    error = client.wait(refused.id, timeout_s=120).error
    assert error is not None
    assert error.code == "unsupported_option"
    assert serving.end() == 0


@pytest.mark.usefixtures("_qwen_asr")
def test_a_missing_model_ends_the_worker_with_the_command_to_fetch_it(valkey_url: str, tmp_path: Path) -> None:
    alone = {"ASRQ_REDIS_URL": valkey_url, "ASRQ_FALLBACK": "none"}
    nowhere = {"ASRQ_MODEL_DIR": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)}
    failed = Process("worker", "--backend", "qwen", "--model", "0.6b", env=alone | nowhere)
    assert failed.ended(120) == 1
    said = "\n".join(str(line) for line in failed.lines)
    assert "asrq models fetch Qwen/Qwen3-ASR-0.6B" in said
    assert "Traceback" not in said
