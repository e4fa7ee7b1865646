"""The ONNX backend: Whisper and GigaAM exports from a local folder, through the package onnx-asr."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from asrq_jobs import extras
from asrq_jobs.errors import (
    AsrqError,
    DeviceUnavailableError,
    ExtraMissingError,
    ModelInvalidError,
    ModelMissingError,
    OutOfMemoryError,
    SettingsError,
)
from asrq_jobs.languages import NAMES
from asrq_jobs.settings import expanded
from asrq_worker.backends import failures, guards, options
from asrq_worker.backends.base import SAMPLE_RATE, Backend, BackendConfig, Capabilities, Chunk, Identity, Transcript
from asrq_worker.backends.device import choose_device, free_memory_mb, loading_mb, refuse_too_large
from asrq_worker.backends.files import ModelFiles
from asrq_worker.backends.onnx.options import Options
from asrq_worker.backends.refusal import unsupported

if TYPE_CHECKING:
    from onnx_asr.adapters import TextResultsAsrAdapter

log = logging.getLogger(__name__)

SHORTEST_S = 0.1
_WHISPER_TOKENS = "added_tokens.json"
_SMALLER = "Free memory, or use a smaller export, such as one in int8 (ASRQ_COMPUTE_TYPE=int8)."


@dataclass(frozen=True)
class _Family:
    """A family of exports as onnx-asr names it.

    `files` are patterns of the names that a folder must hold, `{}` standing for the suffix of a number type. They
    are stricter than the package's own, which takes version 2 for version 3.
    """

    files: tuple[str, ...]
    languages: frozenset[str] | None
    """ISO 639-1 codes; None: those that its tokenizer has."""
    longest_chunk_s: float


def _whisper(*files: str) -> _Family:
    return _Family((*files, "vocab.json", _WHISPER_TOKENS), languages=None, longest_chunk_s=30.0)


def _gigaam(version: str, name: str, vocabulary: str, *parts: str) -> _Family:
    weights = [f"{version}_{name}{part}{{}}.onnx" for part in parts]
    # Without its config.json, version 3 would get the features of version 2.
    config = () if version == "v2" else ("config.json",)
    return _Family((*weights, vocabulary, *config), languages=frozenset({"ru"}), longest_chunk_s=25.0)


_RNNT = ("_encoder", "_decoder", "_joint")
KINDS = {
    "whisper": _whisper("**/encoder_model{}.onnx", "**/decoder_model_merged{}.onnx"),
    "whisper-ort": _whisper("whisper-*_beamsearch{}.onnx"),
    "gigaam-v2-ctc": _gigaam("v2", "ctc", "v2_vocab.txt", ""),
    "gigaam-v2-rnnt": _gigaam("v2", "rnnt", "v2_vocab.txt", *_RNNT),
    "gigaam-v3-ctc": _gigaam("v3", "ctc", "v3_vocab.txt", ""),
    "gigaam-v3-rnnt": _gigaam("v3", "rnnt", "v3_vocab.txt", *_RNNT),
    "gigaam-v3-e2e-ctc": _gigaam("v3", "e2e_ctc", "v3_e2e_ctc_vocab.txt", ""),
    "gigaam-v3-e2e-rnnt": _gigaam("v3", "e2e_rnnt", "v3_e2e_rnnt_vocab.txt", *_RNNT),
}

_SUFFIXES = {"auto": None, "float32": None, "float16": "fp16", "int8": "int8"}


class OnnxBackend(Backend):
    """Options: see `options.Options`; `kind` is a key of `KINDS`. `config.model` is a folder;
    nothing is ever downloaded."""

    name: ClassVar[str] = "onnx"
    packages: ClassVar[tuple[str, ...]] = ("onnx-asr", "onnxruntime")

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._kind_name = options.read(Options, config, backend=self.name).kind
        self._languages: frozenset[str]
        self._model: TextResultsAsrAdapter

    def find(self) -> ModelFiles:
        """Check the folder; see `Backend.find`.

        Raises:
            SettingsError: the kind of export is not said or not known, or no folder is named.
        """
        if self._kind_name not in KINDS:
            raise SettingsError(
                f"There is no kind of ONNX export {self._kind_name!r}.",
                hint=f"Set ASRQ_ONNX_KIND to one of: {', '.join(KINDS)}.",
            )
        if not self.config.model:
            raise SettingsError(
                "No folder of an ONNX export is named.",
                hint=f"Set ASRQ_ONNX_MODEL to one with a {self._kind_name} export.",
            )
        folder = expanded(self.config.model)
        _checked_files(folder, self._kind_name, _suffix(self.config.compute_type))
        return ModelFiles(self.config.model, folder, "folder", None)

    def load(self) -> Identity:
        """Check the folder and load it; see `Backend.load` and `find`."""
        try:
            import onnx_asr
            import onnxruntime
        except ImportError as error:
            raise ExtraMissingError(
                f"The ONNX backend needs packages that are not installed ({error}).",
                hint=extras.hint("onnx"),
            ) from None
        folder = self.find().path
        suffix = _suffix(self.config.compute_type)
        device = choose_device(
            self.config.device,
            cuda="CUDAExecutionProvider" in onnxruntime.get_available_providers(),
            library="The installed ONNX Runtime",
            fix="Run: pip install onnxruntime-gpu",
        )
        weights = _weights(_checked_files(folder, self._kind_name, suffix))
        if device == "cpu":  # how much is free on CUDA, ONNX Runtime does not tell
            refuse_too_large(self.config.model, loading_mb(weights), free_memory_mb(), device, hint=_SMALLER)
        sessions = onnxruntime.SessionOptions()
        sessions.intra_op_num_threads = self.config.cpu_threads
        providers = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
        try:
            self._languages = KINDS[self._kind_name].languages or _whisper_languages(folder)
            self._model = onnx_asr.load_model(
                self._kind_name, folder, quantization=suffix, sess_options=sessions, providers=providers
            )
        except Exception as error:  # noqa: BLE001  # neither package has a common base of what it raises
            if failures.is_out_of_memory(error):
                raise OutOfMemoryError(f"The model in {folder} does not fit into memory.", hint=_SMALLER) from None
            raise ModelInvalidError(
                f"The model in {folder} cannot be loaded as {self._kind_name}: {failures.first_line(error)}"
            ) from None
        self.folders = (folder,)
        version = importlib.metadata.version("onnx-asr")
        return Identity(self.name, version, self.config.model, None, device, suffix or "float32")

    def warm_up(self) -> None:
        """Run the model once, in a language that it knows."""
        noise = np.random.default_rng(0).normal(scale=0.01, size=SAMPLE_RATE).astype(np.float32)
        self._model.recognize(noise, language=min(self._languages))

    def capabilities(self) -> Capabilities:
        """Return what the loaded model can do."""
        return Capabilities(
            languages=self._languages,
            detects_language=len(self._languages) > 1,
            longest_chunk_s=KINDS[self._kind_name].longest_chunk_s,
            parallel=self.config.parallel or 1,
        )

    def transcribe_batch(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Transcribe chunks one after the other: together, the padding of the shorter ones may change their text."""
        return [failures.guarded(self._transcribe, chunk) for chunk in chunks]

    def _transcribe(self, chunk: Chunk) -> Transcript:
        asked = chunk.options
        if refused := unsupported(asked, self.capabilities(), backend=self.name, model=self.config.model):
            raise refused
        samples = guards.clean(chunk.samples)
        if chunk.seconds < SHORTEST_S or guards.is_silent(samples):
            return Transcript("", None)
        text: str = self._model.recognize(samples, language=asked.language).strip()
        return Transcript(text, asked.language if text else None)


