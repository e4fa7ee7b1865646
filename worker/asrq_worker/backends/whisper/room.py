"""How much is heard at once on a CPU, so that memory holds it: the system does not refuse more, but kills the process.

Most of it goes to the encoder's attention, and to what the decoder keeps of each frame. The first follows from the
model's width, the second is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrq_worker.process import heap

if TYPE_CHECKING:
    import ctranslate2

WINDOW_FRAMES = 3000
MOST_FRAMES = 16_000
"""Frames decoded together: more gain nothing."""
SHARE = 0.5
"""Of the free memory, for frames beyond a window: the rest is for decoders, other programs, and longer texts."""
_UNKNOWN = 220e3  # bytes: what `large` takes, where the system does not tell
_PROBED_FRAMES = 1000
_PROBED_TOKENS = 16
_BEAM_SIZE = 5
_HEAD = 64  # numbers in each of an attention's heads, in every Whisper


@dataclass(frozen=True)
class Need:
    """Bytes that one decode takes: to encode a whole window, and to decode each frame."""

    window: float
    frame: float


@dataclass(frozen=True)
class Room:
    """So many decodes in flight, with so many frames decoded together in each."""

    decodes: int
    frames: int


def room(free: float, need: Need, decodes: int, spare: int, *, fixed: bool) -> Room:
    """Return what fits into so many free bytes, but at least one decode of a whole window.

    `spare` decodes run beside the others. With `fixed`, all `decodes` stay, whatever they take.
    """
    if not fixed:
        whole = need.window + WINDOW_FRAMES * need.frame
        decodes = max(min(decodes, int(free / whole) - spare), 1)
    frames = free * SHARE / (decodes + spare) / need.frame
    return Room(decodes, int(min(max(frames, WINDOW_FRAMES), MOST_FRAMES)))


def measure(network: ctranslate2.models.Whisper, prompt: list[int], end: int) -> Need:
    """Measure a network: it decodes silence, and never comes to the `end`."""
    import ctranslate2

    silence = np.zeros((1, network.n_mels, 2), np.float32)
    width = np.array(network.encode(ctranslate2.StorageView.from_array(silence), to_cpu=True)).shape[2]
    encoded = ctranslate2.StorageView.from_array(np.zeros((1, _PROBED_FRAMES // 2, width), np.float32))

    def decode() -> None:
        network.generate(
            encoded,
            [prompt],
            beam_size=_BEAM_SIZE,
            max_length=len(prompt) + _PROBED_TOKENS,
            suppress_tokens=[end],
        )

    grown = heap.grown_by(decode)
    return Need(window=window_bytes(width), frame=grown / _PROBED_FRAMES if grown else _UNKNOWN)


def window_bytes(width: int) -> float:
    """Return what encoding a whole window takes: two copies of a layer's attention scores, float32."""
    scores = width / _HEAD * (WINDOW_FRAMES / 2) ** 2 * 4
    return 2 * scores
