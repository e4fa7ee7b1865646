"""Which of two models encodes, with models that only say who they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.needs import missing

from asrq_worker.backends.whisper import backend

WINDOW = np.zeros((1, 80, 1000), np.float32)


class Network:
    """Encodes to what it is told to be, and counts how often."""

    n_mels = 80

    def __init__(self, result: float) -> None:
        self.result, self.encoded = result, 0

    def encode(self, features: Any, *, to_cpu: bool) -> Any:
        assert to_cpu
        self.encoded += 1
        return np.full((np.array(features).shape[0], 500, 4), self.result, np.float32)


def encoder(network: Network, wide: Network | None) -> Any:
    if importlib.util.find_spec("ctranslate2") is None:
        missing("the extra worker")
    from asrq_worker.backends.whisper.encoder import Encoder

    made = Encoder(network, wide)  # type: ignore[arg-type]  # they stand for CTranslate2's
    network.encoded = 0
    if wide:
        wide.encoded = 0
    return made


def test_more_threads_encode_only_what_is_heard_alone() -> None:
    network, wide = Network(1), Network(1)
    made = encoder(network, wide)
    with made.hearing():
        made.encode(WINDOW)
        assert (network.encoded, wide.encoded) == (0, 1)
        with made.hearing():
            made.encode(WINDOW)
            assert (network.encoded, wide.encoded) == (1, 1)
        made.encode(WINDOW)
    assert (network.encoded, wide.encoded) == (1, 2)


def test_a_hearing_that_fails_is_over() -> None:
    wide = Network(1)
    made = encoder(Network(1), wide)
    with pytest.raises(RuntimeError), made.hearing():
        raise RuntimeError
    with made.hearing():
        made.encode(WINDOW)
    assert wide.encoded == 1


@pytest.mark.parametrize("wide", [None, Network(1.5)])
def test_without_a_second_model_that_computes_the_same_one_encodes_all(wide: Network | None) -> None:
    network = Network(1)
    made = encoder(network, wide)
    assert made.encode(WINDOW)[0, 0, 0] == 1
    assert network.encoded == 1


@pytest.mark.parametrize(
    ("size_mb", "free_mb", "device", "compute_type", "expected"),
    [
        (145, 2000, "cpu", "int8", True),
        (145, 2000, "cpu", "int8_float32", True),
        (145, 2000, "cpu", "float32", False),
        (145, 2000, "cuda", "int8", False),
        (145, 500, "cpu", "int8", False),
        (3000, 99_000, "cpu", "int8", False),
    ],
)
def test_a_second_copy_is_for_small_integers_on_a_cpu_and_hosts_with_memory(
    size_mb: int,
    free_mb: float,
    device: str,
    compute_type: str,
    expected: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "free_memory_mb", lambda: free_mb)
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(size_mb << 20)
    assert backend._may_be_copied(tmp_path, device, compute_type) == expected