def _suffix(compute_type: str) -> str | None:
    if compute_type not in _SUFFIXES:
        raise DeviceUnavailableError(
            f"ONNX exports of the number type {compute_type!r} are not known here.",
            hint=f"Set ASRQ_COMPUTE_TYPE to one of: {', '.join(_SUFFIXES)}.",
        )
    return _SUFFIXES[compute_type]


def _checked_files(folder: Path, kind: str, suffix: str | None) -> list[Path]:
    """Return the files of an export, all of which must be there."""
    if not folder.is_dir():
        raise ModelMissingError(f"There is no folder {str(folder)!r}.", hint=f"Name a folder with a {kind} export.")
    wanted = [pattern.format(f"?{suffix}" if suffix else "") for pattern in KINDS[kind].files]
    found = {pattern: list(folder.glob(pattern)) for pattern in wanted}
    if lacking := [pattern for pattern, paths in found.items() if not paths]:
        raise ModelInvalidError(
            f"The folder {folder} lacks {', '.join(lacking)}.",
            hint=f"A {kind} export has these files; see docs/explanation/experimental.md.",
        )
    return [path for paths in found.values() for path in paths]


def _weights(files: Sequence[Path]) -> set[Path]:
    """Return the models among the files of an export, and the files beside them whose names begin with theirs."""
    models = [path for path in files if path.suffix == ".onnx"]
    return {beside for model in models for beside in model.parent.glob(f"{model.name}*")}


def _whisper_languages(folder: Path) -> frozenset[str]:
    tokens = json.loads((folder / _WHISPER_TOKENS).read_text(encoding="utf-8"))
    return frozenset(code for code in NAMES if f"<|{code}|>" in tokens)
