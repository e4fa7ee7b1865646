"""Finding and checking Qwen3-ASR's checkpoints, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrq_jobs.errors import DeviceUnavailableError, ModelInvalidError, ModelMissingError
from asrq_worker.backends.qwen.dtype import choose_dtype
from asrq_worker.backends.qwen.files import Checkpoint, Kind, find

CONFIG: dict[str, Any] = {
    "model_type": "qwen3_asr",
    "architectures": ["Qwen3ASRForConditionalGeneration"],
    "thinker_config": {"model_type": "qwen3_asr_thinker"},
}
NATIVE: dict[str, Any] = {"model_type": "qwen3_asr", "architectures": ["Qwen3ASRForConditionalGeneration"]}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def safetensors(*names: str) -> bytes:
    """A weights file with a tensor of 2 x 3 in bfloat16 for each name."""
    tensors = {
        name: {"dtype": "BF16", "shape": [2, 3], "data_offsets": [n * 12, n * 12 + 12]} for n, name in enumerate(names)
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(12 * len(names))


def write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors("a", "b"))
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write(tmp_path / "checkpoint")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the user's, and a network that must not be touched."""
    cache = tmp_path / "user"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_options: pytest.fail("the network was touched"))
    return cache


def found(model: Path | str, tmp_path: Path, kind: Kind = "recogniser") -> Checkpoint:
    return find(str(model), kind, model_dir=tmp_path / "models", download=False)


def test_a_folder(checkpoint: Path, tmp_path: Path) -> None:
    loaded = found(checkpoint, tmp_path)
    assert (loaded.name, loaded.folder, loaded.revision) == (str(checkpoint), checkpoint, None)
    assert loaded.shapes == {"a": (2, 3), "b": (2, 3)}
    assert loaded.parameters == 12


def test_weights_in_several_files(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "one.safetensors").write_bytes(safetensors("a"))
    (checkpoint / "two.safetensors").write_bytes(safetensors("b"))
    index = checkpoint / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    assert found(checkpoint, tmp_path).parameters == 12
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "c": "two.safetensors"}}))
    with pytest.raises(ModelInvalidError, match="lack c"):
        found(checkpoint, tmp_path)
    (checkpoint / "two.safetensors").unlink()
    with pytest.raises(ModelInvalidError, match=r"lacks two\.safetensors"):
        found(checkpoint, tmp_path)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(checkpoint: Path, tmp_path: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(ModelInvalidError, match=f"lacks {name}"):
        found(checkpoint, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:5],
        lambda whole: whole[:40],
        lambda whole: whole[:-1],
        lambda whole: whole + b"x",
        lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        lambda whole: whole[:8] + b"[" + whole[9:],
        lambda whole: (2).to_bytes(8, "little") + b"[]",
        lambda whole: (10).to_bytes(8, "little") + b'{"a":null}',
    ],
)
def test_damaged_weights(checkpoint: Path, tmp_path: Path, damage: Any) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(ModelInvalidError, match="damaged or cut off") as caught:
        found(checkpoint, tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"'])
def test_a_configuration_that_is_none(checkpoint: Path, tmp_path: Path, content: str) -> None:
    (checkpoint / "config.json").write_text(content)
    with pytest.raises(ModelInvalidError, match="not a JSON object"):
        found(checkpoint, tmp_path)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"model_type": "qwen2_audio"}, "recogniser", "of type 'qwen2_audio'"),
        ({"model_type": "whisper", "architectures": ["Whisper"]}, "recogniser", "of type 'whisper'"),
        ({"architectures": None}, "recogniser", "of type 'qwen3_asr'"),
        ({"thinker_config": {"model_type": "qwen3_forced_aligner"}}, "recogniser", "is aligner, not"),
        ({}, "aligner", "is recogniser, not"),
    ],
)
def test_a_model_of_another_kind(
    checkpoint: Path, tmp_path: Path, changes: dict[str, Any], kind: Kind, said: str
) -> None:
    (checkpoint / "config.json").write_text(json.dumps(CONFIG | changes))
    with pytest.raises(ModelInvalidError, match=said):
        found(checkpoint, tmp_path, kind)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("Qwen3ASRForConditionalGeneration", "recogniser"), ("Qwen3ASRForTokenClassification", "aligner")],
)
def test_a_checkpoint_of_transformers_itself(checkpoint: Path, tmp_path: Path, architecture: str, kind: Kind) -> None:
    assert not found(checkpoint, tmp_path).native
    (checkpoint / "config.json").write_text(json.dumps(NATIVE | {"architectures": [architecture]}))
    with pytest.raises(ModelInvalidError, match="lacks processor_config"):
        found(checkpoint, tmp_path, kind)
    (checkpoint / "processor_config.json").write_text("{}")
    assert found(checkpoint, tmp_path, kind).native
    with pytest.raises(ModelInvalidError, match=f"is {kind}, not"):
        found(checkpoint, tmp_path, "aligner" if kind == "recogniser" else "recogniser")
    (checkpoint / "config.json").write_text(json.dumps(NATIVE | {"architectures": ["Other"]}))
    with pytest.raises(ModelInvalidError, match=r"of type 'qwen3_asr' \(Other\)"):
        found(checkpoint, tmp_path, kind)


