"""The Whisper backend: faster-whisper on a CPU or CUDA."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from asrq_jobs import extras
from asrq_jobs.errors import (
    AsrqError,
    CanceledError,
    DeviceUnavailableError,
    ExtraMissingError,
    ModelInvalidError,
    OutOfMemoryError,
)
from asrq_jobs.languages import NAMES
from asrq_worker.backends import failures, guards, measured, options
from asrq_worker.backends.base import (
    Backend,
    BackendConfig,
    Capabilities,
    Chunk,
    Identity,
    Transcript,
)
from asrq_worker.backends.cores import usable_cores
from asrq_worker.backends.device import choose_device, free_memory_mb, loading_mb, refuse_too_large
from asrq_worker.backends.files import ModelFiles
from asrq_worker.backends.refusal import unsupported
from asrq_worker.backends.whisper import confidence, models, steps
from asrq_worker.backends.whisper.hearing import MARGINS_S, WIDE, draft, hear
from asrq_worker.backends.whisper.listener import listen
from asrq_worker.backends.whisper.options import Options
from asrq_worker.backends.whisper.room import room
from asrq_worker.backends.whisper.split import MOST_S, Split, Trials, compare_whisper
from asrq_worker.backends.whisper.steps import Search, Steps
from asrq_worker.backends.whisper.windows import WHOLE_S

if TYPE_CHECKING:
    from asrq_worker.backends.whisper.model import Model

log = logging.getLogger(__name__)

SHORTEST_S = 0.1
BATCH = 16
"""Chunks in a batch."""
_COPIED_BYTES = 500 << 20  # `small`
_LONE_THREADS = 4
_ENGLISH = "en"
_SIZES = ("tiny", "base", "small", "medium", "large")


class WhisperBackend(Backend):
    """Options: see `options.Options`."""

    name: ClassVar[str] = "whisper"
    packages: ClassVar[tuple[str, ...]] = ("faster-whisper", "ctranslate2", "tokenizers", "numpy")

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        beam_size = options.read(Options, config, backend=self.name).beam_size
        self._search = Search(beam_size) if beam_size else None
        self._margins_s: Sequence[float]
        self._model: Model
        self._name: str
        self._capabilities: Capabilities

    def find(self) -> ModelFiles:
        """Find the model; see `Backend.find`."""
        return models.resolve(self.config.model, model_dir=self.config.model_dir, download=self.config.download)

    def load(self) -> Identity:
        """Find the model and load it; see `Backend.load`."""
        try:
            import ctranslate2

            from asrq_worker.backends.whisper.model import Model
        except ImportError as error:
            raise ExtraMissingError(
                f"The Whisper backend needs packages that are not installed ({error}).",
                hint=extras.hint("worker"),
            ) from None
        found = self.find()
        device = choose_device(
            self.config.device,
            cuda=ctranslate2.get_cuda_device_count() > 0,
            library="CTranslate2",
            fix="Install the NVIDIA driver and cuDNN",
        )
        supported = ctranslate2.get_supported_compute_types(device)
        compute_type = _choose_compute_type(self.config.compute_type, device, supported)
        if device == "cpu":  # how much is free on CUDA, CTranslate2 does not tell
            needed_mb = loading_mb([found.path / models.WEIGHTS])
            refuse_too_large(found.name, needed_mb, free_memory_mb(), device, hint=_smaller(found.name))
        spare = 1 if device == "cpu" else 0
        try:
            split = self._split(found.path, device, compute_type)
            lone_threads = 0
            if _may_be_copied(found.path, device, compute_type):
                lone_threads = min(split.decodes * split.threads, _LONE_THREADS)
            self._model = Model(
                str(found.path),
                device=device,
                compute_type=compute_type,
                cpu_threads=split.threads,
                parallel=split.decodes + spare,
                lone_threads=lone_threads,
            )
        except Exception as error:  # noqa: BLE001  # the tokenizer library raises nothing narrower
            if failures.is_out_of_memory(error):
                raise OutOfMemoryError(
                    f"Model {found.name!r} does not fit into memory.", hint=_smaller(found.name)
                ) from None
            raise ModelInvalidError(f"The model in {found.path} cannot be loaded: {error}") from None
        self._name = found.name
        # A GPU gains more from a full batch than from short windows: all are of one length there.
        self._margins_s = MARGINS_S if device == "cpu" else (WHOLE_S,)
        decodes = self._fitting(split.decodes, spare) if device == "cpu" else split.decodes
        self._capabilities = _capabilities(self._model, found.name, decodes, spare)
        self.folders = () if found.revision else (found.path,)
        return Identity(
            backend=self.name,
            backend_version=importlib.metadata.version("faster-whisper"),
            model=found.name,
            model_revision=found.revision,
            device=device,
            compute_type=compute_type,
        )

    def _split(self, folder: Path, device: str, compute_type: str) -> Split:
        """Return into what the cores are shared: as set, or as measured here; `tuned` says why."""
        cores = usable_cores() if device == "cpu" else 1
        split, why = Split(self.config.parallel or cores, self.config.cpu_threads), "as set"
        if self.config.tune:
            trials = Trials({})
            if cores > 1 and _may_be_copied(folder, device, compute_type):
                trials = self._trials(folder, compute_type, cores) or trials
            split, why = trials.fastest(cores), str(trials)
        self.tuned = f"Decodes in flight: {split} ({why})."
        return split

    def _fitting(self, decodes: int, spare: int) -> int:
        """Limit what is decoded together to what fits into memory; return how many decodes fit, unless that is set."""
        need, free_mb = self._model.need(), free_memory_mb()
        fits = room(free_mb * 2**20, need, decodes, spare, fixed=self.config.parallel > 0)
        self._model.frames_together = fits.frames
        fewer = f" Only {fits.decodes} of {decodes} decodes fit into memory." if fits.decodes < decodes else ""
        self.tuned += (
            f"{fewer} In each, up to {fits.frames / 100:.0f} s are decoded together: a second takes "
            f"{need.frame * 100 / 2**20:.1f} MiB, and {free_mb:.0f} MiB are free."
        )
        return fits.decodes

    def _trials(self, folder: Path, compute_type: str, cores: int) -> Trials | None:
        weights = (folder / models.WEIGHTS).stat()
        return measured.once(
            self.config.model_dir,
            {
                "processor": measured.processor(),
                "cores": cores,
                "model": self.config.model,
                "compute_type": compute_type,
            },
            {
                "weights": f"{weights.st_size} bytes of {weights.st_mtime_ns}",
                **{package: importlib.metadata.version(package) for package in ("asrq", "ctranslate2")},
            },
            Trials,
            lambda: compare_whisper(folder, compute_type, cores),
            wait_s=2 * MOST_S,
        )

    def capabilities(self) -> Capabilities:
        """Return what the loaded model can do."""
        return self._capabilities

    def transcribe_batch(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Transcribe chunks together; see `steps`."""

        def serve(requests: Sequence[steps.Request]) -> Sequence[Any]:
            if any(chunk.wanted() for chunk in chunks):
                return self._model.serve(requests)
            return [CanceledError("Nobody waits for it.")] * len(requests)

        with self._model.hearing():
            found = steps.together([self._transcribe(chunk) for chunk in chunks], serve)
        return [
            failures.explain(outcome, chunk.seconds)
            if isinstance(outcome, Exception) and not isinstance(outcome, AsrqError)
            else outcome
            for outcome, chunk in zip(found, chunks, strict=True)
        ]

    def _transcribe(self, chunk: Chunk) -> Steps[Transcript]:
        if refused := unsupported(chunk.options, self._capabilities, backend=self.name, model=self.config.model):
            raise refused
        samples = guards.clean(chunk.samples)
        if chunk.seconds < SHORTEST_S or guards.is_silent(samples):
            return Transcript("", None)
        chunk = replace(chunk, samples=samples)
        if chunk.options.draft:
            return (yield from draft(chunk, self._model, self._margins_s))
        found: Transcript = yield from listen(chunk, functools.partial(self._hear, chunk))
        return confidence.told(found, self._name) if chunk.options.task == "transcribe" else found

    def _hear(self, chunk: Chunk, part: Chunk) -> Steps[Transcript]:
        margins_s = self._margins_s[:1] if part.options.draft else self._margins_s
        search = self._search if part is chunk else self._search or WIDE
        return hear(part, self._model, search, margins_s)


