"""Checkpoints are known by all that decides their text: whatever of it changes, nothing is reused."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig, ChunkOptions, Identity, Transcript
from asrq_worker.engine.fingerprint import fingerprint
from asrq_worker.job.checkpoints import Checkpoints, name

PIECE = Piece(SAMPLE_RATE, 3 * SAMPLE_RATE)
ASKED = ChunkOptions("en")
HEARD = Transcript("hello", "en")
IDENTITY = Identity("whisper", "1.2.1", "base", None, "cpu", "int8")

OTHERWISE = {
    "language": ("ru", None),
    "languages": (("ru",), ("en", "ru")),
    "task": ("translate",),
    "word_timestamps": (True,),
    "prompt": ("Grafana",),
    "hotwords": (("Grafana",), ("Grafana", "Valkey")),
    "draft": (True,),
    "backend": ("server",),
    "backend_version": ("1.2.2",),
    "model": ("tiny",),
    "model_revision": ("b4c2",),
    "device": ("cuda",),
    "compute_type": ("float32",),
}
"""Other values of each field of `ChunkOptions` and `Identity`."""


class Kept:
    def __init__(self, kept: dict[str, Transcript]) -> None:
        self.kept = kept

    def load(self) -> dict[str, Transcript]:
        return dict(self.kept)

    def save(self, key: str, transcript: Transcript) -> None:
        self.kept[key] = transcript


@pytest.fixture
def decoded(tmp_path: Path) -> DecodedAudio:
    samples = 4 * SAMPLE_RATE
    np.random.default_rng(1).normal(scale=0.1, size=samples).astype("<f4").tofile(tmp_path / "a.f32")
    return DecodedAudio(tmp_path / "a.f32", samples, ((0, samples),), "wav", "pcm", SAMPLE_RATE, 1, ())


def test_what_was_kept_is_found_by_the_next_attempt(decoded: DecodedAudio) -> None:
    kept = Kept({})
    Checkpoints(kept, decoded, "engine").save(PIECE, ASKED, HEARD)
    again = Checkpoints(kept, decoded, "engine")
    assert again.find(PIECE, ASKED) == HEARD
    assert again.inside(Piece(0, 4 * SAMPLE_RATE))
    assert not again.inside(Piece(2 * SAMPLE_RATE, 4 * SAMPLE_RATE))
    assert again.find(Piece(SAMPLE_RATE, 2 * SAMPLE_RATE), ASKED) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [(field.name, value) for field in dataclasses.fields(ChunkOptions) for value in OTHERWISE[field.name]],
)
def test_nothing_is_reused_where_something_else_is_asked(decoded: DecodedAudio, field: str, value: Any) -> None:
    kept = Kept({})
    Checkpoints(kept, decoded, "engine").save(PIECE, ASKED, HEARD)
    assert Checkpoints(kept, decoded, "engine").find(PIECE, replace(ASKED, **{field: value})) is None


def test_nothing_is_reused_of_other_samples_or_another_engine(decoded: DecodedAudio) -> None:
    kept = Kept({})
    Checkpoints(kept, decoded, "engine").save(PIECE, ASKED, HEARD)
    assert Checkpoints(kept, decoded, "other engine").find(PIECE, ASKED) is None
    samples = np.fromfile(decoded.path, "<f4")
    samples[PIECE.stop - 1] += np.float32(1e-6)
    samples.tofile(decoded.path)
    assert Checkpoints(kept, decoded, "engine").find(PIECE, ASKED) is None
    shorter = replace(decoded, samples=PIECE.stop - 1)
    assert Checkpoints(kept, shorter, "engine").find(PIECE, ASKED) is None


@pytest.mark.parametrize(
    "key", ["", "rubbish", "1-2", "16000-48000-", "16000-48000-0123456789abcdef", "9" * 99 + "-1-a"]
)
def test_names_that_nobody_gave_are_no_harm(decoded: DecodedAudio, key: str) -> None:
    assert Checkpoints(Kept({key: HEARD}), decoded, "engine").find(PIECE, ASKED) is None


def fingerprints(tmp_path: Path) -> Iterator[str]:
    """One for each thing that decides a text."""
    config = BackendConfig("base", tmp_path)
    yield fingerprint(IDENTITY, config, ())
    for field in dataclasses.fields(Identity):
        for value in OTHERWISE[field.name]:
            yield fingerprint(replace(IDENTITY, **{field.name: value}), config, ())
    yield fingerprint(IDENTITY, replace(config, model="./base"), ())
    for options in ({"beam_size": 1}, {"beam_size": 2}, {"url": "http://127.0.0.1:1"}, {"max_new_tokens": 9}):
        yield fingerprint(IDENTITY, replace(config, options=options), ())
    yield fingerprint(IDENTITY, config, ("numpy",))
    yield fingerprint(IDENTITY, config, ("no such package",))


def test_the_fingerprint_of_an_engine_tells_all_that_decides_its_texts(tmp_path: Path) -> None:
    found = list(fingerprints(tmp_path))
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("package", ["numpy", "asrq"])
def test_another_version_of_a_package_is_another_engine(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(IDENTITY, BackendConfig("base", tmp_path), ("numpy",))
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99" if name == package else real(name))
    assert fingerprint(IDENTITY, BackendConfig("base", tmp_path), ("numpy",)) != before


def test_neither_a_key_nor_the_number_of_threads_changes_a_text(tmp_path: Path) -> None:
    config = BackendConfig("base", tmp_path)
    other = replace(config, options={"api_key": "secret", "timeout_s": 9}, cpu_threads=2, parallel=3)
    assert fingerprint(IDENTITY, other, ()) == fingerprint(IDENTITY, config, ())


def test_a_model_that_was_replaced_in_its_folder_is_another(tmp_path: Path) -> None:
    config, folder = BackendConfig("base", tmp_path), tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    weights, other = folder / "model.bin", folder / "deep" / "tokenizer.json"
    found = []

    def look() -> None:
        found.append(fingerprint(IDENTITY, config, (), [folder]))

    weights.write_bytes(b"weights")
    look()
    weights.write_bytes(b"other weights")
    look()
    os.utime(weights, ns=(0, 0))  # of the same length, but written at another time
    look()
    other.write_bytes(b"{}")
    look()
    other.rename(folder / "deep" / "vocabulary.json")
    look()
    assert len(set(found)) == len(found)
    assert fingerprint(IDENTITY, config, (), [folder]) == found[-1]


def test_names_tell_the_place(decoded: DecodedAudio) -> None:
    samples = decoded.read(PIECE.start, PIECE.stop)
    assert name(PIECE, samples, ASKED, "engine").startswith("16000-48000-")
