"""With how many threads windows are encoded: where nothing else is being heard, with those of all decodes.

More threads make the encoder faster, and the decoder, whose steps are small, slower. CTranslate2 fixes the threads of a
model when it is loaded, so there are two models of the same weights.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import ctranslate2
import numpy as np

from asrq_worker.backends.whisper.steps import Encoded, Features

_CHECKED_FRAMES = 1000


class Encoder:
    """Encodes windows. Thread-safe."""

    def __init__(self, network: ctranslate2.models.Whisper, wide: ctranslate2.models.Whisper | None) -> None:
        """Take the model that also decodes, and one with more threads, which is used if it computes the same."""
        self._network = network
        self._wide = wide if wide is not None and _equal(network, wide) else network
        self._lock = threading.Lock()
        self._heard = 0

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """Say that something is being heard."""
        with self._lock:
            self._heard += 1
        try:
            yield
        finally:
            with self._lock:
                self._heard -= 1

    def encode(self, stacked: Features) -> Encoded:
        """Return what features of clips of equal length, of shape (clips, mels, frames), are encoded to."""
        return _encoded(self._wide if self._heard <= 1 else self._network, stacked)


def _encoded(network: ctranslate2.models.Whisper, stacked: Features) -> Encoded:
    return np.array(network.encode(ctranslate2.StorageView.from_array(stacked), to_cpu=True))


def _equal(one: ctranslate2.models.Whisper, other: ctranslate2.models.Whisper) -> bool:
    """Whether two models encode noise to the same bits: what is heard must not depend on what else goes on."""
    noise = np.random.default_rng(0).standard_normal((1, one.n_mels, _CHECKED_FRAMES), np.float32)
    return np.array_equal(_encoded(one, noise), _encoded(other, noise))
