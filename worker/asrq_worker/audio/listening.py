"""Finds the speech in samples that are still being written, as `speech.find` does in all of them. Runs in the decoder
process only.

What it has once said stays so, but for one case: where the level of two minutes of sound, once they are complete, is
another than it was before, their speech is looked for anew.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from asrq_worker.audio import speech
from asrq_worker.audio.speech import BLOCK, OVERLAP, Span
from asrq_worker.backends.base import SAMPLE_RATE, Samples

_SETTLED = SAMPLE_RATE  # more than a pause and its paddings take: speech that ended so long ago has ended
_GAIN = 1.1  # what was judged with a gain that differs by less is not judged again


class Listening:
    """The speech in a file of samples, float32, mono, 16 kHz, that grows. `file` is unbuffered."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._complete: list[Span] = []
        self._next = 0  # where the first block begins that is not complete
        self._judged: dict[int, _Judged] = {}

    def advance(self, samples: int) -> tuple[list[Span], list[Span], int]:
        """Return the spans of speech, in samples, that will not change, of so many samples, those that may, and until
        where.

        All speech but that of the first ones begins there or later.
        """
        while samples >= self._next + BLOCK + OVERLAP:
            self._take_in(self._complete, self._next, samples)
            self._judged.pop(self._next)
            self._next += BLOCK
        spans, until = list(self._complete), max(0, samples - _SETTLED)
        for start in range(self._next, samples, BLOCK):
            if self._take_in(spans, start, samples) > 1:  # faint: who knows how loud the block will be on the whole
                until = min(until, start)
        speech.keep_beginning(spans)
        open_ended = [span for span in spans if span[1] > until]
        settled = spans[: len(spans) - len(open_ended)]
        return settled, open_ended, min([until, *(start for start, _ in open_ended)])

    def end(self, samples: int) -> list[Span]:
        """Return all spans of speech, no sample being added to these."""
        self.advance(samples)
        spans = list(self._complete)
        for start in range(self._next, samples, BLOCK):
            self._take_in(spans, start, samples, exactly=True)
        return speech.keep_edges(spans, samples)

    def _take_in(self, spans: list[Span], start: int, samples: int, *, exactly: bool = False) -> float:
        """Add what is found in a block, and return the gain it took."""
        low, block = speech.read_block(self._file, start, samples)
        exactly = exactly or samples >= start + BLOCK + OVERLAP
        judged = self._judged.setdefault(start, _Judged())
        judged.take(block, exactly=exactly)
        speech.take_in(spans, speech.spans_of(judged.windows, len(block)) if judged.gain else [], low, start)
        return judged.gain or np.inf


class _Judged:
    """What the detector made of a block so far. Its whole windows are judged once more, as those of a file."""

    def __init__(self) -> None:
        self.gain = 0.0
        self.windows: list[NDArray[np.float32]] = []
        self._whole = 0
        self._last = speech.LastWindow()

    def take(self, block: Samples, *, exactly: bool) -> None:
        """Judge a block that begins with the samples of the last call; with `exactly` as if there had been none."""
        gain = speech.gain_of(block, exactly=exactly)
        if gain != self.gain and (exactly or not 1 / _GAIN < gain / (self.gain or np.inf) < _GAIN):
            self.gain, self._whole = gain, 0
        if self.gain:
            last = None if exactly else self._last
            self.windows = speech.windows(block, self.gain, self.windows[: self._whole], last)
            self._whole = speech.whole_windows(len(block))
