"""What loading refuses: checkpoints that look right and are not, and devices that are not there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qwen_checkpoint.archive import unpack

from asrq_jobs import extras
from asrq_jobs.errors import (
    AsrqError,
    DeviceUnavailableError,
    ExtraMissingError,
    ModelInvalidError,
    OutOfMemoryError,
    SettingsError,
    StorageError,
)
from asrq_worker.backends.base import BackendConfig
from asrq_worker.backends.qwen import implementation
from asrq_worker.backends.qwen.backend import RUNTIME_MB, QwenBackend
from convert_qwen import convert

pytest_plugins = ("qwen_checkpoint.fixtures",)


@pytest.fixture
def copy(tiny_qwen: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint, to be damaged."""
    return Path(shutil.copytree(tiny_qwen, tmp_path / "copy"))


def refused(kind: type[AsrqError], model: Path, **settings: Any) -> AsrqError:
    with pytest.raises(kind) as caught:
        QwenBackend(BackendConfig(str(model), model.parent / "models", **settings)).load()
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text("utf-8"))
    change(config)
    file.write_text(json.dumps(config), "utf-8")


def rewrite_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights, {"format": "pt"})


def named(folder: Path, *ends: str) -> str:
    """The tensor of the audio encoder whose name ends so: the formats differ in what is before."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as weights:
        found: list[str] = [name for name in weights.keys() if name.endswith(ends)]  # noqa: SIM118  # it is no mapping
    [name] = found
    return name


def test_identity(tiny_qwen: Path, tmp_path: Path) -> None:
    backend = QwenBackend(BackendConfig(str(tiny_qwen), tmp_path, compute_type="bfloat16"))
    identity = backend.load()
    assert (identity.backend, identity.device, identity.compute_type) == ("qwen", "cpu", "bfloat16")
    assert re.fullmatch(r"qwen-asr/0\.0\.6|transformers/5\..*", identity.backend_version)
    assert (identity.model, identity.model_revision) == (str(tiny_qwen), None)
    assert backend.capabilities().languages == {"en", "ru"}


def test_weights_that_no_file_holds_are_not_made_up(copy: Path) -> None:
    gone = named(copy, "audio_tower.layers.0.self_attn.k_proj.weight")
    rewrite_weights(copy, lambda tensors: tensors.pop(gone))
    assert gone in refused(ModelInvalidError, copy).message


def test_weights_of_another_shape(copy: Path) -> None:
    name = named(copy, "proj1.weight", "linear_1.weight")
    rewrite_weights(copy, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))
    assert "cannot be loaded" in refused(ModelInvalidError, copy).message


def test_a_configuration_for_other_weights(copy: Path) -> None:
    change_config(copy, lambda config: config.get("thinker_config", config)["text_config"].update(num_hidden_layers=3))
    assert "layers.2" in refused(ModelInvalidError, copy).message


def test_an_aligner_is_no_recogniser(tiny_qwen: Path, tiny_aligner: Path) -> None:
    assert "not a Qwen3-ASR recogniser" in refused(ModelInvalidError, tiny_aligner).message
    mistaken = refused(ModelInvalidError, tiny_qwen, options={"aligner": str(tiny_qwen)})
    assert "not a Qwen3-ASR aligner" in mistaken.message


def test_a_checkpoint_in_the_format_of_the_other_implementation(tmp_path: Path) -> None:
    given = tmp_path / "original"
    unpack(given)
    if implementation.is_native():
        assert "-hf" in (refused(ModelInvalidError, given).hint or "")
        return
    convert(given, tmp_path / "native")
    assert "qwen-native" in (refused(ModelInvalidError, tmp_path / "native").hint or "")


@pytest.mark.parametrize("pattern", ["tokenizer.json", "*processor_config.json"])
def test_other_files_that_are_damaged(copy: Path, pattern: str) -> None:
    [file] = copy.glob(pattern)
    file.write_text("{")
    assert "cannot be loaded" in refused(ModelInvalidError, copy).message


def test_cuda_that_is_not_there(tiny_qwen: Path) -> None:
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("this machine has CUDA")
    refused(DeviceUnavailableError, tiny_qwen, device="cuda")
    refused(DeviceUnavailableError, tiny_qwen, compute_type="int8")


def test_a_host_without_a_folder_for_temporary_files(tiny_qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    assert "TMPDIR" in (refused(StorageError, tiny_qwen).hint or "")


def test_attention_that_is_not_there(tiny_qwen: Path) -> None:
    assert "sdpa" in (refused(SettingsError, tiny_qwen, options={"attention": "fast"}).hint or "")
    flash = refused(ExtraMissingError, tiny_qwen, options={"attention": "flash_attention_2"})
    assert "flash-attn" in (flash.hint or "")
    eager = QwenBackend(BackendConfig(str(tiny_qwen), tiny_qwen, options={"attention": "eager"}))
    assert eager.load().model == str(tiny_qwen)


def test_a_package_that_is_not_installed(tiny_qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    error = refused(ExtraMissingError, tiny_qwen)
    assert error.hint == extras.hint("qwen-native" if implementation.is_native() else "qwen")


def test_memory_that_is_not_there(tiny_qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrq_worker.backends.qwen.backend.free_memory_mb", lambda: 50.0)
    weights_mb = (tiny_qwen / "model.safetensors").stat().st_size >> 20  # in bfloat16, as they are loaded
    needed_mb = RUNTIME_MB + weights_mb
    refusal = refused(OutOfMemoryError, tiny_qwen, compute_type="bfloat16").message
    told = re.search(r"needs about (\d+) MiB, and 50 MiB are free on this cpu", refusal)
    assert told
    assert int(told[1]) == pytest.approx(needed_mb, abs=1)
