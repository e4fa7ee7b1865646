"""What Whisper hears at a time: speech and a margin of silence, up to 30 s."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from asrq_worker.backends.whisper.steps import Encode, Encoded, Features, Steps

FRAMES_PER_SECOND = 100
WHOLE_S = 30.0
WHOLE = round(WHOLE_S * FRAMES_PER_SECOND)
"""Frames."""
STEP_S = 2.0
"""Windows are multiples of this, so that encodings of equal length are common."""
NEAR_S = 2.0
"""Silence that is encoded with the speech; what follows in the margin may have been encoded alone."""


class Window:
    """Up to 30 s of a clip from `start` on, in seconds: the features of its speech, and what they were encoded to."""

    def __init__(self, features: Features, start: float) -> None:
        self.features = features[:, :WHOLE]
        self.start = start
        self.seconds: float = self.features.shape[1] / FRAMES_PER_SECOND
        self._encoded: dict[int, Encoded] = {}

    def frames(self, margin_s: float) -> int:
        """Return how many frames are encoded with a margin."""
        wanted_s = math.ceil((self.seconds + margin_s) / STEP_S) * STEP_S
        return int(min(wanted_s, WHOLE_S) * FRAMES_PER_SECOND)

    def encoded(self, frames: int, *, near: bool = False) -> Steps[Encoded]:
        """Return what the encoder makes of so many frames: the speech, and zeros.

        Args:
            frames: of the window.
            near: whether only those near the speech are encoded with it, which is cheaper, unless the window is whole.
        """
        if frames not in self._encoded:
            own = math.ceil(self.seconds + NEAR_S) * FRAMES_PER_SECOND if near and frames < WHOLE else frames
            padding = own - self.features.shape[1]
            self._encoded[frames] = yield Encode(np.pad(self.features, ((0, 0), (0, padding))), frames)
        return self._encoded[frames]


def lengths(window: Window, margins_s: Sequence[float]) -> list[int]:
    """Return how many frames a window has with each margin, the fewest first."""
    return sorted({window.frames(margin_s) for margin_s in margins_s})
