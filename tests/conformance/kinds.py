"""The backends that the suite holds to their promises: how each is built, and the speech that its model knows."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import REPO
from qwen_checkpoint.corpus import SENTENCES
from support.hearing import read
from support.needs import missing
from support.openai_server import Behaviour, serving

from asrq_jobs.errors import ModelMissingError
from asrq_worker.backends.base import Backend, BackendConfig, Samples
from asrq_worker.backends.registry import backend_class
from asrq_worker.backends.server.backend import ServerBackend

Configure = Callable[[pytest.FixtureRequest, Path], AbstractContextManager[BackendConfig]]


@dataclass(frozen=True)
class Spoken:
    """Speech, and the share of the words in `text` that must be recognised."""

    samples: Samples
    text: str
    share: float = 1.0
    detectable: bool = True
    """Whether the model tells the language by ear: `base` takes our synthetic Russian for Bulgarian."""


@dataclass(frozen=True)
class Candidate:
    """A backend with a model."""

    name: str
    backend: str
    """As it is registered."""
    configure: Configure
    """Gives the configuration, as long as what the backend needs is there; skips the test where it cannot be."""
    speech: Callable[[], dict[str, Spoken]]
    """What the model can recognise, by ISO 639-1 code; called only after `configure`."""
    tells_language: bool = True
    """Whether a language that was detected, not asked for, is told."""


def load(name: str, config: BackendConfig) -> Backend:
    """Return a backend that is loaded and warm; without its model the test is skipped."""
    backend = backend_class(name)(config)
    try:
        identity = backend.load()
    except ModelMissingError:
        missing(f"the model {config.model}")
    assert (identity.backend, identity.model) == (name, config.model)
    backend.warm_up()
    return backend


def release(backend: Backend) -> None:
    """End the connections of a backend that has some: it has a process for itself, except in tests."""
    if isinstance(backend, ServerBackend):
        backend._connection.close()


def _plain(model: str) -> Configure:
    @contextmanager
    def configure(_request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendConfig]:
        yield BackendConfig(model, folder, parallel=2)

    return configure


@contextmanager
def _qwen(request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendConfig]:
    model, aligner = request.getfixturevalue("tiny_qwen"), request.getfixturevalue("tiny_aligner")
    yield BackendConfig(str(model), folder, options={"aligner": str(aligner)})


def _over_http(behind: str, model: str, **options: Any) -> Configure:
    @contextmanager
    def configure(_request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendConfig]:
        behaviour = Behaviour(load(behind, BackendConfig(model, folder, parallel=2)))
        with serving(behaviour) as url:
            yield BackendConfig(
                behaviour.model, folder, options={"url": url, "timeout_s": 300, "concurrency": 2, **options}
            )

    return configure


def _onnx_of_tones(kind: str) -> Configure:
    @contextmanager
    def configure(_request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendConfig]:
        for package in ("onnx_asr", "onnx"):
            if importlib.util.find_spec(package) is None:
                missing(f"the package {package}")
        from support import onnx_models

        make = {"whisper": onnx_models.whisper, "gigaam-v2-ctc": onnx_models.gigaam}[kind]
        yield BackendConfig(str(make(folder / kind)), folder, options={"kind": kind})

    return configure


def _onnx_of_speech(family: str) -> Configure:
    @contextmanager
    def configure(_request: pytest.FixtureRequest, folder: Path) -> Iterator[BackendConfig]:
        from asrq_worker.backends.onnx.backend import KINDS as EXPORTS

        export = Path(os.environ[EXPORT_OF[family]])
        complete = [
            name
            for name, kind in EXPORTS.items()
            if name.startswith(family) and all(any(export.glob(file.format(""))) for file in kind.files)
        ]
        yield BackendConfig(str(export), folder, options={"kind": complete[0]})

    return configure


def _greetings(**shares: float) -> Callable[[], dict[str, Spoken]]:
    """What `tests/data` says in the languages of `shares`."""

    def speech() -> dict[str, Spoken]:
        data = REPO / "tests" / "data"
        return {
            language: Spoken(
                read(data / f"hello-{language}.flac"),
                (data / f"hello-{language}.txt").read_text("utf-8"),
                share,
                detectable=language == "en",
            )
            for language, share in shares.items()
        }

    return speech


def _sentences() -> dict[str, Spoken]:
    """Two that the tiny checkpoint knows by heart."""
    wanted = {"en03", "ru05"}
    return {each.language: Spoken(read(each.clip), each.text) for each in SENTENCES if each.id in wanted}


def _tones(**texts: str) -> Callable[[], dict[str, Spoken]]:
    def speech() -> dict[str, Spoken]:
        from support import onnx_models

        return {language: Spoken(onnx_models.tones(300, seconds=2.0), text) for language, text in texts.items()}

    return speech


def _nothing() -> dict[str, Spoken]:
    return {}


KINDS: tuple[Candidate, ...] = (
    Candidate("fake", "fake", _plain("fake"), _nothing),
    Candidate("whisper-tiny.en", "whisper", _plain("tiny.en"), _greetings(en=0.7)),
    Candidate("whisper-base", "whisper", _plain("base"), _greetings(en=0.7, ru=0.5)),
    Candidate("qwen", "qwen", _qwen, _sentences),
    # Real speech over a server is in test_server; the text of "fake" tells all samples apart, and costs nothing.
    Candidate("server", "server", _over_http("fake", "fake"), _nothing),
    Candidate("server-chat", "server", _over_http("fake", "fake", api="chat"), _nothing, tells_language=False),
    Candidate("onnx-whisper-tones", "onnx", _onnx_of_tones("whisper"), _tones(en="one", de="eins"), False),
    Candidate("onnx-gigaam-tones", "onnx", _onnx_of_tones("gigaam-v2-ctc"), _tones(ru="а")),
)

EXPORT_OF = {"whisper": "ONNX_WHISPER", "gigaam": "ONNX_GIGAAM"}
"""Variables that name the folder of a real export, by family; those that are set become kinds of their own."""
_SAID = {"whisper": _greetings(en=0.5, ru=0.5), "gigaam": _greetings(ru=0.5)}
KINDS += tuple(
    Candidate(f"onnx-{family}", "onnx", _onnx_of_speech(family), _SAID[family], tells_language=family != "whisper")
    for family, variable in EXPORT_OF.items()
    if os.environ.get(variable)
)

ONE_OF_EACH = tuple(kind for kind in KINDS if kind.name != "whisper-base")
"""Without a second model that differs from the first in its languages alone: for what depends on no language."""