def _may_be_copied(folder: Path, device: str, compute_type: str) -> bool:
    """Whether a second copy of the weights, with other threads, is worth its memory and computes the same.

    For the integers of an int8 model only: a sum of those does not depend on how threads share it.
    """
    if device != "cpu" or not compute_type.startswith("int8"):
        return False
    weights = folder / models.WEIGHTS
    return weights.stat().st_size <= _COPIED_BYTES and loading_mb([weights] * 2) <= free_memory_mb()


def _smaller(model: str) -> str:
    """Say what to do about a model that does not fit: unknown names are taken for the largest."""
    family = next((size for size in _SIZES if size in model), _SIZES[-1])
    less = _SIZES[: _SIZES.index(family)]
    return f"Free memory, or choose a smaller model: {', '.join(reversed(less))}." if less else "Free memory."


def _choose_compute_type(wanted: str, device: str, supported: set[str]) -> str:
    if wanted == "auto":
        preferred = ("int8",) if device == "cpu" else ("float16", "int8")
        return next((kind for kind in preferred if kind in supported), "float32")
    if wanted not in supported:
        raise DeviceUnavailableError(
            f"Compute type {wanted!r} is not supported on this {device}.",
            hint=f"Set ASRQ_COMPUTE_TYPE to auto or one of: {', '.join(sorted(supported))}.",
        )
    return wanted


def _capabilities(model: Model, name: str, parallel: int, spare: int) -> Capabilities:
    multilingual = model.multilingual
    known = {code for code in NAMES if model.knows(code)}
    # The distilled and turbo models were trained without translation and answer in the spoken language.
    translates = multilingual and not any(word in name for word in ("distil", "turbo"))
    return Capabilities(
        languages=frozenset(known if multilingual else {_ENGLISH}),
        tasks=frozenset({"transcribe", "translate"} if translates else {"transcribe"}),
        detects_language=multilingual,
        word_timestamps=True,
        prompt=True,
        hotwords=True,
        max_batch=BATCH,
        parallel=parallel,
        spare=spare,
    )
