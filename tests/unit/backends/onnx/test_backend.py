"""The ONNX backend: finding an export, loading it through the unmodified packages, refusing what it cannot do.

The models here hear tones (see `onnx_models`). What every backend promises is in `conformance`, real exports too.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.needs import missing

from asrq_jobs import extras
from asrq_jobs.errors import (
    AsrqError,
    DeviceUnavailableError,
    ExtraMissingError,
    ModelInvalidError,
    ModelMissingError,
    OutOfMemoryError,
    SettingsError,
    UnsupportedOptionError,
)
from asrq_worker.backends.base import BackendConfig, Chunk, ChunkOptions, Identity, Transcript
from asrq_worker.backends.onnx.backend import KINDS, OnnxBackend
from asrq_worker.backends.registry import backend_class, names

Load = Callable[..., OnnxBackend]


def make(model: Path | str, kind: str | None, **settings: Any) -> OnnxBackend:
    return OnnxBackend(BackendConfig(str(model), Path("unused"), options={"kind": kind}, **settings))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind that there is a model of tones for."""
    for package in ("onnx_asr", "onnx"):
        try:
            __import__(package)
        except ImportError:
            missing(f"the package {package}")
    from support import onnx_models

    folder = tmp_path_factory.mktemp("onnx")
    return {"gigaam-v2-ctc": onnx_models.gigaam(folder / "g"), "whisper": onnx_models.whisper(folder / "w")}


@pytest.fixture
def load(exports: dict[str, Path]) -> Load:
    """Load and warm a backend of a kind."""

    def loaded(kind: str, **settings: Any) -> OnnxBackend:
        backend = make(exports[kind], kind, **settings)
        backend.load()
        backend.warm_up()
        return backend

    return loaded


def tones(*frequencies: int) -> np.ndarray:
    from support import onnx_models

    return onnx_models.tones(*frequencies)


def ask(backend: OnnxBackend, samples: np.ndarray, **options: Any) -> Transcript | AsrqError:
    [outcome] = backend.transcribe_batch([Chunk(samples, ChunkOptions(**options))])
    return outcome


def test_it_is_there_for_users() -> None:
    assert "onnx" in names()
    assert backend_class("onnx") is OnnxBackend


def test_gigaam_hears_a_sequence(load: Load) -> None:
    backend = load("gigaam-v2-ctc")
    for _ in range(2):
        assert ask(backend, tones(300, 900, 2000, 5000, 300), language="ru") == Transcript("аб ва", "ru")
    assert ask(backend, tones(5000, 300), language="ru") == Transcript("ва", "ru")


def test_gigaam_knows_russian_only(load: Load) -> None:
    backend = load("gigaam-v2-ctc")
    can = backend.capabilities()
    assert (can.languages, can.detects_language, can.word_timestamps) == ({"ru"}, False, False)
    assert can.longest_chunk_s == 25
    assert isinstance(ask(backend, tones(300)), UnsupportedOptionError)
    refused = ask(backend, tones(300), language="en")
    assert isinstance(refused, UnsupportedOptionError)
    assert "does not know English" in refused.message
    assert refused.hint


def test_whisper_hears_in_the_language_asked_for(load: Load) -> None:
    backend = load("whisper")
    assert backend.capabilities().languages == {"en", "de"}
    assert ask(backend, tones(300), language="en") == Transcript("one", "en")
    assert ask(backend, tones(5000), language="de") == Transcript("vier", "de")
    # The model detects German, and the package does not say so.
    assert ask(backend, tones(900)) == Transcript("zwei", None)


def test_identity(exports: dict[str, Path]) -> None:
    folder = exports["whisper"]
    identity = make(folder, "whisper", device="cpu").load()
    assert identity == Identity("onnx", identity.backend_version, str(folder), None, "cpu", "float32")
    assert re.match(r"0\.\d+", identity.backend_version)


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_empty_folder_is_told_what_it_lacks(kind: str, exports: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelInvalidError, match="lacks") as caught:
        make(tmp_path, kind, compute_type="int8").load()
    lacking = caught.value.message.split("lacks ")[1]
    assert ".onnx" in lacking
    assert "?int8.onnx" in lacking
    assert lacking.count(",") + 1 == len(KINDS[kind].files)


def test_a_version_is_not_taken_for_another(exports: dict[str, Path]) -> None:
    with pytest.raises(ModelInvalidError, match=r"lacks v3_ctc\.onnx, v3_vocab\.txt\.$"):
        make(exports["gigaam-v2-ctc"], "gigaam-v3-ctc").load()


@pytest.mark.parametrize("name", ["decoder_model_merged.onnx", "vocab.json", "added_tokens.json"])
def test_damaged_files(exports: dict[str, Path], tmp_path: Path, name: str) -> None:
    for path in exports["whisper"].iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: len(content) // 2] if path.name == name else content)
    with pytest.raises(ModelInvalidError, match="cannot be loaded as whisper") as caught:
        make(tmp_path, "whisper").load()
    assert "\n" not in caught.value.message


def test_a_missing_folder_is_not_looked_for_elsewhere(exports: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="There is no folder"):
        make(tmp_path / "none", "gigaam-v2-ctc", download=True).load()


@pytest.mark.parametrize("kind", ["", "gigaam"])
def test_the_kind_must_be_said(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no kind of ONNX export") as caught:
        make(tmp_path, kind).load()
    assert "gigaam-v3-e2e-rnnt" in (caught.value.hint or "")


def test_the_folder_must_be_named() -> None:
    with pytest.raises(SettingsError, match="No folder of an ONNX export is named") as caught:
        make("", "whisper").load()
    assert "ASRQ_ONNX_MODEL" in (caught.value.hint or "")


@pytest.mark.parametrize("settings", [{"compute_type": "bfloat16"}, {"device": "cuda"}])
def test_what_the_machine_lacks(exports: dict[str, Path], settings: dict[str, Any]) -> None:
    import onnxruntime

    if "device" in settings and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceUnavailableError) as caught:
        make(exports["whisper"], "whisper", **settings).load()
    assert caught.value.hint


def test_the_packages_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx_asr", None)
    with pytest.raises(ExtraMissingError) as caught:
        make(tmp_path, "whisper").load()
    assert caught.value.hint == extras.hint("onnx")


def test_a_model_too_large_for_memory_is_refused_before_it_is_loaded(
    exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrq_worker.backends.onnx.backend.free_memory_mb", lambda: 50.0)
    monkeypatch.setattr("onnx_asr.load_model", None)  # to load would fail otherwise
    with pytest.raises(OutOfMemoryError, match="50 MiB are free on this cpu") as caught:
        make(exports["whisper"], "whisper").load()
    assert caught.value.hint


def test_weights_beside_a_model_count_as_memory(
    exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Path(shutil.copytree(exports["whisper"], tmp_path / "export"))
    monkeypatch.setattr("asrq_worker.backends.onnx.backend.free_memory_mb", lambda: 50.0)

    def needed_mb() -> int:
        with pytest.raises(OutOfMemoryError) as caught:
            make(export, "whisper").load()
        told = re.search(r"needs about (\d+) MiB", caught.value.message)
        assert told
        return int(told[1])

    before = needed_mb()
    (export / "encoder_model.onnx_data").write_bytes(bytes(3 << 20))
    assert needed_mb() - before == 6
