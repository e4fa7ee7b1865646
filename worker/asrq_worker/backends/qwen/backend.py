"""The Qwen3-ASR backend, by the package `qwen-asr` or by Transformers itself, on a CPU or CUDA."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from asrq_jobs.errors import (
    AsrqError,
    ExtraMissingError,
    ModelInvalidError,
    OutOfMemoryError,
    SettingsError,
    UnsupportedOptionError,
)
from asrq_worker.backends import guards
from asrq_worker.backends.base import (
    Backend,
    BackendConfig,
    Capabilities,
    Chunk,
    ChunkOptions,
    Identity,
    Transcript,
)
from asrq_worker.backends.device import choose_device, free_memory_mb, refuse_too_large
from asrq_worker.backends.failures import first_line, is_out_of_memory
from asrq_worker.backends.files import ModelFiles
from asrq_worker.backends.options import read
from asrq_worker.backends.qwen import files, implementation
from asrq_worker.backends.qwen.dtype import BYTES, choose_dtype
from asrq_worker.backends.qwen.files import Checkpoint
from asrq_worker.backends.qwen.listener import Listener
from asrq_worker.backends.qwen.options import Options
from asrq_worker.backends.refusal import unsupported
from asrq_worker.storage import disk

if TYPE_CHECKING:
    from asrq_worker.backends.qwen.model import QwenModel

MAX_BATCH = {"cpu": 16, "cuda": 32}
RUNTIME_MB = 800
"""What torch and the packages take before any weights (measured: 770 MiB with `qwen-asr` on Linux)."""

_SMALLER = "Free memory, or choose a smaller model (0.6b) or compute type (bfloat16)."
_ATTENTIONS = (None, "eager", "sdpa", "flash_attention_2")


class QwenBackend(Backend):
    """Options: see `options.Options`. One batch at a time: `qwen-asr` is not thread-safe."""

    name: ClassVar[str] = "qwen"
    packages: ClassVar[tuple[str, ...]] = ("qwen-asr", "torch", "transformers")

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._options = read(Options, config, backend=self.name)
        self._lock = threading.Lock()
        self._model: QwenModel
        self._listener: Listener
        self._capabilities: Capabilities

    def find(self) -> ModelFiles:
        """Find the model that transcribes and check its files; see `Backend.find`."""
        implementation.require_packages()
        found = self._find(self.config.model, "recogniser")
        return ModelFiles(found.name, found.folder, "hub" if found.revision else "folder", found.revision)

    def load(self) -> Identity:
        """Find the model, check its files, load it and check what was loaded; see `Backend.load`.

        Raises:
            SettingsError: the attention implementation is unknown.
            StorageError: there is no folder for temporary files.
        """
        options, config = self._options, self.config
        if options.attention not in _ATTENTIONS:
            raise SettingsError(
                f"There is no attention implementation {options.attention!r}.",
                hint=f"Use one of: {', '.join(filter(None, _ATTENTIONS))}.",
            )
        implementation.require_packages()
        recogniser = self._find(config.model, "recogniser")
        aligner = self._find(options.aligner, "aligner") if options.aligner else None
        # Read when torch loads: else threads that wait burn the cores that the other engine or the decoders need.
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        disk.temporary()  # torch wants one, and says so otherwise
        model_class = implementation.model_class()
        import torch

        device = choose_device(
            config.device,
            cuda=torch.cuda.is_available(),
            library="PyTorch",
            fix="Install the NVIDIA driver and a PyTorch built for CUDA (pytorch.org)",
        )
        native = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = choose_dtype(config.compute_type, device, bfloat16=native)
        parameters = recogniser.parameters + (aligner.parameters if aligner else 0)
        needed_mb = RUNTIME_MB + (parameters * BYTES[dtype] >> 20)
        free_mb = free_memory_mb() if device == "cpu" else torch.cuda.mem_get_info()[0] / 2**20
        refuse_too_large(recogniser.name, needed_mb, free_mb, device, hint=_SMALLER)
        torch.set_num_threads(config.cpu_threads)
        try:
            self._model = model_class(
                recogniser,
                aligner,
                device=device,
                dtype=dtype,
                attention=options.attention,
                max_new_tokens=options.max_tokens,
            )
        except AsrqError:
            raise
        except ImportError as error:
            raise ExtraMissingError(
                f"Attention {options.attention!r} needs a package that is not installed.",
                hint="Run: pip install flash-attn, or choose sdpa.",
            ) from error
        except Exception as error:  # noqa: BLE001  # the libraries below raise nothing narrower
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"Model {recogniser.name!r} does not fit into memory.", hint=_SMALLER) from None
            raise ModelInvalidError(f"The model in {recogniser.folder} cannot be loaded: {first_line(error)}") from None
        self._listener = Listener(self._model)
        self._capabilities = Capabilities(
            languages=self._model.languages,
            word_timestamps=aligner is not None,
            prompt=True,
            hotwords=True,
            max_batch=MAX_BATCH[device],
            pads=True,
        )
        self.folders = tuple(found.folder for found in (recogniser, aligner) if found and not found.revision)
        return Identity(self.name, implementation.version(), recogniser.name, recogniser.revision, device, dtype)

    def capabilities(self) -> Capabilities:
        """Return what the loaded model can do."""
        return self._capabilities

    def transcribe_batch(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Transcribe chunks at once; see `Backend.transcribe_batch`."""
        outcomes: dict[int, Transcript | AsrqError] = {}
        spoken: dict[int, Chunk] = {}
        for number, chunk in enumerate(chunks):
            samples = guards.clean(chunk.samples)
            refused = self._refusal(chunk.options)
            if refused is not None:
                outcomes[number] = refused
            elif guards.is_silent(samples):
                outcomes[number] = Transcript("", None)
            else:
                spoken[number] = replace(chunk, samples=samples)
        with self._lock:
            outcomes |= zip(spoken, self._listener.listen(list(spoken.values())), strict=True)
        return [outcomes[number] for number in range(len(chunks))]

    def _find(self, model: str, kind: files.Kind) -> Checkpoint:
        config, native = self.config, implementation.is_native()
        found = files.find(model, kind, model_dir=config.model_dir, download=config.download, native=native)
        implementation.refuse_foreign(found)
        return found

    def _refusal(self, options: ChunkOptions) -> UnsupportedOptionError | None:
        refused = unsupported(options, self._capabilities, backend=self.name, model=self.config.model)
        timed = self._model.aligned_languages
        if refused or not options.word_timestamps or options.language is None or options.language in timed:
            return refused
        return UnsupportedOptionError(
            f"The forced aligner does not know {options.language!r}.", hint=f"It knows: {', '.join(sorted(timed))}."
        )
