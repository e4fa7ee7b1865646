"""What a backend is: the one interface behind which models differ.

A backend lives in the engine process. It knows nothing of queues, files or other processes: it gets chunks of
16 kHz mono speech and returns, for each, a transcript or an error of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from asrq_jobs.errors import AsrqError
from asrq_jobs.request import Task
from asrq_worker.backends.files import ModelFiles

SAMPLE_RATE = 16_000
WARM_UP_S = 1.0

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class ChunkOptions:
    """How one chunk is to be transcribed; the part of a request that a backend sees."""

    language: str | None = None
    """ISO 639-1 code; None: detect."""
    languages: tuple[str, ...] = ()
    """Those to choose among, the likeliest first, where `language` is None; none: all. What a backend cannot help is
    heard again in one of them."""
    task: Task = "transcribe"
    word_timestamps: bool = False
    prompt: str | None = None
    hotwords: tuple[str, ...] = ()
    draft: bool = False
    """Rather soon than right: it will be heard again, so a backend that can does less. `repetition` among the warnings:
    it goes round in circles, and only what comes before is worth showing."""


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Chunk:
    """A stretch of speech.

    `samples` is float32 of shape (n,), mono, 16 kHz, nominally within [-1, 1]. `wanted` says whether anybody waits
    for it still: if not, a backend that is not done may fail with CanceledError, to leave the cores to others.
    """

    samples: Samples
    options: ChunkOptions = ChunkOptions()
    wanted: Callable[[], bool] = _always

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class TimedWord:
    """A word; times are seconds from the start of the chunk.

    `probability` is the model's own; `confidence` is the share of words with such a probability that were right where
    that was measured.
    """

    word: str
    start: float
    end: float
    probability: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class TimedSegment:
    """A stretch of text; times are seconds from the start of the chunk. Unknown values are None."""

    start: float
    end: float
    text: str
    tokens: tuple[int, ...] | None = None
    temperature: float | None = None
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    no_speech_prob: float | None = None
    decoding: Literal["greedy", "beam"] | None = None
    words: tuple[TimedWord, ...] | None = None


@dataclass(frozen=True)
class Transcript:
    """What a backend made of one chunk. Empty text means: no speech."""

    text: str
    language: str | None
    """ISO 639-1 code, as asked for or as detected; None where the backend found no speech."""
    language_probability: float | None = None
    """None where the language was asked for, or the backend gives no probabilities."""
    segments: tuple[TimedSegment, ...] = ()
    warnings: tuple[str, ...] = ()
    truncated: bool = False
    languages: tuple[tuple[str, float], ...] = ()
    """Those that were weighed, the likeliest first, with probabilities; empty where `language_probability` is None."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do, so that a request can be refused before any work."""

    languages: frozenset[str]
    """ISO 639-1 codes that can be asked for."""
    tasks: frozenset[Task] = frozenset({"transcribe"})
    detects_language: bool = True
    """If not, a chunk without a language is refused."""
    word_timestamps: bool = False
    prompt: bool = False
    hotwords: bool = False
    longest_chunk_s: float = 30.0
    max_batch: int = 1
    """Chunks that one `transcribe_batch` call should get at most."""
    parallel: int = 1
    """Calls of `transcribe_batch` that may run at the same time, each in a thread of its own."""
    spare: int = 0
    """Further such calls, which share the cores of the others in small parts: dictation need not wait for files."""
    pads: bool = False
    """Whether each chunk of a batch costs as much as its longest: then all get about the same length."""


@dataclass(frozen=True)
class Identity:
    """What exactly is loaded: goes into every result."""

    backend: str
    backend_version: str
    model: str
    model_revision: str | None
    device: str
    compute_type: str


@dataclass(frozen=True)
class BackendConfig:
    """Settings that a backend gets; `options` holds those that only one backend knows."""

    model: str
    model_dir: Path
    """Where downloaded and joined models are kept."""
    device: str = "auto"
    compute_type: str = "auto"
    cpu_threads: int = 1
    parallel: int = 0
    """0: the backend decides."""
    tune: bool = False
    """Whether it may choose threads and decodes in flight by measuring: the operator has set neither."""
    download: bool = False
    """Whether a model that is not on this machine may be fetched."""
    options: dict[str, Any] = field(default_factory=dict, repr=False)  # may hold a key


class Backend(ABC):
    """A model that transcribes.

    Life: construct (cheap, loads nothing), `load`, `warm_up`, `transcribe_batch` any number of times, until its process
    ends.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions may change a text; what earlier versions heard is not reused."""

    folders: tuple[Path, ...] = ()
    """Folders of the loaded model that no revision identifies; known after `load`."""
    tuned: str = ""
    """How it computes on this host, and why so, as a sentence for `asrq doctor`; known after `warm_up`."""

    def __init__(self, config: BackendConfig) -> None:
        self.config = config

    def find(self) -> ModelFiles | None:
        """Return where the model is, without loading it, for `asrq doctor`; None: its files are not on this host.

        Raises:
            AsrqError: what `load` raises for the same reason.
        """
        return None

    @abstractmethod
    def load(self) -> Identity:
        """Load the model.

        Raises:
            ExtraMissingError: the packages are not installed.
            ModelMissingError, ModelInvalidError: the weights are not there or not usable.
            DeviceUnavailableError: the device or number type is not to be had.
            OutOfMemoryError: the model does not fit.
        """

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """Return what the loaded model can do."""

    def warm_up(self) -> None:
        """Run the model once, so that the first job does not pay for lazy initialisation.

        Noise rather than zeros: a backend may answer digital silence without its model. A draft: a text that noise is
        taken for is in doubt, and what is in doubt is heard again, at ten times the cost.

        Raises:
            AsrqError: the model does not work.
        """
        noise = np.random.default_rng(0).normal(scale=0.01, size=round(SAMPLE_RATE * WARM_UP_S)).astype(np.float32)
        [outcome] = self.transcribe_batch([Chunk(noise, ChunkOptions(language="en", draft=True))])
        if isinstance(outcome, AsrqError):
            raise outcome

    @abstractmethod
    def transcribe_batch(self, chunks: Sequence[Chunk]) -> list[Transcript | AsrqError]:
        """Transcribe chunks, each on its own: one that fails is an error in its place and harms no other."""
