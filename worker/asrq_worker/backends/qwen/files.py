"""Qwen3-ASR's checkpoints on disk: where they are, and whether they are what they should be. Loads nothing heavy.

A checkpoint is a folder in the Transformers format: `config.json`, the tokenizer's and feature extractor's files, and
weights in safetensors files (https://huggingface.co/docs/safetensors/index#format). Names in it differ between the
package `qwen-asr` and Transformers itself, whose checkpoints are called native here and end in `-hf` on the hub.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asrq_jobs.errors import ModelInvalidError, ModelMissingError
from asrq_jobs.settings import expanded
from asrq_worker.backends import hub
from asrq_worker.storage import disk

REPOSITORIES = {
    "0.6b": "Qwen/Qwen3-ASR-0.6B",
    "1.7b": "Qwen/Qwen3-ASR-1.7B",
    "aligner": "Qwen/Qwen3-ForcedAligner-0.6B",
}
FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")
"""What a checkpoint needs of its repository (glob patterns)."""

Kind = Literal["recogniser", "aligner"]

_MODEL_TYPE = "qwen3_asr"
_ARCHITECTURE = "Qwen3ASRForConditionalGeneration"
_NATIVE_KINDS: dict[str, Kind] = {_ARCHITECTURE: "recogniser", "Qwen3ASRForTokenClassification": "aligner"}
_ALIGNER_TYPE = "qwen3_forced_aligner"
_CONFIG = "config.json"
_PROCESSOR = {False: "preprocessor_config.json", True: "processor_config.json"}  # by whether it is native
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "vocab.json")
_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000  # the format's own limit
_DAMAGED = "Fetch or copy it again."


@dataclass(frozen=True)
class Checkpoint:
    """A model that can be loaded: where it is, and the shapes of its stored tensors by name."""

    name: str
    """As it was asked for."""
    folder: Path
    revision: str | None
    """Commit of the hub; None for a plain folder."""
    native: bool
    """Whether it is in the format of Transformers itself, not that of `qwen-asr`."""
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """Number of numbers."""
        return sum(math.prod(shape) for shape in self.shapes.values())


def kind_of(name: str) -> Kind | None:
    """Return what a short name or a hub id of Qwen's stands for, or None if it is none of theirs."""
    repository = REPOSITORIES.get(name.lower(), name)
    if not repository.startswith("Qwen/"):
        return None
    return "aligner" if "ForcedAligner" in repository else "recogniser"


def find(model: str, kind: Kind, *, model_dir: Path, download: bool, native: bool = False) -> Checkpoint:
    """Find and check a checkpoint, by folder, hub id (`organisation/name`) or short name (`0.6b`, `1.7b`, `aligner`).

    A short name stands for the native one if `native`; a folder or hub id is what it is.

    Raises:
        ModelMissingError: it is not here (and `download` is false), or nothing of that name is known.
        ModelInvalidError: files are missing, cut off or damaged, or it is a model of another kind.
        FetchError: the hub cannot be reached.
        ExtraMissingError: the hub's client is not installed.
        StorageError: it cannot be put into `model_dir`, or this user cannot see what is there.
    """
    folder, revision = _locate(model, model_dir, download=download, native=native)
    is_native = _check(folder, kind)
    return Checkpoint(model, folder, revision, is_native, _shapes(folder))


def _locate(model: str, model_dir: Path, *, download: bool, native: bool) -> tuple[Path, str | None]:
    repository = REPOSITORIES.get(model.lower())
    if repository is not None and native:
        repository += "-hf"
    elif repository is None:
        folder = expanded(model)
        with disk.reading(folder, what="A model", instead="name another folder"):
            if folder.is_dir():
                return folder.resolve(), None
        if re.match(r"[.~/\\]|[A-Za-z]:[/\\]", model) or model.count("/") != 1:
            raise ModelMissingError(
                f"There is no Qwen3-ASR model {model!r}.",
                hint=f"Name a folder, a hub id, or one of: {', '.join(REPOSITORIES)}.",
            )
        repository = model
    snapshot = hub.find(repository, model_dir, FILES, _has_weights, download=download)
    if snapshot is None:
        raise ModelMissingError(
            f"Model {repository!r} is not on this machine.", hint=f"Run: asrq models fetch {repository}."
        )
    return snapshot, snapshot.name


def _check(folder: Path, kind: Kind) -> bool:
    """Raise unless a folder has all files of a model of the kind; return whether it is native."""
    config = json_object(folder / _CONFIG) if (folder / _CONFIG).is_file() else {}
    native = config.get("model_type") == _MODEL_TYPE and "thinker_config" not in config
    missing = [name for name in (_CONFIG, _PROCESSOR[native]) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        missing.append(_TOKENIZERS[0])
    if not _has_weights(folder):
        missing.append(_WEIGHTS)
    if missing:
        raise ModelInvalidError(
            f"The folder {folder} lacks {', '.join(missing)}.",
            hint="A Qwen3-ASR model is a folder in the Transformers format, as on the hub.",
        )
    found = _kind(config, native=native)
    if found != kind:
        raise ModelInvalidError(
            f"The model in {folder} is {found}, not a Qwen3-ASR {kind}.",
            hint="Name a folder or hub id such as Qwen/Qwen3-ASR-0.6B (the aligner: Qwen/Qwen3-ForcedAligner-0.6B).",
        )
    return native


def _kind(config: Mapping[str, Any], *, native: bool) -> str:
    model_type, architecture = config.get("model_type"), (config.get("architectures") or ["unknown"])[0]
    if native and architecture in _NATIVE_KINDS:
        return _NATIVE_KINDS[architecture]
    if native or model_type != _MODEL_TYPE or architecture != _ARCHITECTURE:
        return f"of type {model_type!r} ({architecture})"
    return "aligner" if config["thinker_config"].get("model_type") == _ALIGNER_TYPE else "recogniser"


def _has_weights(folder: Path) -> bool:
    return (folder / _WEIGHTS).is_file() or (folder / _INDEX).is_file()


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    if not (folder / _INDEX).is_file():
        return _header(folder / _WEIGHTS)
    where = json_object(folder / _INDEX).get("weight_map")
    if not isinstance(where, dict):
        raise ModelInvalidError(f"The file {folder / _INDEX} has no weight_map.", hint=_DAMAGED)
    shapes: dict[str, tuple[int, ...]] = {}
    for name in sorted(set(where.values())):
        if not (folder / name).is_file():
            raise ModelInvalidError(f"The folder {folder} lacks {name}.", hint=_DAMAGED)
        shapes |= _header(folder / name)
    if lost := sorted(set(where) - set(shapes)):
        raise ModelInvalidError(f"The weights in {folder} lack {lost[0]} and {len(lost) - 1} more.", hint=_DAMAGED)
    return shapes


def _header(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes in a safetensors file, whose size must be the one that its header announces."""
    damaged = ModelInvalidError(f"The weights in {file} are damaged or cut off.", hint=_DAMAGED)
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(_LENGTH_BYTES), "little")
        if length > min(size - _LENGTH_BYTES, _LONGEST_HEADER):
            raise damaged
        header = content.read(length)
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        end = max(entry["data_offsets"][1] for entry in tensors.values())
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise damaged from None
    if size != _LENGTH_BYTES + length + end:
        raise damaged
    return shapes


def json_object(file: Path) -> dict[str, Any]:
    """Read a file with a JSON object.

    Raises:
        ModelInvalidError: it is none.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ModelInvalidError(f"The file {file} is not a JSON object.", hint=_DAMAGED)
    return content