def test_a_short_name_is_that_of_the_format(hub_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        find("0.6b", "recogniser", model_dir=tmp_path, download=False, native=True)
    assert caught.value.hint == "Run: asrq models fetch Qwen/Qwen3-ASR-0.6B-hf."


@pytest.mark.parametrize("name", ["0.6b", "0.6B", "Qwen/Qwen3-ASR-0.6B"])
def test_a_missing_model_says_at_once_how_to_fetch_it(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("it asks the hub, which nobody allowed")

    monkeypatch.setattr("socket.socket.connect", connect)
    with pytest.raises(ModelMissingError) as caught:
        found(name, tmp_path)
    assert caught.value.hint == "Run: asrq models fetch Qwen/Qwen3-ASR-0.6B."


@pytest.mark.parametrize("name", ["base", "./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_name_that_is_nothing_gets_the_known_ones(hub_cache: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelMissingError) as caught:
        found(name, tmp_path)
    assert "1.7b" in (caught.value.hint or "")


@pytest.mark.parametrize("ours", [True, False], ids=["our cache", "the user's cache"])
def test_a_fetched_model_has_its_commit(hub_cache: Path, tmp_path: Path, *, ours: bool) -> None:
    cache = tmp_path / "models" / "hub" if ours else hub_cache
    repository = cache / "models--Qwen--Qwen3-ASR-1.7B"
    write(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    loaded = found("1.7b", tmp_path)
    assert (loaded.name, loaded.revision) == ("1.7b", COMMIT)
    (loaded.folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissingError):
        found("1.7b", tmp_path)


@pytest.mark.parametrize(
    ("wanted", "device", "native", "chosen"),
    [
        ("auto", "cpu", False, "float32"),
        ("auto", "cuda", True, "bfloat16"),
        ("auto", "cuda", False, "float16"),
        ("bfloat16", "cpu", False, "bfloat16"),
        ("bfloat16", "cuda", True, "bfloat16"),
        ("float16", "cuda", False, "float16"),
    ],
)
def test_number_types(wanted: str, device: str, chosen: str, *, native: bool) -> None:
    assert choose_dtype(wanted, device, bfloat16=native) == chosen


@pytest.mark.parametrize(("wanted", "device"), [("bfloat16", "cuda"), ("int8", "cpu")])
def test_number_types_that_are_not_there(wanted: str, device: str) -> None:
    with pytest.raises(DeviceUnavailableError) as caught:
        choose_dtype(wanted, device, bfloat16=False)
    assert "ASRQ_COMPUTE_TYPE" in (caught.value.hint or "")
